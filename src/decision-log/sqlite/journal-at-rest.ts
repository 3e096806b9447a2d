import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import { DecisionLogReader } from './decision-log-reader.js';
import { JournalTail } from './journal-tail.js';
import { decisionLogPath } from './log-files.js';

/**
 * The journal of a log that nobody writes, whole: closed files and the open one, also of version 0.1. It is read and not
 * changed. `close` lets go of its files.
 *
 * @throws Error when there is no log beside the database
 */
export async function journalAtRest(databasePath: string, encryption?: EncryptionKeys): Promise<JournalTail> {
  const reader = await DecisionLogReader.open(databasePath, encryption);
  const { end, name } = await reader.view();
  const path = decisionLogPath(databasePath);
  if (name === undefined) throw new Error(`the open file of the journal, ${path}, is missing`);
  return new JournalTail(
    () => reader.view(),
    () => undefined,
    () => end,
    path,
  );
}
