import type { Command } from 'commander';
import { DatabaseError } from '../../database/database-error.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';

interface RotateOptions {
  readonly database?: string;
  readonly rewrite?: boolean;
}

/** Adds `verdict log rotate-key`. `readDatabase` is asked where `--database` is not given. */
export function addRotateKey(log: Command, terminal: Terminal, readDatabase: () => Promise<string>): void {
  log
    .command('rotate-key')
    .description(
      'Wraps the keys of an encrypted log anew under the first key of VERDICT_ENCRYPTION_KEY, while the service runs or not. Then\n' +
        'the others can be left out. Exit code 1 when a file stays as it is, since its key is not there.',
    )
    .option('--database <file>', 'an SQLite file; otherwise the one of VERDICT_DATABASE_URL')
    .option(
      '--rewrite',
      'encrypt all files anew under new data keys, also those from before there was a key; no service may use the folder',
    )
    .addHelpText('after', '\nExamples:\n  verdict log rotate-key\n  verdict log rotate-key --rewrite\n')
    .action(async ({ database, rewrite = false }: RotateOptions) => {
      const { rotateKeys } = await import('../sources/database.js');
      try {
        const { changed, current, plain, failed } = await rotateKeys(database ?? (await readDatabase()), rewrite);
        for (const { why } of failed) terminal.print(`left as it is: ${why}`);
        terminal.print(`${count(changed.length, 'file')} ${rewrite ? 'encrypted anew' : 'wrapped anew'}`);
        if (current.length > 0) terminal.print(`${count(current.length, 'file')} had the newest key already`);
        if (plain.length > 0) terminal.print(`${count(plain.length, 'file')} not encrypted`);
        process.exitCode = failed.length === 0 ? exitCodes.fine : exitCodes.findings;
      } catch (error) {
        if (error instanceof DatabaseError) throw new UsageError(`the log cannot be read: ${error.message}`);
        throw error;
      }
    });
}
