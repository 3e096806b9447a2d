import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { type Permission, review } from '../../core/analysis/access.js';
import { type AccessDiff, diffAccessInSteps } from '../../core/analysis/access-diff.js';
import { columnUses } from '../../core/analysis/column-use.js';
import { isCombination } from '../../core/policy/combination.js';
import type { CompiledPolicySet } from '../../core/policy/compile.js';
import { formatProblem } from '../../core/problem.js';
import { type DiffRule, diffPoliciesInSteps, type PolicyDiff } from '../../policy-store/policy-diff.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { readRevision } from '../sources/git-folder.js';
import {
  type CompiledFolder,
  compileFolder,
  foldersOf,
  type PolicyFolder,
  readPolicyFolder,
  readPolicyFolders,
} from '../sources/policy-folder.js';
import {
  fullVersion,
  isVersion,
  type PolicyVersions,
  readServed,
  readVersion,
  versionsOfServer,
} from '../sources/policy-versions.js';
import { clockOf } from '../sources/request-options.js';
import { addServerOptions, type ServerOptions } from '../sources/server.js';
import { entityText } from './search-commands.js';

interface DiffOptions extends ServerOptions {
  readonly database?: string;
  readonly output: 'text' | 'json';
  readonly failOn?: 'gain' | 'loss' | 'change';
  readonly at?: string;
  readonly set?: string;
}

const maxQuestions = 2_000_000;

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
    .addOption(new Option('--database <file>', "take versions from a service's database").conflicts('url'))
    .option('--set <name>', 'with --url or --database: the policy set')
    .option('--at <time>', 'the clock of the decisions, RFC 3339; now if it is not given')
    .addOption(
      new Option('--fail-on <what>', 'exit code 1 when there is such a permission').choices(['gain', 'loss', 'change']),
    )
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict diff policies/invoices new/invoices\n  verdict diff main..HEAD policies --fail-on gain\n' +
        '  verdict diff main policies/invoices\n  verdict diff --url http://127.0.0.1:3000 policies/invoices\n' +
        '  verdict diff --url http://127.0.0.1:3000 --set invoices sha256:1f09 sha256:9c41\n',
    )
    .action(async (from: string, to: string | undefined, options: DiffOptions) => {
      process.exitCode = await diffPairs(await pairsOf(from, to, options), options, terminal);
    });
}

interface Pair {
  readonly name: string;
  readonly before: PolicyFolder;
  readonly after: PolicyFolder;
}

/** What `<from> [to]` means. */
async function pairsOf(from: string, to: string | undefined, options: DiffOptions): Promise<readonly Pair[]> {
  if (options.url === undefined && options.database === undefined) {
    if (options.set !== undefined) throw new UsageError('--set goes with --url or --database');
    return pairsOfFolders(from, to);
  }
  const versions =
    options.database === undefined
      ? versionsOfServer(options)
      : await (await import('../sources/versions-in-database.js')).versionsInDatabase(options.database);
  try {
    return await pairsWithVersions(from, to, options.set, versions);
  } finally {
    await versions.close();
  }
}

/** Two folders, or a revision (or two) and the folder that is compared. */
async function pairsOfFolders(from: string, to: string | undefined): Promise<readonly Pair[]> {
  for (const side of [from, to ?? '']) {
    if (isVersion(side))
      throw new UsageError(`where is ${side} from?`, '--url or --database says which service served it');
  }
  const range = /^(.*?)\.\.\.?(.*)$/.exec(from);
  if (range !== null && !(await isFolder(from))) {
    const path = to ?? 'policies';
    const [, first = '', second = ''] = range;
    return pair(await readRevision(first, path), await readRevision(second === '' ? 'HEAD' : second, path));
  }
  if (await isFolder(from)) {
    if (to === undefined) throw new UsageError('diff needs two folders, or a git revision and a folder');
    const [before, after] = [await readPolicyFolders(from), await readPolicyFolders(to)];
    const [one, other] = [before[0], after[0]];
    if (before.length === 1 && after.length === 1 && one !== undefined && other !== undefined) {
      return [{ name: other.name, before: one, after: other }];
    }
    return pair(before, after);
  }
  const folders = await foldersOf(to === undefined ? [] : [to]);
  return pair(await readRevision(from, to ?? 'policies'), folders);
}

/** What is served and a folder; or versions, of which the second may be left out for what is served; or one of each. */
async function pairsWithVersions(
  from: string,
  to: string | undefined,
  set: string | undefined,
  versions: PolicyVersions,
): Promise<readonly Pair[]> {
  if (to === undefined && !isVersion(from)) return servedAndFolder(from, set, versions);
  if (to !== undefined && !isVersion(from) && !isVersion(to))
    throw new UsageError('--url and --database have no effect on two folders: name a version, or one folder');
  const [before, after] = [await sideOf(from), to === undefined ? undefined : await sideOf(to)];
  const name = set ?? before?.name ?? after?.name;
  if (name === undefined) throw new UsageError('say which policy set the versions are of: --set');
  return [
    {
      name,
      before: before ?? (await readVersion(versions, name, await fullVersion(versions, name, from))),
      after: after ?? (await afterwards(name)),
    },
  ];

  /** Undefined for a version. */
  function sideOf(text: string): Promise<PolicyFolder> | undefined {
    return isVersion(text) ? undefined : readPolicyFolder(text);
  }

  async function afterwards(name: string): Promise<PolicyFolder> {
    if (to === undefined) return readServed(versions, name);
    return readVersion(versions, name, await fullVersion(versions, name, to));
  }
}

async function servedAndFolder(
  path: string,
  set: string | undefined,
  versions: PolicyVersions,
): Promise<readonly Pair[]> {
  const folders = await readPolicyFolders(path);
  const [only] = folders;
  const isOne = only !== undefined && folders.length === 1 && (set !== undefined || only.path === path);
  const served = await versions.served();
  // A name that is mistyped must not look like a change without effect.
  if (set !== undefined && !served.has(set) && !folders.some(({ name }) => name === set)) {
    throw new UsageError(`there is no policy set "${set}", neither served nor in ${path}`);
  }
  const wanted = isOne ? [set ?? only.name] : [...served.keys()].filter((name) => set === undefined || name === set);
  const before: PolicyFolder[] = [];
  for (const name of wanted) {
    const version = served.get(name);
    if (version !== undefined) before.push(await readVersion(versions, name, version));
  }
  if (isOne) return pair(before, [{ ...only, name: set ?? only.name }]);
  return pair(before, set === undefined ? folders : folders.filter(({ name }) => name === set));
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

/** A set that only one side has gains, or loses, all that it allows. */
function pair(before: readonly PolicyFolder[], after: readonly PolicyFolder[]): readonly Pair[] {
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  return names.map((name) => {
    const [old, now] = [before, after].map((folders) => folders.find((folder) => folder.name === name));
    const nothing: PolicyFolder = { name, path: '', files: [], problems: [] };
    return { name, before: old ?? nothing, after: now ?? nothing };
  });
}

interface SetDiff {
  readonly name: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly policies: PolicyDiff;
  readonly access: AccessDiff;
  readonly sets: readonly [before: CompiledPolicySet | undefined, after: CompiledPolicySet | undefined];
}

async function diffPairs(pairs: readonly Pair[], options: DiffOptions, terminal: Terminal): Promise<number> {
  const now = clockOf(options);
  const diffs: SetDiff[] = [];
  for (const { name, before, after } of pairs) {
    diffs.push(terminal.finish(`comparing ${name}`, diffSetInSteps(name, before, after, now)));
  }
  if (options.output === 'json') terminal.printJson({ sets: diffs.map(jsonOf) });
  else for (const diff of diffs) printDiff(terminal, diff, now);
  const gains = diffs.some(({ access }) => access.gained.length > 0);
  const losses = diffs.some(({ access }) => access.lost.length > 0);
  const fails = { gain: gains, loss: losses, change: gains || losses };
  return options.failOn !== undefined && fails[options.failOn] ? exitCodes.findings : exitCodes.fine;
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
  if (policies.files.length === 0) return { ...common, access: { gained: [], lost: [], examined: 0, limits: [] } };
  const rulesOnly = policies.files.every(({ path }) => path.endsWith('.csv')) && !policies.reordered;
  const changed = rulesOnly ? { changed: policies } : {};
  return { ...common, access: yield* diffAccessInSteps(...sets, { now, maxQuestions, ...changed }) };
}

/** Undefined for a set that is not there. One that does not load cannot be compared. */
function loaded(folder: PolicyFolder): CompiledFolder | undefined {
  if (folder.files.length === 0 && folder.problems.length === 0) return undefined;
  const compiled = compileFolder(folder);
  const error = compiled.problems.find(({ severity }) => severity === 'error');
  if (error !== undefined)
    throw new UsageError(`${folder.path} does not load: ${formatProblem(error)}`, 'see `verdict lint`');
  return compiled;
}

function printDiff(terminal: Terminal, { name, from, to, policies, access, sets }: SetDiff, now: number): void {
  if (policies.files.length === 0) {
    terminal.print(`${terminal.style('bold', name)}: no change`);
    return;
  }
  terminal.print(`${terminal.style('bold', name)}  ${short(from)} → ${short(to)}`);
  for (const { path, change } of policies.files) terminal.print(`  ${terminal.style('dim', `${change} ${path}`)}`);
  printRules(terminal, policies, sets[1] ?? sets[0]);
  printPermissions(terminal, 'Permissions gained', 'green', access.gained, sets[1], now);
  printPermissions(terminal, 'Permissions lost', 'red', access.lost, sets[0], now);
  const total = `${access.gained.length} gained, ${access.lost.length} lost in ${count(access.examined, 'question')}`;
  terminal.print();
  terminal.print(`  ${total}; complete: ${access.limits.length === 0 ? 'yes' : 'no'}`);
  for (const limit of access.limits) terminal.print(terminal.style('dim', `    ${limit}`));
  terminal.print();
}

function short(version: string | undefined): string {
  return version === undefined ? 'nothing' : version.slice(0, 'sha256:'.length + 12);
}

/** Rules that differ in their condition alone are shown as one change. */
function printRules(terminal: Terminal, policies: PolicyDiff, set: CompiledPolicySet | undefined): void {
  const pairs = changedConditions(policies, set);
  const paired = new Set(pairs.flatMap(({ before, after }) => [before, after]));
  const [removed, added] = [policies.removed, policies.added].map((rules) => rules.filter((rule) => !paired.has(rule)));
  const lines = [
    ...(removed ?? []).map((rule) => terminal.style('red', `- ${ruleText(rule)}`)),
    ...(added ?? []).map((rule) => terminal.style('green', `+ ${ruleText(rule)}`)),
    ...pairs.flatMap(({ before, after, column }) => [
      `~ ${ruleText(after)}`,
      terminal.style('red', `    - ${before.rule[column]}`),
      terminal.style('green', `    + ${after.rule[column]}`),
    ]),
  ];
  if (lines.length > 0) {
    terminal.print();
    terminal.print(`  ${terminal.style('bold', 'Rules')}`);
  }
  for (const line of lines.slice(0, maxLines)) terminal.print(`  ${line}`);
  if (lines.length > maxLines) terminal.print(`  … and ${lines.length - maxLines} more`);
  if (policies.reordered) terminal.print('  rules stand in another order');
}

const maxLines = 200;

function ruleText({ rule, file, line }: DiffRule): string {
  return `${rule.join(', ')}  (${file}:${line})`;
}

interface ChangedCondition {
  readonly before: DiffRule;
  readonly after: DiffRule;
  /** Of the rule with its type in front. */
  readonly column: number;
}

function changedConditions(policies: PolicyDiff, set: CompiledPolicySet | undefined): readonly ChangedCondition[] {
  if (set === undefined || !isCombination(set.main)) return [];
  const key = set.main.policy.key;
  const columns = columnUses(set.main).flatMap((use, column) => (use.kind === 'condition' ? [column + 1] : []));
  const [column] = columns;
  if (column === undefined || columns.length > 1) return [];
  const rest = ({ rule }: DiffRule) => JSON.stringify(rule.with(column, ''));
  const before = new Map<string, DiffRule>();
  for (const rule of policies.removed)
    if (rule.rule[0] === key && rule.rule.length > column) before.set(rest(rule), rule);
  return policies.added.flatMap((after) => {
    const old = after.rule[0] === key && after.rule.length > column ? before.get(rest(after)) : undefined;
    if (old === undefined) return [];
    before.delete(rest(after));
    return [{ before: old, after, column }];
  });
}

/** By role and resource: who has it through the role, and what they may do. */
function printPermissions(
  terminal: Terminal,
  title: string,
  style: 'green' | 'red',
  permissions: readonly Permission[],
  set: CompiledPolicySet | undefined,
  now: number,
): void {
  if (permissions.length === 0) return;
  terminal.print();
  terminal.print(`  ${terminal.style('bold', title)}`);
  const groups = groupPermissions(permissions.slice(0, maxReviewed), set, now);
  let shown = 0;
  for (const [head, lines] of groups) {
    if (shown >= maxLines) break;
    terminal.print(`  ${terminal.style(style, head)}`);
    for (const line of lines) terminal.print(`    ${line}`);
    shown += lines.length + 1;
  }
  if (permissions.length > maxReviewed || shown >= maxLines)
    terminal.print('  … and more: --output json has all of them');
}

const maxReviewed = 2_000;

function groupPermissions(permissions: readonly Permission[], set: CompiledPolicySet | undefined, now: number) {
  const groups = new Map<string, Map<string, { readonly actions: Set<string>; readonly subjects: Set<string> }>>();
  for (const permission of permissions) {
    const role = set === undefined ? undefined : review(set, permission, now).path.at(-1);
    const head = role === undefined || role === entityText(permission.subject) ? 'without a role' : `as ${role}`;
    const attributes = Object.entries(permission.context).map(([name, value]) => `${name}=${value}`);
    const resource = [entityText(permission.resource), ...attributes].join(' ');
    const resources = groups.get(head) ?? new Map();
    groups.set(head, resources);
    const group = resources.get(resource) ?? { actions: new Set(), subjects: new Set() };
    resources.set(resource, group);
    group.actions.add(permission.action);
    group.subjects.add(entityText(permission.subject));
  }
  return [...groups].map(([head, resources]) => {
    const lines = [...resources].map(
      ([resource, { actions, subjects }]) => `${resource}: ${[...actions].join(', ')}  (${[...subjects].join(', ')})`,
    );
    return [head, lines] as const;
  });
}

function jsonOf({ name, from, to, policies, access }: SetDiff): object {
  return {
    name,
    from,
    to,
    ...policies,
    access: { ...access, complete: access.limits.length === 0 },
  };
}
