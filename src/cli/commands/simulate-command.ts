import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { engineVersion } from '../../core/engine/engine-version.js';
import { formatProblem } from '../../core/problem.js';
import { LineTooLong } from '../../pdp/simulation/portions.js';
import type { GateKind, SimulationResult } from '../../pdp/simulation/simulation-result.js';
import { gateCount, gateKinds, resultOf } from '../../pdp/simulation/simulation-result.js';
import {
  CandidateRefused,
  runSimulation,
  SimulationFailed,
  UnreadableExport,
} from '../../pdp/simulation/simulation-run.js';
import { readTimeRange } from '../../query/time-range.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { junitOfProblems } from '../print/junit.js';
import { count, sarifOf } from '../print/report.js';
import { changesAsProblems, printSimulation } from '../print/simulation-report.js';
import type { Terminal } from '../print/terminal.js';
import { readCandidate } from '../sources/candidate.js';
import { loadSet } from '../sources/policy-folder.js';
import { versionsOfServer } from '../sources/policy-versions.js';
import { addServerOptions } from '../sources/server.js';
import { type LookedAt, logInDatabase, logInFile, logOfService, type SimulatedLog } from '../sources/simulated-log.js';
import { sayWhy } from './log-reading.js';

interface SimulateOptions {
  readonly url?: string;
  readonly database?: string;
  readonly file?: string;
  readonly policySet?: string;
  readonly from?: string;
  readonly to?: string;
  readonly tz?: string;
  readonly filter?: string;
  readonly failOn?: readonly GateKind[];
  readonly max?: number;
  readonly allowIncomplete?: boolean;
  readonly threads: number;
  readonly output: 'text' | 'json' | 'junit' | 'sarif';
}

/** Most memory of a thread, in MiB: two large sets and what is remembered. */
const memoryMb = 4_096;

/** `readDatabase` is asked where nothing says which log is meant. */
export function addSimulateCommand(program: Command, terminal: Terminal, readDatabase: () => Promise<string>): void {
  const command = program
    .command('simulate <candidate> [path]')
    .summary('answer logged decisions again on a set that does not serve yet')
    .description(
      'Answers logged decisions again on a candidate, each at its own time, and shows what changes: who gains and who loses what, by\n' +
        'which rule, and which errors appear or go. The candidate is a folder, a bundle, a git revision (main, with the folder of the\n' +
        'sets as [path], else policies), or a version that has served (sha256:1f09).',
    );
  addServerOptions(command)
    .addOption(
      new Option(
        '--database <database>',
        'a file or postgres://…; otherwise the one of VERDICT_DATABASE_URL',
      ).conflicts('url'),
    )
    .addOption(
      new Option('--file <file>', 'an export of the log: verdict log export > FILE').conflicts(['url', 'database']),
    )
    .option('--policy-set <name>', 'whose decisions; by default the set of the name that the candidate has')
    .option('--from <time>', 'decisions from this time on (RFC 3339), or from this day on: 2026-03-03')
    .option('--to <time>', 'decisions before this time, or up to the end of this day')
    .option('--tz <zone>', 'time zone of days: Europe/Zurich; without it UTC')
    .option('--filter <condition>', "a condition over the record: resource.amount > 10000 && decision == 'deny'")
    .addOption(
      new Option(
        '--fail-on <kinds>',
        'exit code 1 when there are such decisions: gain, loss, error; several with commas',
      ).argParser(gateList),
    )
    .option('--max <number>', 'with --fail-on: so many of them are fine', wholeNumber)
    .option('--allow-incomplete', '--fail-on passes although decisions were left out')
    .option('--threads <number>', 'how many threads answer', threadCount, availableParallelism())
    .addOption(outputOption('text', 'json', 'junit', 'sarif'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict simulate policies/invoices --database data/verdict.sqlite --from 2026-11-01\n' +
        '  verdict simulate HEAD policies --policy-set invoices --url https://pdp.example --fail-on gain,error\n' +
        '  verdict simulate policies/invoices --file export.ndjson --fail-on gain,loss --max 10\n',
    )
    .action(async (candidate: string, path: string | undefined, options: SimulateOptions) => {
      if (options.failOn === undefined) {
        if (options.allowIncomplete === true) throw new UsageError('--allow-incomplete goes with --fail-on');
        if (options.max !== undefined) throw new UsageError('--max goes with --fail-on');
      }
      try {
        process.exitCode = await simulate(candidate, path, options, terminal, readDatabase);
      } catch (error) {
        terminal.progress('');
        throw asUsage(error, options);
      }
    });
}

async function simulate(
  candidate: string,
  path: string | undefined,
  options: SimulateOptions,
  terminal: Terminal,
  readDatabase: () => Promise<string>,
): Promise<number> {
  const { url, file, filter } = options;
  const { from, to } = readTimeRange(options);
  if (from !== undefined && to !== undefined && from >= to) throw new UsageError('--to is not after --from');
  const database = url === undefined && file === undefined ? (options.database ?? (await readDatabase())) : undefined;
  const openVersions =
    url !== undefined
      ? async () => versionsOfServer({ url })
      : database !== undefined
        ? async () => (await import('../sources/versions-in-database.js')).versionsInDatabase(database)
        : undefined;
  const folder = await readCandidate(candidate, path, options.policySet, openVersions);
  const { version } = loadSet(folder);
  const wanted: LookedAt = { policySet: folder.name, from, to, filter };
  const log = await openLog(wanted, { url, file, database });
  const stop = new AbortController();
  const cancel = () => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, cancel);
  try {
    const run = await runSimulation(log, {
      policySet: folder.name,
      candidate: { files: folder.files },
      from,
      to,
      filter: log.filter,
      threads: options.threads,
      memoryMb,
      signal: stop.signal,
      onProgress: progressOn(terminal, log),
    });
    terminal.progress('');
    const result = resultOf(run, { policySet: folder.name, candidate: version, gate: options.failOn });
    return report(result, folder.path, options, terminal);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, cancel);
    await log.close();
  }
}

function openLog(
  wanted: LookedAt,
  { url, file, database }: { url: string | undefined; file: string | undefined; database: string | undefined },
): Promise<SimulatedLog> {
  if (file !== undefined) return logInFile(file, wanted);
  if (url !== undefined) return Promise.resolve(logOfService(url, wanted));
  return logInDatabase(database!, wanted);
}

/** Shows how far it is, a few times a second and only to people. */
function progressOn(terminal: Terminal, log: SimulatedLog): (answered: number, changed: number) => void {
  const started = performance.now();
  let shown = 0;
  let total: number | undefined;
  // It is shown as soon as it is known; a log that cannot be counted is simulated all the same.
  log.total().then(
    (known) => {
      total = known;
    },
    () => undefined,
  );
  return (answered, changed) => {
    const now = performance.now();
    if (now - shown < 200) return;
    shown = now;
    const rate = `${Math.round((answered * 1_000) / (now - started))}/s`;
    terminal.progress(`${barOf(answered, total)}${answered} decisions, ${rate}, ${changed} changed`);
  };
}

function barOf(answered: number, total: number | undefined): string {
  if (total === undefined || total === 0) return '';
  const share = Math.min(1, answered / total);
  const length = Math.round(share * barLength);
  return `[${'#'.repeat(length)}${'.'.repeat(barLength - length)}] ${Math.floor(share * 100)} %  `;
}

const barLength = 20;

function report(
  result: SimulationResult,
  path: string,
  { failOn, max = 0, allowIncomplete = false, output }: SimulateOptions,
  terminal: Terminal,
): number {
  const found = failOn === undefined ? 0 : gateCount(result, failOn);
  const isOver = found > max;
  // One that was ended says nothing of what it did not come to.
  const isPassed = !isOver && !result.cancelled && (result.complete || allowIncomplete);
  const gate = failOn && { failOn, max, found, passed: isPassed, ...(allowIncomplete && { allowIncomplete }) };
  switch (output) {
    case 'json':
      terminal.printJson({ ...result, ...(gate && { gate }) });
      break;
    case 'junit': {
      const found = changesAsProblems(result, path, failOn ?? gateKinds);
      const isFine = failOn !== undefined && isPassed;
      const allowed = allowIncomplete && !result.complete ? ' (--allow-incomplete: decisions were left out)' : '';
      terminal.printLines(junitOfProblems([isFine ? { ...found, problems: [] } : found], `logged decisions${allowed}`));
      break;
    }
    case 'sarif':
      terminal.printJson(sarifOf([changesAsProblems(result, path, failOn ?? gateKinds)], engineVersion));
      break;
    case 'text':
      printSimulation(terminal, result);
      break;
    default:
      output satisfies never;
  }
  if (failOn === undefined) return result.cancelled ? exitCodes.findings : exitCodes.fine;
  const kinds = failOn.join(',');
  if (isOver) terminal.remark(`--fail-on ${kinds}: ${count(found, 'decision')}, ${max} are allowed`);
  if (result.cancelled) terminal.remark(`it was ended before its end: --fail-on ${kinds} does not pass`);
  else if (!result.complete) {
    terminal.remark(
      allowIncomplete
        ? 'not all decisions were answered again, which --allow-incomplete allows'
        : `not all decisions were answered again: --fail-on ${kinds} does not pass; --allow-incomplete lets it`,
    );
  }
  return isPassed ? exitCodes.fine : exitCodes.findings;
}

function asUsage(error: unknown, { file = 'the export' }: SimulateOptions): unknown {
  if (error instanceof CandidateRefused) {
    return new UsageError(
      `the candidate does not load\n  ${error.problems.map((each) => formatProblem(each)).join('\n  ')}`,
    );
  }
  if (error instanceof UnreadableExport) return new UsageError(`${file}:${error.line} ${error.why}`);
  if (error instanceof LineTooLong) return new UsageError(`${file}: ${error.message}`);
  if (error instanceof SimulationFailed) return new UsageError(error.message, '--threads 1 needs the least memory');
  return sayWhy(error);
}

function gateList(text: string): readonly GateKind[] {
  const kinds = text.split(',');
  const known: readonly string[] = gateKinds;
  const unknown = kinds.find((kind) => !known.includes(kind));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no "${unknown}": ${gateKinds.join(', ')}.`);
  // Sound: each was looked up.
  return [...new Set(kinds)] as GateKind[];
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 on.');
  return Number(text);
}

function threadCount(text: string): number {
  const number = wholeNumber(text);
  if (number < 1 || number > 64) throw new InvalidArgumentError('It must be a whole number from 1 to 64.');
  return number;
}
