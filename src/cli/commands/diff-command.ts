import { type Command, Option } from 'commander';
import { type AccessDiff, diffAccessInSteps } from '../../core/analysis/access-diff.js';
import { formatProblem } from '../../core/problem.js';
import { diffPoliciesInSteps } from '../../policy-store/policy-diff.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { diffJson, printDiff, type SetDiff } from '../print/diff-report.js';
import type { Terminal } from '../print/terminal.js';
import { type DiffSides, type Pair, pairsOf } from '../sources/diff-pairs.js';
import { type CompiledFolder, compileFolder, type PolicyFolder } from '../sources/policy-folder.js';
import { clockOf } from '../sources/request-options.js';
import { addServerOptions } from '../sources/server.js';

interface DiffOptions extends DiffSides {
  readonly output: 'text' | 'json';
  readonly failOn?: 'gain' | 'loss' | 'change';
  readonly allowIncomplete?: boolean;
  readonly at?: string;
}

const maxQuestions = 2_000_000;
const noChange: AccessDiff = { gained: [], lost: [], examined: 0, limits: [], universe: undefined };

export function addDiffCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('diff <from> [to]')
    .summary('show what a change adds and takes away')
    .description(
      'Compares two folders, two git revisions (main..HEAD, or main for the work tree) or, with --url or --database, what a\n' +
        'service serves with a folder, or versions that it has served: the rules that changed, and exactly which permissions\n' +
        'appear and disappear, as far as known entities and rules name who and what there is.',
    );
  addServerOptions(command)
    .addOption(
      new Option('--database <database>', "take versions from a service's: a file or postgres://…").conflicts('url'),
    )
    .option('--set <name>', 'with --url or --database: the policy set')
    .option('--at <time>', 'the clock of the decisions, RFC 3339; now if it is not given')
    .addOption(
      new Option('--fail-on <what>', 'exit code 1 when there is such a permission').choices(['gain', 'loss', 'change']),
    )
    .option('--allow-incomplete', '--fail-on passes although not everything that changed could be compared')
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict diff policies/invoices new/invoices\n  verdict diff main..HEAD policies --fail-on gain\n' +
        '  verdict diff main policies/invoices\n  verdict diff --url http://127.0.0.1:3000 policies/invoices\n' +
        '  verdict diff --url http://127.0.0.1:3000 --set invoices sha256:1f09 sha256:9c41\n',
    )
    .action(async (from: string, to: string | undefined, options: DiffOptions) => {
      if (options.allowIncomplete === true && options.failOn === undefined) {
        throw new UsageError('--allow-incomplete goes with --fail-on');
      }
      process.exitCode = await diffPairs(await pairsOf(from, to, options), options, terminal);
    });
}

async function diffPairs(pairs: readonly Pair[], options: DiffOptions, terminal: Terminal): Promise<number> {
  const now = clockOf(options);
  const diffs: SetDiff[] = [];
  for (const { name, before, after } of pairs) {
    diffs.push(terminal.finish(`comparing ${name}`, diffSetInSteps(name, before, after, now)));
  }
  const { failOn, allowIncomplete = false } = options;
  const isComplete = diffs.every(({ access }) => access.limits.length === 0);
  if (options.output === 'json') {
    terminal.printJson({ sets: diffs.map(diffJson), ...(allowIncomplete && { allowIncomplete }) });
  } else for (const diff of diffs) printDiff(terminal, diff, now);
  if (failOn === undefined) return exitCodes.fine;
  const gains = diffs.some(({ access }) => access.gained.length > 0);
  const losses = diffs.some(({ access }) => access.lost.length > 0);
  const fails = { gain: gains, loss: losses, change: gains || losses };
  if (!isComplete) {
    terminal.remark(
      allowIncomplete
        ? 'not everything that changed could be compared, which --allow-incomplete allows'
        : `not everything that changed could be compared: --fail-on ${failOn} does not pass; --allow-incomplete lets it`,
    );
  }
  return fails[failOn] || (!isComplete && !allowIncomplete) ? exitCodes.findings : exitCodes.fine;
}

function* diffSetInSteps(
  name: string,
  before: PolicyFolder,
  after: PolicyFolder,
  now: number,
): Generator<void, SetDiff> {
  yield;
  const policies = yield* diffPoliciesInSteps(before, after);
  const [old, current] = [loaded(before), loaded(after)];
  const sets = [old?.compiled, current?.compiled] as const;
  const common = { name, from: old?.version, to: current?.version, policies, sets };
  const isSameData = before.data === after.data;
  if (policies.files.length === 0 && isSameData) return { ...common, access: noChange };
  const rulesOnly = isSameData && policies.files.every(({ path }) => path.endsWith('.csv')) && !policies.reordered;
  const changed = rulesOnly ? { changed: policies } : {};
  return { ...common, access: yield* diffAccessInSteps(...sets, { now, maxQuestions, ...changed }) };
}

/** Returns undefined for a missing set. Throws for a set that does not load, which cannot be compared. */
function loaded(folder: PolicyFolder): CompiledFolder | undefined {
  if (folder.files.length === 0 && folder.problems.length === 0) return undefined;
  const compiled = compileFolder(folder);
  const error = compiled.problems.find(({ severity }) => severity === 'error');
  if (error !== undefined)
    throw new UsageError(`${folder.path} does not load: ${formatProblem(error)}`, 'see `verdict lint`');
  return compiled;
}
