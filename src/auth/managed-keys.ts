import { SqliteConnection } from '../database/sqlite/sqlite-connection.js';
import { VerdictError } from '../errors.js';
import { digestOf, makeApiKey } from './api-key.js';
import type { ApiKey, ApiKeySecret } from './api-key-entry.js';
import { ApiKeys1763700000020 } from './migrations/1763700000020-api-keys.js';

/** A managed key as operators see it: everything but its secrets. */
export interface ManagedKey extends ApiKey {
  readonly secrets: readonly (ApiKeySecret & { readonly created: number; readonly lastUsed?: number })[];
  readonly created: number;
  readonly createdBy: string;
  readonly revoked?: number;
}

interface KeyRow {
  name: string;
  owner: string | null;
  scopes: string;
  policy_sets: string | null;
  addresses: string | null;
  daily_quota: number | null;
  expires: number | null;
  created: number;
  created_by: string;
  revoked: number | null;
}

interface SecretRow {
  digest: string;
  key_name: string;
  created: number;
  expires: number | null;
  last_used: number | null;
}

/** The API keys in the service's database. The text of a key exists only in the answer to whoever made it. */
export class ManagedKeys {
  private constructor(readonly connection: SqliteConnection) {}

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<ManagedKeys> {
    const migrations = [ApiKeys1763700000020];
    return new ManagedKeys(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  /** A number that changes with every key that is made, rotated or revoked, by this process or another. */
  async changes(): Promise<number> {
    const [row] = await this.connection.query<{ n: number }>('SELECT n FROM api_key_changes');
    return row!.n;
  }

  /** Every key in the order of their names, revoked ones too. */
  async list(): Promise<ManagedKey[]> {
    const keys = await this.connection.query<KeyRow>('SELECT * FROM api_key ORDER BY name');
    const secrets = await this.connection.query<SecretRow>('SELECT * FROM api_key_secret ORDER BY rowid');
    return keys.map((row) =>
      toKey(
        row,
        secrets.filter(({ key_name }) => key_name === row.name),
      ),
    );
  }

  async find(name: string): Promise<ManagedKey | undefined> {
    const [row] = await this.connection.query<KeyRow>('SELECT * FROM api_key WHERE name = ?', [name]);
    if (row === undefined) return undefined;
    const secrets = await this.connection.query<SecretRow>(
      'SELECT * FROM api_key_secret WHERE key_name = ? ORDER BY rowid',
      [name],
    );
    return toKey(row, secrets);
  }

  /**
   * Makes a key and returns its text, which cannot be had again.
   *
   * @throws VerdictError `api_key_exists` also when a revoked key had the name, or one that differs in case alone: records
   * must not mean two callers by it
   */
  async create(key: ApiKey, environment: string, by: string, now: number): Promise<string> {
    const alike = 'SELECT name FROM api_key WHERE name = ? COLLATE NOCASE';
    const [taken] = await this.connection.query<{ name: string }>(alike, [key.name]);
    if (taken !== undefined) throw nameTaken(taken.name);
    const text = makeApiKey(environment);
    try {
      await this.connection.query(
        `INSERT INTO api_key (name, owner, scopes, policy_sets, addresses, daily_quota, expires, created, created_by)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        [
          key.name,
          key.owner ?? null,
          JSON.stringify(key.scopes),
          key.policySets === undefined ? null : JSON.stringify(key.policySets),
          key.addresses === undefined ? null : JSON.stringify(key.addresses),
          key.dailyQuota ?? null,
          key.expires ?? null,
          now,
          by,
        ],
      );
    } catch (error) {
      if (!/UNIQUE constraint/.test((error as Error).message)) throw error;
      throw nameTaken(key.name);
    }
    await this.addSecret(key.name, text, now);
    return text;
  }

  /**
   * Gives a key a new secret and returns its text. The one before stays good for `overlapMs`, any older one ends now, so
   * that never more than two are valid.
   *
   * @throws VerdictError `api_key_not_found` also when it is revoked
   */
  async rotate(name: string, environment: string, overlapMs: number, now: number): Promise<string> {
    const key = await this.find(name);
    if (key === undefined || key.revoked !== undefined) throw notFound(name);
    const newest = key.secrets.at(-1)?.digest ?? '';
    await this.connection.query(
      `UPDATE api_key_secret SET expires = min(coalesce(expires, ?1), ?1) WHERE key_name = ?2 AND digest <> ?3`,
      [now, name, newest],
    );
    await this.connection.query(
      `UPDATE api_key_secret SET expires = min(coalesce(expires, ?1), ?1) WHERE key_name = ?2 AND digest = ?3`,
      [now + overlapMs, name, newest],
    );
    const text = makeApiKey(environment);
    await this.addSecret(name, text, now);
    return text;
  }

  /** @throws VerdictError `api_key_not_found`; a key that is revoked already stays so since then */
  async revoke(name: string, now: number): Promise<void> {
    if ((await this.find(name)) === undefined) throw notFound(name);
    await this.connection.query('UPDATE api_key SET revoked = coalesce(revoked, ?) WHERE name = ?', [now, name]);
  }

  /** Notes when secrets were last used; called rarely, so that authenticating writes nothing. */
  async used(uses: ReadonlyMap<string, number>): Promise<void> {
    if (uses.size === 0) return;
    await this.connection.query(
      `UPDATE api_key_secret SET last_used = max(coalesce(last_used, 0), j.value)
       FROM json_each(?) AS j WHERE digest = j.key`,
      [JSON.stringify(Object.fromEntries(uses))],
    );
  }

  private async addSecret(name: string, text: string, now: number): Promise<void> {
    await this.connection.query('INSERT INTO api_key_secret (digest, key_name, created) VALUES (?, ?, ?)', [
      digestOf(text),
      name,
      now,
    ]);
  }
}

function nameTaken(name: string): VerdictError {
  return new VerdictError('api_key_exists', `There is, or was, an API key "${name}"; names are used once.`);
}

function notFound(name: string): VerdictError {
  return new VerdictError('api_key_not_found', `There is no API key "${name}".`);
}

function toKey(row: KeyRow, secrets: readonly SecretRow[]): ManagedKey {
  return Object.freeze({
    name: row.name,
    ...(row.owner !== null && { owner: row.owner }),
    scopes: JSON.parse(row.scopes) as string[],
    ...(row.policy_sets !== null && { policySets: JSON.parse(row.policy_sets) as string[] }),
    ...(row.addresses !== null && { addresses: JSON.parse(row.addresses) as string[] }),
    ...(row.daily_quota !== null && { dailyQuota: row.daily_quota }),
    ...(row.expires !== null && { expires: row.expires }),
    created: row.created,
    createdBy: row.created_by,
    ...(row.revoked !== null && { revoked: row.revoked }),
    secrets: secrets.map(({ digest, created, expires, last_used }) => ({
      digest,
      created,
      ...(expires !== null && { expires }),
      ...(last_used !== null && { lastUsed: last_used }),
    })),
  });
}
