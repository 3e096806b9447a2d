/** Verifies a decision log where it lies. It loads database drivers: import it when needed. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isPostgresUrl } from '../../config/postgres-url.js';
import { type CertifiedKey, trustedKeys } from '../../decision-log/proof/log-keys.js';
import {
  LogVerification,
  type VerificationDepth,
  type VerificationReport,
} from '../../decision-log/proof/log-verification.js';
import { closedFiles, closedPathOf, decisionLogPath } from '../../decision-log/sqlite/log-files.js';
import { UsageError } from '../exit-code.js';
import { openDecisionLog, openSharedDatabase } from './database.js';

export interface LogToVerify {
  /** An SQLite file, a folder that holds one log, or a `postgres://` URL. */
  readonly database: string;
  readonly keys: readonly CertifiedKey[];
  /** Checkpoints that were kept elsewhere. */
  readonly against: readonly string[];
  readonly depth: VerificationDepth;
}

/** @throws UsageError when there is no log */
export async function verifyLog({ database, keys, against, depth }: LogToVerify): Promise<VerificationReport> {
  const withTexts = depth === 'content';
  const begin = (certified: readonly CertifiedKey[]): LogVerification => {
    const verification = new LogVerification({ keys: trustedKeys(keys, certified), depth });
    for (const note of against) verification.checkpoint(note, '--against');
    return verification;
  };
  if (isPostgresUrl(database)) {
    const { SharedProofs } = await import('../../decision-log/postgres/shared-proofs.js');
    const { verifySharedLog } = await import('../../decision-log/postgres/verify-shared.js');
    const opened = await openSharedDatabase(database);
    try {
      if (!(await opened.hasTable('decision_tree')))
        throw new UsageError('no release that proves its log wrote this database');
      const proofs = new SharedProofs(
        opened,
        (read) => read(),
        async () => [],
      );
      const verification = begin(await proofs.keys());
      await verifySharedLog(opened, verification, withTexts);
      verification.end();
      return verification.report;
    } finally {
      await opened.close();
    }
  }
  const { DecisionLogReader } = await import('../../decision-log/sqlite/decision-log-reader.js');
  const { readSigningKeys } = await import('../../decision-log/sqlite/journal-trees.js');
  const { verifyJournal } = await import('../../decision-log/sqlite/verify-journal.js');
  const file = logIn(database.replace(/^sqlite:/, ''));
  await (await openDecisionLog(file)).close();
  const reader = await DecisionLogReader.open(file);
  const view = await reader.view();
  const verification = begin(await readSigningKeys(view));
  const path = decisionLogPath(file);
  const closed = closedFiles(path);
  await verifyJournal(view, verification, withTexts, ({ first }) =>
    basename(closed.includes(first) ? closedPathOf(path, first) : path),
  );
  verification.end();
  await reader.close();
  return verification.report;
}

/** The database that the log in a folder lies beside, by the name of its files. */
function logIn(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  const names = new Set(
    readdirSync(path).flatMap((name) => /^(.+)\.decisions(\.\d{16})?\.sqlite$/.exec(name)?.[1] ?? []),
  );
  const [name, ...others] = names;
  if (name === undefined) throw new UsageError(`there is no decision log in ${path}`);
  if (others.length > 0) throw new UsageError(`there are several decision logs in ${path}`, 'name the database of one');
  return join(path, `${name}.sqlite`);
}
