import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../exit-code.js';
import type { Terminal } from '../print/terminal.js';

/** `verdict backup`: copies each database of the service at one moment. The service may be running. */
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
 * @returns the files
 */
async function backUp(database: string, folder: string): Promise<string[]> {
  const { copyStores, hasStores } = await import('../sources/database.js');
  if (!(await hasStores(database)))
    throw new UsageError(`there is no database ${database}`, 'VERDICT_DATABASE_URL names it');
  if (existsSync(folder)) throw new UsageError(`${folder} is there already`, 'name a folder that is not there yet');
  const draft = `${folder}.partial`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const copies = await copyStores(database, draft);
  await rename(draft, folder);
  return copies.map((path) => join(folder, relative(draft, path)));
}
