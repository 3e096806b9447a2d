import type { Command } from 'commander';
import type { CandidateAnswer } from '../../api/candidate-answer.js';
import { formatProblem } from '../../core/problem.js';
import type { PolicySetStatus } from '../../policy-store/policy-set-status.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { entityText } from '../print/entity-text.js';
import { count } from '../print/report.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { readPolicyFolder } from '../sources/policy-folder.js';
import { fullVersion, managementPathOf, versionsOfServer } from '../sources/policy-versions.js';
import { addServerOptions, askServer, type ServerOptions, ServerRefusal } from '../sources/server.js';

interface CandidateOptions extends ServerOptions {
  readonly output: 'text' | 'json';
}

interface SetOptions extends CandidateOptions {
  readonly version?: string;
  readonly mode: string;
  readonly sample?: string;
  readonly subjects?: string;
  readonly maxGained?: string;
  readonly maxLost?: string;
  readonly maxErrors?: string;
  readonly maxLatencyMs?: string;
  readonly minCompared?: string;
}

/** Differences that are printed of each kind; `--output json` has all. */
const printedDifferences = 5;

/** What is tried on the requests of today before it serves. */
export function addPolicyCandidateCommand(policy: Command, terminal: Terminal): void {
  const candidate = policy
    .command('candidate')
    .summary('try a change on the requests of today, as shadow or canary, before it serves');

  const set = candidate
    .command('set <set> [folder]')
    .description(
      'Tries the files of a folder, or with --version a version that served earlier, in place of the candidate that the set has.\n' +
        'Exit code 1 when the service refuses what is in the files.',
    )
    .option('--version <version>', 'an earlier version instead of a folder; its beginning is enough')
    .requiredOption('--mode <mode>', 'shadow: decides after the answer has left; canary: answers for --subjects')
    .option('--sample <share>', 'share of the decisions that are compared, 0 to 1')
    .option('--subjects <share>', 'share of the subjects that a canary answers, 0 to 1')
    .option('--max-gained <share>', 'gate: share of the compared decisions that may be allowed and were denied')
    .option('--max-lost <share>', 'gate: share of those that may be denied and were allowed')
    .option('--max-errors <share>', 'gate: share of those that may err and did not')
    .option('--max-latency-ms <ms>', 'gate: one evaluation in a hundred may take longer')
    .option('--min-compared <n>', 'how many decisions are compared before a share counts');
  complete(set, 'set invoices ./invoices --mode shadow').action(
    async (name: string, folder: string | undefined, options: SetOptions) => {
      process.exitCode = await setCandidate(name, folder, options, terminal);
    },
  );

  const show = candidate
    .command('show <set>')
    .description('Shows what was counted, and decisions that differ. Exit code 1 when it was held or withdrawn.');
  complete(show, 'show invoices').action(async (name: string, options: CandidateOptions) => {
    const found = (await askServer(options, 'GET', pathOf(name))) as CandidateAnswer;
    process.exitCode = print(terminal, found, options);
  });

  const promote = candidate.command('promote <set>').description('Has the candidate serve on every replica.');
  complete(promote, 'promote invoices').action(async (name: string, options: CandidateOptions) => {
    const status = (await askServer(options, 'POST', `${pathOf(name)}/promote`)) as PolicySetStatus;
    const { version = '', revision, pinned } = status;
    if (options.output === 'json') terminal.printJson(status);
    else {
      const number = revision === undefined ? '' : `, revision ${revision}`;
      terminal.print(`${name} serves ${short(version)}${number}${pinned ? ', pinned' : ''}`);
    }
  });

  const drop = candidate.command('drop <set>').description('Ends the candidate of a set; what serves stays.');
  complete(drop, 'drop invoices').action(async (name: string, options: CandidateOptions) => {
    await askServer(options, 'DELETE', pathOf(name));
    if (options.output === 'json') terminal.printJson({ set: name, dropped: true });
    else terminal.print(`${name} has no candidate any more`);
  });

  function complete(command: Command, example: string): Command {
    return addServerOptions(command)
      .addOption(outputOption('text', 'json'))
      .addHelpText('after', `\nExample:\n  verdict policy candidate ${example} --url http://127.0.0.1:3000\n`);
  }
}

async function setCandidate(
  name: string,
  folder: string | undefined,
  options: SetOptions,
  terminal: Terminal,
): Promise<number> {
  const { mode, sample, subjects, maxGained, maxLost, maxErrors, maxLatencyMs, minCompared } = options;
  const gates = numbers({ maxGained, maxLost, maxErrors, maxLatencyMs, minCompared });
  const body = {
    ...(await contentOf(name, folder, options)),
    mode,
    ...numbers({ sample, subjects }),
    ...(Object.keys(gates).length > 0 && { gates }),
  };
  try {
    return print(terminal, (await askServer(options, 'PUT', pathOf(name), body)) as CandidateAnswer, options);
  } catch (error) {
    // Of what was sent; another refusal is about how it was asked.
    if (!(error instanceof ServerRefusal) || error.code !== 'policy_set_invalid') throw error;
    if (options.output === 'json') terminal.printJson({ set: name, problems: error.faults });
    else for (const fault of error.faults) terminal.print(`${name}: ${fault}`);
    return exitCodes.findings;
  }
}

async function contentOf(name: string, folder: string | undefined, options: SetOptions): Promise<object> {
  const { version } = options;
  if ((folder === undefined) === (version === undefined)) throw new UsageError('say either a folder or --version');
  if (version !== undefined) return { version: await fullVersion(versionsOfServer(options), name, version) };
  const { files, problems } = await readPolicyFolder(folder!);
  // What is left out of a set for its name or its encoding would be missing from it without a word.
  const [fault] = problems.filter(({ severity }) => severity === 'error');
  if (fault !== undefined) throw new UsageError(formatProblem(fault), fault.hint);
  return { files: Object.fromEntries(files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])) };
}

/** Numbers of options; what is none is sent as it is, for the service to say what it may be. */
function numbers(given: Readonly<Record<string, string | undefined>>): Record<string, number | string> {
  const said = Object.entries(given).filter((each): each is [string, string] => each[1] !== undefined);
  return Object.fromEntries(
    said.map(([name, text]) => [name, /^\d+(\.\d+)?$/.test(text) ? Number(text) : text] as const),
  );
}

function print(terminal: Terminal, found: CandidateAnswer, { output }: CandidateOptions): number {
  const { state, mode, version, activeVersion, subjects, detail, counts, differences = [] } = found;
  const isRunning = state === 'running';
  if (output === 'json') {
    terminal.printJson(found);
    return isRunning ? exitCodes.fine : exitCodes.findings;
  }
  const share = subjects === undefined ? '' : ` for ${subjects} of the subjects`;
  terminal.print(`${short(version)} is a ${mode}${share} beside ${short(activeVersion)}: ${state}`);
  if (detail !== undefined) terminal.print(`  ${detail}`);
  const { compared, gained, lost, errors, obligations, slow, skipped, answered } = counts;
  terminal.print(
    `${count(compared, 'decision')} compared: ${gained} gained, ${lost} lost, ${errors} with new errors, ` +
      `${obligations} with other obligations, ${slow} slow; ${skipped} skipped, ${answered} answered as canary`,
  );
  const shown = (['gained', 'lost', 'errors', 'obligations'] as const).flatMap((kind) =>
    differences.filter((difference) => difference.kind === kind).slice(0, printedDifferences),
  );
  if (shown.length > 0) {
    const rows = shown.map(({ kind, request, active, candidate }) => [
      kind,
      entityText(request.subject),
      request.action.name,
      entityText(request.resource),
      `${active.decision} → ${candidate.decision}`,
      candidate.reason.rule?.join(', ') ?? candidate.reason.code,
    ]);
    printTable(terminal, ['', 'subject', 'action', 'resource', 'decision', 'rule or reason of the candidate'], rows);
  }
  if (shown.length < differences.length) terminal.print(`${differences.length - shown.length} more with --output json`);
  return isRunning ? exitCodes.fine : exitCodes.findings;
}

function short(version: string): string {
  return version.slice(0, 'sha256:'.length + 12);
}

function pathOf(set: string): string {
  return `${managementPathOf(set)}/candidate`;
}
