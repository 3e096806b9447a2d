import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { StoredEntity } from '../../core/manifest/entities.js';
import type { PolicyProblem } from '../../core/problem.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { count, printProblems } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { isRefusedChange, sendDataChange, type WrittenData } from '../sources/data-changes.js';
import { type DataFile, type Lined, readDataFile } from '../sources/data-file.js';
import { addServerOptions, type ServerOptions, ServerRefusal } from '../sources/server.js';

interface ImportOptions extends ServerOptions {
  readonly output: 'text' | 'json';
  readonly perChange: string;
  readonly update?: true;
  readonly again?: true;
}

/** Most entries of a change that a service takes, an entity that is removed and added counted twice. */
const mostPerChange = 50_000;
/** Most characters of a change. */
const changeLength = 8 * 1024 * 1024;

/** One change of an import. */
interface ImportedChange {
  readonly body: { readonly add: object; readonly remove?: object };
  /** The entries with their lines. */
  readonly entries: readonly Lined<unknown>[];
}

/** What became of an import. */
interface Imported {
  readonly set: string;
  readonly file: string;
  readonly entries: number;
  /** How many changes it takes, and how many of them were made. */
  readonly changes: number;
  made: number;
  added: number;
  removed: number;
  revision?: number;
  version?: string;
}

export function addDataImportCommand(data: Command, terminal: Terminal): void {
  const command = data
    .command('import <set> <file>')
    .summary('add many role links or entities from a file')
    .description(
      'Adds role links (.csv, the lines of a rules file) or entities (.ndjson, one a line; .yaml and .json, a list) to the\n' +
        'live data of a policy set. The file is read whole first: where a line is wrong, nothing is sent.\n' +
        'A file of more entries than one change takes (--per-change) is imported by several changes. Each is made as a\n' +
        'whole, but the import is not one change: questions are answered while a part of it is there. When it was cut off,\n' +
        'the same command goes on where it ended, within a day. Exit code 1 when the service refuses a change, 2 for a\n' +
        'file that cannot be read.',
    )
    .option('--per-change <number>', 'most entries of one change', '5000')
    .option('--update', 'give entities that are there the attributes of the file; otherwise that is a conflict')
    .option('--again', 'carry out again what the same file has done within a day');
  addServerOptions(command)
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict data import invoices roles.csv --url http://127.0.0.1:3000\n' +
        '  verdict data import invoices users.ndjson --update --url http://127.0.0.1:3000\n',
    )
    .action(async (set: string, file: string, options: ImportOptions) => {
      const perChange = entriesPerChange(options);
      const read = await readDataFile(file);
      if (options.update === true && read.kind === 'roles') throw new UsageError('--update is for entities');
      if (read.problems.length > 0) {
        if (options.output === 'json') terminal.printJson({ set, file, problems: read.problems });
        else printProblems(terminal, { name: set, path: '', problems: read.problems });
        terminal.remark(`verdict: ${file} has ${count(read.problems.length, 'problem')}, so nothing was sent`);
        process.exitCode = exitCodes.usage;
        return;
      }
      process.exitCode = await new Import(set, file, options, terminal).run([
        ...changesOf(read, perChange, options.update === true),
      ]);
    });
}

function entriesPerChange({ perChange, update }: ImportOptions): number {
  const most = update === true ? mostPerChange / 2 : mostPerChange;
  const number = /^\d{1,6}$/.test(perChange) ? Number(perChange) : 0;
  if (number >= 1 && number <= most) return number;
  throw new UsageError(`--per-change is "${perChange}": say a number from 1 to ${most}`);
}

function* changesOf(file: DataFile, perChange: number, updates: boolean): Generator<ImportedChange> {
  let [entries, length]: [Lined<unknown>[], number] = [[], 0];
  for (const entry of file.entries) {
    const own = JSON.stringify(entry.value).length;
    if (entries.length === perChange || (entries.length > 0 && length + own > changeLength)) {
      yield changeOf(file.kind, entries, updates);
      [entries, length] = [[], 0];
    }
    entries.push(entry);
    length += own;
  }
  if (entries.length > 0) yield changeOf(file.kind, entries, updates);
}

function changeOf(kind: DataFile['kind'], entries: readonly Lined<unknown>[], updates: boolean): ImportedChange {
  const values = entries.map(({ value }) => value);
  // What is removed goes first, so an entity that is the same before and after is not changed.
  const names = updates ? (values as StoredEntity[]).map(({ type, id }) => ({ type, id })) : [];
  return { entries, body: { add: { [kind]: values }, ...(updates && { remove: { entities: names } }) } };
}

/** How often a change is sent again that there is no room for now. */
const mostWaits = 60;
/** The longest wait, in seconds. */
const longestWait = 10;

class Import {
  /** Without it the key of a change follows from the change alone, so that another run goes on with the same. */
  private readonly salt: string;

  constructor(
    private readonly set: string,
    private readonly file: string,
    private readonly options: ImportOptions,
    private readonly terminal: Terminal,
  ) {
    this.salt = options.again === true ? randomUUID() : '';
  }

  async run(changes: readonly ImportedChange[]): Promise<number> {
    const { set, file, terminal } = this;
    const entries = changes.reduce((sum, change) => sum + change.entries.length, 0);
    const done: Imported = { set, file, entries, changes: changes.length, made: 0, added: 0, removed: 0 };
    if (changes.length > 1) {
      terminal.remark(
        `${file}: ${entries} entries in ${changes.length} changes. Each is made as a whole, but the import is not one change.`,
      );
    }
    let sent = 0;
    for (const change of changes) {
      terminal.progress(`${set}: ${sent} of ${entries}`);
      try {
        const { added, removed, revision, version } = await this.send(change);
        Object.assign(done, { revision, version });
        done.made++;
        done.added += added;
        done.removed += removed;
        sent += change.entries.length;
      } catch (error) {
        terminal.progress('');
        if (!isRefusedChange(error)) {
          this.remarkProgress(done);
          throw error;
        }
        return this.refused(done, change, error);
      }
    }
    terminal.progress('');
    this.print(done);
    return exitCodes.fine;
  }

  private async send({ body }: ImportedChange): Promise<WrittenData> {
    const digest = createHash('sha256')
      .update(JSON.stringify([this.set, this.salt, body]))
      .digest('hex');
    const headers = { 'idempotency-key': `import-${digest}` };
    for (let waits = 0; ; waits++) {
      try {
        return await sendDataChange(this.options, this.set, body, headers);
      } catch (error) {
        const isBusy = error instanceof ServerRefusal && (error.status === 429 || error.status === 503);
        if (!isBusy || waits === mostWaits) throw error;
        await delay(1_000 * Math.min(longestWait, error.retryAfter ?? 1));
      }
    }
  }

  private refused(done: Imported, { entries }: ImportedChange, error: ServerRefusal): number {
    const { set, file, terminal } = this;
    const problems = error.errors.map(({ pointer, detail }): PolicyProblem => {
      const at = /^\/(?:add|remove)\/(?:roles|entities)\/(\d+)/.exec(pointer)?.[1];
      const line = (at === undefined ? undefined : entries[Number(at)]?.line) ?? 1;
      return { severity: 'error', code: error.code ?? 'refused', message: detail, file, line, column: 1 };
    });
    if (this.options.output === 'json') terminal.printJson({ ...done, problems });
    else if (problems.length === 0) terminal.print(`${set}: ${error.hint ?? error.message}`);
    else printProblems(terminal, { name: set, path: '', problems });
    this.remarkProgress(done);
    return exitCodes.findings;
  }

  private remarkProgress({ made, changes }: Imported): void {
    const { file, terminal } = this;
    if (made > 0)
      terminal.remark(`${made} of ${changes} changes of ${file} were made; the same command goes on behind them`);
  }

  private print(done: Imported): void {
    const { set, entries, changes, added, removed, revision } = done;
    if (this.options.output === 'json') {
      this.terminal.printJson(done);
      return;
    }
    const at = revision === undefined ? '' : ` at revision ${revision}`;
    this.terminal.print(`${set}${at}: ${added} added, ${removed} removed, in ${count(changes, 'change')}`);
    if (added < entries) {
      this.terminal.remark(
        `${entries - added} of ${entries} entries changed nothing: they were there, or the same file was imported within ` +
          'a day, which --again does not mind',
      );
    }
  }
}
