import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { quote } from '../../core/quote.js';
import { DatabaseError } from '../../database/database-error.js';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { ExportQuery } from '../../decision-log/export-query.js';
import type { StatsQuery } from '../../decision-log/stats-query.js';
import { VerdictError } from '../../errors.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { printRecords, printReplay, printStats, remarkGaps } from '../print/log-report.js';
import type { Terminal } from '../print/terminal.js';
import { follow } from '../sources/follow.js';
import { type LogSource, logOfServer } from '../sources/log-source.js';
import { addServerOptions, type ServerOptions } from '../sources/server.js';

/** All of them read one source, and write a table for a person and JSON for a program. */
interface LogOptions extends ServerOptions {
  readonly database?: string;
  readonly output?: 'text' | 'ndjson' | 'json' | 'csv';
}

type Options<Query> = LogOptions & { readonly [name in keyof Query]: Query[name] };

const filterNames = ['subject', 'action', 'resource', 'requestId', 'traceId', 'instance', 'q'] as const;
const tallyNames = ['policySet', 'policyVersion', 'decision', 'reason', 'caller'] as const;
/** On which times; not for `tail`, which goes on from now. */
const timeNames = ['from', 'to', 'tz'] as const;
const tallyList: readonly string[] = tallyNames;
/** What a page of the log holds at most, and a table that somebody reads. */
const pageLimit = 1_000;
const listLimit = 10_000;

type FilterName = (typeof filterNames)[number] | (typeof tallyNames)[number] | (typeof timeNames)[number];

const about: Readonly<Record<FilterName, string>> = {
  subject: 'id of the subject',
  action: 'name of the action',
  resource: 'id of the resource',
  decision: 'the answer',
  reason: "the reason's code",
  policySet: 'name of the policy set',
  policyVersion: 'version that answered',
  caller: 'who asked',
  requestId: 'id of the request',
  traceId: 'id of the trace that the request belonged to',
  instance: 'name of the instance that answered',
  from: 'from this time on (RFC 3339), or from this day on: 2026-03-03',
  to: 'before this time, or up to the end of this day',
  tz: 'time zone of days: Europe/Zurich; without it UTC',
  q: 'a text within an id, the reason or an attribute',
};

/**
 * `verdict log`: what was decided, from the service's database (also while it runs, or from a backup) or from a service.
 * `readDatabasePath` is asked where neither `--database` nor `--url` is given.
 */
export function addLogCommand(program: Command, terminal: Terminal, readDatabasePath: () => Promise<string>): void {
  const log = program.command('log').summary('query, follow, export, replay and count decisions');

  add('query', 'Lists decisions, the newest first.', ['--subject alice --decision deny --from 2026-11-01T00:00:00Z'])
    .option('--limit <number>', `how many at most, up to ${listLimit}`, wholeNumber(1, listLimit), 50)
    .option('--cursor <cursor>', 'go on where the list before ended')
    .addOption(output('text', 'ndjson'))
    .action((options: Options<DecisionFilters> & { limit: number; cursor?: string }) =>
      run(options, (source) => printList(source, options)),
    );

  add('tail', 'Shows the newest decisions and those that come, until it is interrupted.', ['--decision deny'])
    .option('--lines <number>', 'how many of the newest to begin with', wholeNumber(0, pageLimit), 10)
    .addOption(output('text', 'ndjson'))
    .action((options: Options<DecisionFilters> & { lines: number }) =>
      run(options, async (source, signal) => {
        let isFirst = true;
        for await (const records of follow(source, filtersOf(options), options.lines, signal)) {
          print(records, options, isFirst);
          isFirst = false;
        }
        return exitCodes.fine;
      }),
    );

  add('export', 'Writes all decisions that match, the newest first, in constant memory.', [
    '--policy-set invoices > decisions.ndjson',
    '--output csv | gzip > decisions.csv.gz',
  ])
    .addOption(new Option('--output <format>', 'how to write them').choices(['ndjson', 'csv']).default('ndjson'))
    .action((options: Options<DecisionFilters> & { output: 'ndjson' | 'csv' }) =>
      run(options, async (source, signal) => {
        const query: ExportQuery = { ...filtersOf(options), format: options.output };
        await pipeline(Readable.from(source.export(query), { objectMode: false }), process.stdout, {
          signal,
          end: false,
        });
        return exitCodes.fine;
      }),
    );

  source(log.command('replay').argument('<id>', 'id of the decision'))
    .description(
      'Answers a recorded question again, at the time it was asked, and explains it. Exit code 1 when the answer is another.',
    )
    .option('--version <version>', 'on this version of the policy set instead of the one that answered')
    .addOption(output('text', 'json'))
    .addHelpText('after', examples('replay', ['0199c2f6-3d41-7003-8a41-90b7c3d9e211']))
    .action((id: string, options: LogOptions & { version?: string }) =>
      run(options, async (from) => {
        // Also keeps `..` and the like out of a path.
        if (!/^[0-9a-f-]{36}$/.test(id)) throw new UsageError(`${quote(id)} is no id of a decision`);
        const { version } = options;
        if (version !== undefined && !/^sha256:[0-9a-f]{64}$/.test(version)) {
          throw new UsageError('--version takes a whole version, sha256: and 64 digits: `verdict policy versions`');
        }
        const replay = await from.replay(id, version);
        if (isForPeople(options)) printReplay(terminal, replay);
        else terminal.printJson(replay, 0);
        return replay.same ? exitCodes.fine : exitCodes.findings;
      }),
    );

  const stats = source(log.command('stats')).description('Counts decisions, by time and by field.');
  for (const name of [...tallyNames, ...timeNames]) stats.addOption(filter(name));
  stats
    .addOption(
      new Option('--bucket <length>', 'counts for each of these, in the time zone of --tz').choices([
        'minute',
        'hour',
        'day',
      ]),
    )
    .option('--by <fields>', `counts by ${tallyNames.join(', ')}; several with commas`, fieldList)
    .addOption(new Option('--top <field>', 'the most frequent ids as well').choices(['subject', 'resource']))
    .addOption(output('text', 'json'))
    .addHelpText('after', examples('stats', ['--bucket day --by policySet,decision', '--top subject --decision deny']))
    .action((options: Options<StatsQuery>) =>
      run(options, async (from) => {
        const query = pick(options, ['bucket', 'by', 'top', ...tallyNames, ...timeNames]);
        const counted = await from.stats(query);
        if (isForPeople(options)) printStats(terminal, counted);
        else terminal.printJson(counted, 0);
        return exitCodes.fine;
      }),
    );

  /** A command with the filters of records. */
  function add(name: string, description: string, lines: readonly string[]): Command {
    const command = source(log.command(name)).description(description).addHelpText('after', examples(name, lines));
    for (const field of [...filterNames, ...tallyNames]) command.addOption(filter(field));
    if (name !== 'tail') for (const field of timeNames) command.addOption(filter(field));
    return command;
  }

  async function printList(
    from: LogSource,
    options: Options<DecisionFilters> & { limit: number; cursor?: string },
  ): Promise<number> {
    let { cursor } = options;
    let left = options.limit;
    const gathered: DecisionRecord[] = [];
    do {
      const limit = Math.min(left, pageLimit);
      const page = await from.search({ ...filtersOf(options), limit, ...(cursor !== undefined && { cursor }) });
      remarkGaps(terminal, page.gaps ?? []);
      if (isForPeople(options)) gathered.push(...page.items);
      else print(page.items, options, false);
      left -= page.items.length;
      cursor = page.nextCursor;
      if (page.searchedTo !== undefined) terminal.progress(`searched to ${page.searchedTo}`);
    } while (cursor !== undefined && left > 0);
    terminal.progress('');
    if (isForPeople(options)) print(gathered, options, true);
    if (cursor !== undefined) terminal.remark(`there are more: --cursor ${cursor}`);
    return exitCodes.fine;
  }

  function print(records: readonly DecisionRecord[], options: LogOptions, withHead: boolean): void {
    if (isForPeople(options)) printRecords(terminal, records, withHead);
    else for (const record of records) terminal.printJson(record, 0);
  }

  function isForPeople({ output: format }: LogOptions): boolean {
    return format === undefined ? terminal.isTTY : format === 'text';
  }

  /** Opens the source, closes it whatever happens, and says what whoever typed the command can put right. */
  async function run(
    options: LogOptions,
    work: (source: LogSource, signal: AbortSignal) => Promise<number>,
  ): Promise<void> {
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    // `verdict log query | head`: whoever reads has enough.
    process.stdout.on('error', () => stop.abort());
    let opened: LogSource | undefined;
    try {
      opened = await open(options);
      process.exitCode = await work(opened, stop.signal);
    } catch (error) {
      if (!stop.signal.aborted && !isClosedPipe(error)) throw sayWhy(error);
    } finally {
      await opened?.close();
    }
  }

  async function open({ url, database }: LogOptions): Promise<LogSource> {
    if (url !== undefined) return logOfServer({ url });
    const { logOfDatabase } = await import('../sources/log-file.js');
    return logOfDatabase(database ?? (await readDatabasePath()));
  }
}

function source(command: Command): Command {
  return addServerOptions(command).addOption(
    new Option('--database <file>', 'read this database; otherwise the one of VERDICT_DATABASE_URL').conflicts('url'),
  );
}

const placeholders: { readonly [name in FilterName]?: string } = { from: 'time', to: 'time', tz: 'zone' };

function filter(name: FilterName): Option {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const option = new Option(`--${flag} <${placeholders[name] ?? 'text'}>`, about[name]);
  return name === 'decision' ? option.choices(['allow', 'deny']) : option;
}

function output(...formats: readonly ['text', 'ndjson' | 'json']): Option {
  const [, program] = formats;
  return new Option('--output <format>', `text on a terminal, otherwise ${program}`).choices(formats);
}

function examples(name: string, lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  verdict log ${name} ${line}\n`).join('')}`;
}

function filtersOf(options: Options<DecisionFilters>): DecisionFilters {
  return pick(options, [...filterNames, ...tallyNames, ...timeNames]);
}

/** The options of these names that were given. */
function pick<T, K extends keyof T>(options: T, names: readonly K[]): Pick<T, K> {
  const given = names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]);
  // Sound: what was not given is optional in every query.
  return Object.fromEntries(given) as Pick<T, K>;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function fieldList(text: string): readonly string[] {
  const fields = text.split(',');
  const unknown = fields.find((field) => !tallyList.includes(field));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no "${unknown}": ${tallyNames.join(', ')}.`);
  return fields;
}

function isClosedPipe(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPIPE';
}

function sayWhy(error: unknown): unknown {
  if (error instanceof VerdictError) return new UsageError(error.detail);
  if (error instanceof DatabaseError) return new UsageError(`the log cannot be read: ${error.message}`);
  return error;
}
