/** API keys in a service's database. It loads database drivers, so import it only when needed. */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { ApiKey } from '../../auth/api-key-entry.js';
import { declaredNames, expiryOf, readApiKeyFile } from '../../auth/api-key-file.js';
import { Grants } from '../../auth/grants.js';
import { KeyAdministration } from '../../auth/key-administration.js';
import { describeKey } from '../../auth/key-description.js';
import { formatProblem, PolicyError } from '../../core/problem.js';
import { DatabaseError } from '../../database/database-error.js';
import { VerdictError } from '../../errors.js';
import { maskCredentials } from '../../logging/mask-credentials.js';
import { UsageError } from '../exit-code.js';
import { openAuditLog, openManagedKeys } from './database.js';
import type { DescribedKey, KeyKeeper, NewKey } from './key-keeper.js';

/** The needed part of the configuration. */
export interface KeysConfig {
  /** The file of an SQLite database, or the URL of one in PostgreSQL. */
  readonly database: string;
  readonly environment: string;
  /** The file of declared callers, whose names no key in the database may have. */
  readonly apiKeysFile?: string;
}

/**
 * Lets `work` use the keys of a database, whether its service runs or not.
 *
 * @throws UsageError for what the service's own administration refuses.
 */
export async function withKeysInDatabase(
  { database, environment, apiKeysFile }: KeysConfig,
  work: (keeper: KeyKeeper) => Promise<void>,
): Promise<void> {
  const isDeclared = declaredIn(apiKeysFile);
  const audit = await openAuditLog(database, {
    mask: maskCredentials,
    onProblem: (_what, error) => Promise.reject(error),
  });
  const keys = await openManagedKeys(database);
  try {
    // A running service notices the change by itself.
    const elsewhere = { refresh: () => Promise.resolve(), isOfAnotherKind: isDeclared };
    const by = { name: userInfo().username, method: 'command_line', grants: Grants.all };
    const admin = new KeyAdministration(keys, elsewhere, audit, environment);
    await work({
      create: (name, options) => admin.create(keyOf(name, options), by),
      list: async () => (await admin.list(by)).map(describeKey) as readonly DescribedKey[],
      rotate: (name, overlapSeconds) => admin.rotate(name, overlapSeconds * 1_000, by),
      revoke: (name) => admin.revoke(name, by),
    });
  } catch (error) {
    if (error instanceof DatabaseError) throw new UsageError(`the database cannot be used: ${error.message}`);
    if (!(error instanceof VerdictError)) throw error;
    throw new UsageError(error.detail);
  } finally {
    await keys.close();
    await audit.close();
  }
}

/** Whether a name is that of a declared caller. Throws if the file cannot be read. */
function declaredIn(file: string | undefined): (name: string) => boolean {
  if (file === undefined) return () => false;
  try {
    const names = declaredNames(readApiKeyFile(file, readFileSync(file, 'utf8')));
    return (name) => names.has(name.toLowerCase());
  } catch (error) {
    const why = error instanceof PolicyError ? error.problems.map(formatProblem).join('\n') : (error as Error).message;
    // Listing and revoking go on.
    return () => {
      throw new UsageError(`VERDICT_API_KEYS_FILE cannot be read: ${why}`);
    };
  }
}

/** The command has read the key's entry already, so its time is one. */
function keyOf(name: string, { scope: scopes, set: policySets, address: addresses, owner, expires }: NewKey): ApiKey {
  return {
    name,
    scopes,
    ...(policySets !== undefined && { policySets }),
    ...(addresses !== undefined && { addresses }),
    ...(owner !== undefined && { owner }),
    ...(expires !== undefined && { expires: expiryOf(expires)! }),
  };
}
