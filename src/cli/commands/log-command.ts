import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { quote } from '../../core/quote.js';
import type { DecisionPage } from '../../decision-log/decision-page.js';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import { type Expansion, expansions } from '../../decision-log/expansion.js';
import type { ExportQuery } from '../../decision-log/export-query.js';
import type { StatsQuery } from '../../decision-log/stats-query.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { printReplay, printStats, remarkErred, remarkGaps, remarkIncomplete } from '../print/log-report.js';
import type { Terminal } from '../print/terminal.js';
import type { LogSource } from '../sources/log-source.js';
import { addErase } from './log-erase-command.js';
import { addRecordFilters, addStatsOptions, filtersOf, recordFilterNames, statsQueryOf } from './log-filters.js';
import { addHold } from './log-hold-command.js';
import { addLogSource, type LogOptions, LogReading } from './log-reading.js';
import { addRotateKey } from './log-rotate-key-command.js';
import { addVerify } from './log-verify-command.js';

type Options<Query> = LogOptions & { readonly [name in keyof Query]: Query[name] };
type ListOptions = Options<DecisionFilters> & {
  readonly limit: number;
  readonly cursor?: string;
  readonly expand?: Expansion;
};

/** Most records on a page of the log, and most that one command lists. */
const pageLimit = 1_000;
const listLimit = 10_000;

/**
 * `verdict log`: what was decided, from the service's database (also while it runs, or from a backup) or from a service.
 * `readDatabase` is asked where neither `--database` nor `--url` is given, `readDatabasePath` for the file beside which this machine's
 * journal lies.
 */
export function addLogCommand(
  program: Command,
  terminal: Terminal,
  readDatabase: () => Promise<string>,
  readDatabasePath: () => Promise<string>,
  readSigningKey: () => Promise<string | undefined> = async () => undefined,
): void {
  const log = program.command('log').summary('query, follow, export, replay, count, verify, hold and erase decisions');
  const reading = new LogReading(terminal, readDatabase);
  addQuery(log, reading);
  addTail(log, reading);
  addExport(log, reading);
  addReplay(log, reading);
  addStats(log, reading);
  addImport(log, reading);
  addVerify(log, terminal, readDatabase);
  addRotateKey(log, terminal, readDatabase, readDatabasePath);
  addHold(log, terminal, readDatabase);
  addErase(log, terminal, async () => ({ database: await readDatabase(), fleetKeys: await readSigningKey() }));
}

function addQuery(log: Command, reading: LogReading): void {
  const lines = ['--subject alice --decision deny --from 2026-11-01T00:00:00Z'];
  const command = addLogSource(log.command('query')).addHelpText('after', examples('query', lines));
  addRecordFilters(command, { times: true });
  command
    .description('Lists decisions, the newest first.')
    .option('--limit <number>', `how many at most, up to ${listLimit}`, wholeNumber(1, listLimit), 50)
    .option('--cursor <cursor>', 'go on where the list before ended')
    .addOption(expandOption())
    .addOption(output('text', 'ndjson'))
    .action((options: ListOptions) => {
      const filters = filtersOf(options);
      return reading.run(options, (source) => printList(source, filters, options, reading));
    });
}

async function printList(
  source: LogSource,
  filters: DecisionFilters,
  options: ListOptions,
  reading: LogReading,
): Promise<number> {
  const { terminal } = reading;
  let { cursor } = options;
  let left = options.limit;
  let erred = 0;
  const gathered: DecisionRecord[] = [];
  let incomplete: DecisionPage['incomplete'];
  do {
    const limit = Math.min(left, pageLimit);
    const page = await source.search({
      ...filters,
      limit,
      ...(cursor !== undefined && { cursor }),
      ...(options.expand !== undefined && { expand: options.expand }),
    });
    erred += page.erred ?? 0;
    remarkGaps(terminal, page.gaps ?? []);
    incomplete ??= page.incomplete;
    if (reading.isForPeople(options)) gathered.push(...page.items);
    else reading.printRecords(page.items, options, false);
    left -= page.items.length;
    cursor = page.nextCursor;
    if (page.searchedTo !== undefined) terminal.progress(`searched to ${page.searchedTo}`);
  } while (cursor !== undefined && left > 0);
  terminal.progress('');
  if (reading.isForPeople(options)) reading.printRecords(gathered, options, true);
  remarkIncomplete(terminal, incomplete ?? []);
  remarkErred(terminal, erred);
  if (cursor !== undefined) terminal.remark(`there are more: --cursor ${cursor}`);
  return exitCodes.fine;
}

function expandOption(): Option {
  return new Option('--expand <what>', 'with subject, action and resource as the evaluation saw them').choices(
    expansions,
  );
}

function addTail(log: Command, reading: LogReading): void {
  const command = addLogSource(log.command('tail')).addHelpText('after', examples('tail', ['--decision deny']));
  addRecordFilters(command, { times: false });
  command
    .description('Shows the newest decisions and those that come, until it is interrupted.')
    .option('--lines <number>', 'how many of the newest to begin with', wholeNumber(0, pageLimit), 10)
    .addOption(output('text', 'ndjson'))
    .action((options: Options<DecisionFilters> & { lines: number }) =>
      reading.run(options, async (source, signal) => {
        let isFirst = true;
        const onBroken = (why: string) => reading.terminal.remark(`${why}; it is followed again in a moment`);
        for await (const records of source.follow(filtersOf(options), options.lines, signal, onBroken)) {
          reading.printRecords(records, options, isFirst);
          isFirst = false;
        }
        return exitCodes.fine;
      }),
    );
}

function addExport(log: Command, reading: LogReading): void {
  const lines = [
    '--policy-set invoices > decisions.ndjson',
    '--output csv | gzip > decisions.csv.gz',
    '--about dana > dana.ndjson',
  ];
  const command = addLogSource(log.command('export')).addHelpText('after', examples('export', lines));
  addRecordFilters(command, { times: true });
  command
    .description('Writes all decisions that match, the newest first, in constant memory.')
    .addOption(new Option('--output <format>', 'how to write them').choices(['ndjson', 'csv']).default('ndjson'))
    .addOption(expandOption())
    .addOption(
      new Option(
        '--about <id>',
        'all that is kept about a person: decisions about the id or with a value equal to it, audit events, live data, keys, holds; NDJSON',
      ).conflicts([...recordFilterNames, 'proof', 'expand']),
    )
    .addOption(
      new Option(
        '--proof',
        'the oldest first, with what proves them: salts, checkpoints, and hashes of what is left out (NDJSON)',
      ).conflicts(['filter', 'expand']),
    )
    .action((options: ExportOptions) => {
      const { output: format, expand, about } = options;
      if (about !== undefined) {
        if (format === 'csv') throw new UsageError('an export about a person is NDJSON');
        return reading.exportPerson(options, about);
      }
      if (options.proof === true) {
        if (format === 'csv') throw new UsageError('an export with its proof is NDJSON');
        if (options.url === undefined) return reading.exportProof(options.database, filtersOf(options));
      }
      const query: ExportQuery = {
        ...filtersOf(options),
        ...(options.proof === true ? { proof: 'true' } : { format }),
        ...(expand !== undefined && { expand }),
      };
      return reading.run(options, async (source, signal) => {
        const records = Readable.from(source.export(query), { objectMode: false });
        await pipeline(records, process.stdout, { signal, end: false });
        return exitCodes.fine;
      });
    });
}

type ExportOptions = Options<DecisionFilters> & {
  readonly output: 'ndjson' | 'csv';
  readonly expand?: Expansion;
  readonly proof?: true;
};

function addReplay(log: Command, reading: LogReading): void {
  addLogSource(log.command('replay').argument('<id>', 'id of the decision'))
    .description(
      'Answers a recorded question again, at the time it was asked, and explains it. Exit code 1 when the answer is another.',
    )
    .option('--version <version>', 'on this version of the policy set instead of the one that answered')
    .addOption(output('text', 'json'))
    .addHelpText('after', examples('replay', ['0199c2f6-3d41-7003-8a41-90b7c3d9e211']))
    .action((id: string, options: LogOptions & { version?: string }) => {
      // Also keeps `..` and the like out of a path.
      if (!/^[0-9a-f-]{36}$/.test(id)) throw new UsageError(`${quote(id)} is no id of a decision`);
      const { version } = options;
      if (version !== undefined && !/^sha256:[0-9a-f]{64}$/.test(version)) {
        throw new UsageError('--version takes a whole version, sha256: and 64 digits: `verdict policy versions`');
      }
      return reading.run(options, async (source) => {
        const replay = await source.replay(id, version);
        if (reading.isForPeople(options)) printReplay(reading.terminal, replay);
        else reading.terminal.printJson(replay, 0);
        return replay.same ? exitCodes.fine : exitCodes.findings;
      });
    });
}

function addStats(log: Command, reading: LogReading): void {
  const lines = ['--bucket day --by policySet,decision', '--top subject --decision deny'];
  const command = addLogSource(log.command('stats')).description('Counts decisions, by time and by field.');
  addStatsOptions(command);
  command
    .addOption(output('text', 'json'))
    .addHelpText('after', examples('stats', lines))
    .action((options: Options<StatsQuery>) => {
      const query = statsQueryOf(options);
      return reading.run(options, async (source) => {
        const counted = await source.stats(query);
        if (reading.isForPeople(options)) printStats(reading.terminal, counted);
        else reading.terminal.printJson(counted, 0);
        return exitCodes.fine;
      });
    });
}

interface ImportOptions {
  readonly from: string;
  readonly database?: string;
}

function addImport(log: Command, reading: LogReading): void {
  const lines = ['--from data/verdict.sqlite --database postgres://verdict@db.example/verdict'];
  log
    .command('import')
    .description(
      'Takes an SQLite log whole into the log that replicas share in PostgreSQL, with the policy versions that its records\n' +
        'name. API keys and audit events are not taken. No service may use the folder. If it ends half-way, run it again:\n' +
        'it goes on there.',
    )
    .requiredOption('--from <file>', 'the SQLite database that the log lies beside, such as data/verdict.sqlite')
    .option('--database <database>', 'postgres://…; otherwise the one of VERDICT_DATABASE_URL')
    .addHelpText('after', examples('import', lines))
    .action((options: ImportOptions) => reading.import(options.from, options.database));
}

function output(...formats: readonly ['text', 'ndjson' | 'json']): Option {
  const [, program] = formats;
  return new Option('--output <format>', `text on a terminal, otherwise ${program}`).choices(formats);
}

function examples(name: string, lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  verdict log ${name} ${line}\n`).join('')}`;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}
