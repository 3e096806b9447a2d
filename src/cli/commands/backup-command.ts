import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../exit-code.js';
import type { Terminal } from '../print/terminal.js';

const busyTimeoutMs = 10_000;

/** `verdict backup`: the service's databases as they are at one moment each, while it runs or not. */
export function addBackupCommand(program: Command, terminal: Terminal, readDatabasePath: () => Promise<string>): void {
  program
    .command('backup')
    .summary('copy the databases, whether the service runs or not')
    .argument('<folder>', 'a folder that is not there yet')
    .description(
      'Copies the decision log and the database with policies, keys and audit events. See docs/operations.md.',
    )
    .addHelpText('after', '\nExamples:\n  verdict backup /var/backups/verdict-2026-11-22\n')
    .action(async (folder: string) => {
      for (const file of await backUp(await readDatabasePath(), resolve(folder))) terminal.print(file);
    });
}

/**
 * Copies what cannot be made again; the index of the log's open file can. The folder has its name only when everything is in it.
 *
 * The log comes first: a version is archived before it serves, so the archive that is copied later has every version
 * that the copied records name.
 *
 * @returns the files
 */
async function backUp(databasePath: string, folder: string): Promise<string[]> {
  const { decisionLogPath } = await import('../../decision-log/sqlite/log-files.js');
  const { backUpJournal } = await import('../../decision-log/sqlite/journal-backup.js');
  const logPath = decisionLogPath(databasePath);
  if (!existsSync(logPath) && !existsSync(databasePath))
    throw new UsageError(`there is no database ${databasePath}`, 'VERDICT_DATABASE_URL names it');
  if (existsSync(folder)) throw new UsageError(`${folder} is there already`, 'name a folder that is not there yet');
  const draft = `${folder}.partial`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const copies = await backUpJournal(logPath, draft);
  if (existsSync(databasePath)) copies.push(await copyDatabase(databasePath, join(draft, basename(databasePath))));
  await rename(draft, folder);
  return copies.map((path) => join(folder, basename(path)));
}

/** SQLite reads the file as it is when this begins; writers go on meanwhile. Returns the copy. */
async function copyDatabase(from: string, to: string): Promise<string> {
  const { SqliteConnection } = await import('../../database/sqlite/sqlite-connection.js');
  // SQLite writes into an empty file as into a new one, which would be readable by everybody.
  const file = await open(to, 'wx', 0o600);
  const connection = await SqliteConnection.open({ path: from, busyTimeoutMs: busyTimeoutMs });
  try {
    await connection.query('VACUUM INTO ?', [to]);
    await file.sync();
    return to;
  } finally {
    await connection.close();
    await file.close();
  }
}
