import { type Command, Option } from 'commander';
import { DatabaseError } from '../../database/database-error.js';
import type { Erasure, ErasurePreview } from '../../decision-log/erasure/erasure-answers.js';
import { UsageError } from '../exit-code.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import type { Person } from '../sources/erasing.js';
import { addServerOptions, type ServerOptions } from '../sources/server.js';

interface EraseOptions extends ServerOptions {
  readonly subject?: string;
  readonly resource?: string;
  readonly reason: string;
  readonly database?: string;
  readonly yes?: true;
  readonly output?: 'text' | 'json';
}

/** What the command needs of the configuration. */
export interface EraseConfig {
  readonly database: string;
  /** As `VERDICT_LOG_SIGNING_KEY`. */
  readonly fleetKeys?: string | undefined;
}

/** Adds `verdict log erase`. `readConfig` is asked where `--url` is not given. */
export function addErase(log: Command, terminal: Terminal, readConfig: () => Promise<EraseConfig>): void {
  addServerOptions(log.command('erase'))
    .description(
      'Erases a person from the decision log. Without --yes it says what would be erased, and where the person is that no\n' +
        'erasure touches. A running service carries it out; without one this command does, but for PostgreSQL, where the next\n' +
        'replica does. Needs the scope decisions:erase with --url.',
    )
    .addOption(new Option('--subject <id>', 'the id of a subject').conflicts('resource'))
    .option('--resource <id>', 'the id of a resource')
    .requiredOption('--reason <text>', 'why, for who reads it later; it may not name the person')
    .addOption(
      new Option(
        '--database <database>',
        'an SQLite file, or postgres://…; otherwise the one of VERDICT_DATABASE_URL',
      ).conflicts('url'),
    )
    .option('--yes', 'order it')
    .addOption(new Option('--output <format>', 'text on a terminal, otherwise json').choices(['text', 'json']))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict log erase --subject dana --reason "request 4711"\n' +
        '  verdict log erase --subject dana --reason "request 4711" --url https://verdict.example --yes\n',
    )
    .action((options: EraseOptions) => erase(options, terminal, readConfig));
}

async function erase(options: EraseOptions, terminal: Terminal, readConfig: () => Promise<EraseConfig>): Promise<void> {
  const person = personOf(options);
  const { eraserInDatabase, eraserOfServer, untilFinished } = await import('../sources/erasing.js');
  const isForPeople = options.output === undefined ? terminal.isTTY : options.output === 'text';
  const eraser =
    options.url === undefined
      ? await inDatabase(options, readConfig, eraserInDatabase)
      : eraserOfServer({ url: options.url });
  try {
    if (options.yes === undefined) {
      const preview = await eraser.preview(person);
      if (isForPeople) printPreview(terminal, preview);
      else terminal.printJson(preview, 0);
      return;
    }
    const ordered = await eraser.order(person, options.reason);
    const stands = `erasure ${ordered.id} is ordered and stands`;
    if (await eraser.isLeft()) {
      terminal.remark(`${stands}; no service runs: the next replica that starts carries it out`);
      if (!isForPeople) terminal.printJson(ordered, 0);
      return;
    }
    const erasure = await untilFinished(eraser, ordered, () => {
      terminal.remark(`${stands}; waiting until it is carried out everywhere, which a service does`);
    }).catch((error: unknown) => {
      terminal.remark(`${stands}, and nobody knows here how far it is`);
      throw error;
    });
    if (isForPeople) printErasure(terminal, erasure);
    else terminal.printJson(erasure, 0);
  } catch (error) {
    if (error instanceof DatabaseError) throw new UsageError(`the database cannot be used: ${error.message}`);
    throw error;
  } finally {
    await eraser.close();
  }
}

async function inDatabase<Made>(
  { database }: EraseOptions,
  readConfig: () => Promise<EraseConfig>,
  make: (database: string, fleetKeys: string | undefined) => Made,
): Promise<Made> {
  const config = await readConfig();
  return make(database ?? config.database, config.fleetKeys);
}

function personOf({ subject, resource }: EraseOptions): Person {
  if (subject !== undefined) return { kind: 'subject', id: subject };
  if (resource !== undefined) return { kind: 'resource', id: resource };
  throw new UsageError('say whom to erase: --subject or --resource, with the id');
}

function printPreview(terminal: Terminal, { records, untouched }: ErasurePreview): void {
  terminal.print(
    `${count(records.about, 'record')} about the person would lose the id, all attributes and what they say`,
  );
  terminal.print(`${count(records.named, 'record')} that name the person would lose the name`);
  if (records.held > 0) terminal.print(`${count(records.held, 'record')} are held, and would stay`);
  if (records.unreadable > 0) terminal.print(`${count(records.unreadable, 'record')} are damaged: nobody can say`);
  terminal.print('listed, and not touched:');
  for (const { place, note, found } of untouched) {
    const where =
      found === undefined ? '' : found.length === 0 ? ' (found in none)' : ` (found in ${found.join(', ')})`;
    terminal.printLines(`  ${place}${where}: ${note}`);
  }
  terminal.print('nothing was changed; --yes orders it');
}

function printErasure(terminal: Terminal, { id, records }: Erasure): void {
  terminal.print(`erasure ${id} is carried out`);
  terminal.print(
    `${count(records.about, 'record')} about the person and ${count(records.named, 'record')} that named it`,
  );
  if (records.held > 0) terminal.print(`${count(records.held, 'record')} are held, and stay`);
  if (records.unreadable > 0) terminal.print(`${count(records.unreadable, 'record')} are damaged: nobody can say`);
}
