import type { Command } from 'commander';
import { isPostgresUrl } from '../../config/postgres-url.js';
import { DatabaseError } from '../../database/database-error.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';

interface RotateOptions {
  readonly database?: string;
  readonly rewrite?: boolean;
}

/**
 * Adds `verdict log rotate-key`. `readDatabase` is asked where `--database` is not given, and `readDatabasePath` for the file beside
 * which a replica of a log in PostgreSQL has its journal.
 */
export function addRotateKey(
  log: Command,
  terminal: Terminal,
  readDatabase: () => Promise<string>,
  readDatabasePath: () => Promise<string>,
): void {
  log
    .command('rotate-key')
    .description(
      'Wraps the keys of an encrypted log anew under the first key of VERDICT_ENCRYPTION_KEY, while the service runs or not. Then\n' +
        'the others can be left out. With PostgreSQL these are the keys of the log that replicas share, and those of the journal in\n' +
        'VERDICT_SPOOL_DIR, which each replica has of its own. Exit code 1 when something stays as it is, since its key is not there.',
    )
    .option('--database <file>', 'an SQLite file or a postgres:// URL alone; otherwise the one of VERDICT_DATABASE_URL')
    .option(
      '--rewrite',
      'encrypt all files anew under new data keys, also those from before there was a key; no service may use the folder. Of a log in ' +
        'PostgreSQL the rows, while services run, and no journal',
    )
    .addHelpText('after', '\nExamples:\n  verdict log rotate-key\n  verdict log rotate-key --rewrite\n')
    .action(async ({ database, rewrite = false }: RotateOptions) => {
      const { journalsOf } = await import('../sources/database.js');
      try {
        const named = database ?? (await readDatabase());
        if (!isPostgresUrl(named)) {
          process.exitCode = await rotateFiles(terminal, [named], rewrite);
          return;
        }
        const shared = await rotateShared(terminal, named, rewrite);
        const journals = database === undefined && !rewrite ? await journalsOf(await readDatabasePath()) : [];
        const own = journals.length > 0 ? await rotateFiles(terminal, journals, false) : exitCodes.fine;
        process.exitCode = Math.max(shared, own);
      } catch (error) {
        if (error instanceof DatabaseError) throw new UsageError(`the log cannot be read: ${error.message}`);
        throw error;
      }
    });
}

/** @param databases each with the log beside it */
async function rotateFiles(terminal: Terminal, databases: readonly string[], rewrite: boolean): Promise<number> {
  const { rotateKeys } = await import('../sources/database.js');
  const sum = { changed: 0, current: 0, plain: 0, failed: 0 };
  for (const database of databases) {
    const { changed, current, plain, failed } = await rotateKeys(database, rewrite);
    for (const { why } of failed) terminal.print(`left as it is: ${why}`);
    sum.changed += changed.length;
    sum.current += current.length;
    sum.plain += plain.length;
    sum.failed += failed.length;
  }
  terminal.print(`${count(sum.changed, 'file')} ${rewrite ? 'encrypted anew' : 'wrapped anew'}`);
  if (sum.current > 0) terminal.print(`${count(sum.current, 'file')} had the newest key already`);
  if (sum.plain > 0) terminal.print(`${count(sum.plain, 'file')} not encrypted`);
  return sum.failed === 0 ? exitCodes.fine : exitCodes.findings;
}

async function rotateShared(terminal: Terminal, url: string, rewrite: boolean): Promise<number> {
  const { rotateSharedKeys } = await import('../sources/database.js');
  const { changed, current, failed, rewritten } = await rotateSharedKeys(url, rewrite);
  for (const why of failed) terminal.print(`left as it is: ${why}`);
  if (rewritten !== undefined) {
    terminal.print(`${count(rewritten.records, 'record')} in PostgreSQL encrypted anew`);
    if (rewritten.undecryptable > 0)
      terminal.print(`left as they are, since they were changed: ${count(rewritten.undecryptable, 'record')}`);
  }
  if (rewritten === undefined) terminal.print(`${count(changed, 'key')} in PostgreSQL wrapped anew`);
  if (current > 0) terminal.print(`${count(current, 'key')} had the newest key already`);
  return failed.length === 0 && (rewritten?.undecryptable ?? 0) === 0 ? exitCodes.fine : exitCodes.findings;
}
