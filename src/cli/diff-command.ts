import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { type Permission, review } from '../core/analysis/access.js';
import { type AccessDiff, diffAccessInSteps } from '../core/analysis/access-diff.js';
import { columnUses } from '../core/analysis/column-use.js';
import { isCombination } from '../core/policy/combination.js';
import type { CompiledPolicySet } from '../core/policy/compile.js';
import { formatProblem } from '../core/problem.js';
import { finish } from '../core/steps.js';
import { type DiffRule, diffPolicies, type PolicyDiff } from '../policy-store/policy-diff.js';
import { exitCodes, UsageError } from './exit-code.js';
import { readRevision } from './git-folder.js';
import { outputOption } from './options.js';
import {
  type CompiledFolder,
  compileFolder,
  foldersOf,
  type PolicyFolder,
  readPolicyFolders,
} from './policy-folder.js';
import { count } from './report.js';
import { clockOf } from './request-options.js';
import { nameOf } from './search-commands.js';
import { addServerOptions, askServer, type ServerOptions } from './server.js';
import type { Terminal } from './terminal.js';

interface DiffOptions extends ServerOptions {
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
      'Compares two folders, two git revisions (main..HEAD, or main for the work tree) or, with --url, two versions that a\n' +
        'service has served: the rules that changed, and exactly which permissions appear and disappear, as far as known\n' +
        'entities and rules name who and what there is.',
    );
  addServerOptions(command)
    .option('--set <name>', 'with --url: the policy set')
    .option('--at <time>', 'the clock of the decisions, RFC 3339; now if it is not given')
    .addOption(
      new Option('--fail-on <what>', 'exit code 1 when there is such a permission').choices(['gain', 'loss', 'change']),
    )
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict diff policies/invoices new/invoices\n  verdict diff main..HEAD policies --fail-on gain\n' +
        '  verdict diff main policies/invoices\n  verdict diff --url http://127.0.0.1:3000 --set invoices sha256:1f… sha256:9c…\n',
    )
    .action(async (from: string, to: string | undefined, options: DiffOptions) => {
      process.exitCode =
        options.url === undefined
          ? await diffFolders(from, to, options, terminal)
          : await diffVersions(from, to, options, terminal);
    });
}

interface Pair {
  readonly name: string;
  readonly before: PolicyFolder;
  readonly after: PolicyFolder;
}

/** What `<from> [to]` means: two folders, or a revision (or two) and the folder that is compared. */
async function pairsOf(from: string, to: string | undefined): Promise<readonly Pair[]> {
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

async function diffFolders(
  from: string,
  to: string | undefined,
  options: DiffOptions,
  terminal: Terminal,
): Promise<number> {
  const now = clockOf(options);
  const diffs: SetDiff[] = [];
  for (const { name, before, after } of await pairsOf(from, to)) {
    terminal.progress(`comparing ${name}`);
    diffs.push(diffSet(name, before, after, now));
  }
  terminal.progress('');
  if (options.output === 'json') terminal.print(JSON.stringify({ sets: diffs.map(jsonOf) }, null, 2));
  else for (const diff of diffs) printDiff(terminal, diff, now);
  const gains = diffs.some(({ access }) => access.gained.length > 0);
  const losses = diffs.some(({ access }) => access.lost.length > 0);
  const fails = { gain: gains, loss: losses, change: gains || losses };
  return options.failOn !== undefined && fails[options.failOn] ? exitCodes.findings : exitCodes.fine;
}

function diffSet(name: string, before: PolicyFolder, after: PolicyFolder, now: number): SetDiff {
  const policies = diffPolicies(before, after);
  const [old, current] = [loaded(before), loaded(after)];
  const sets = [old?.compiled, current?.compiled] as const;
  const common = { name, from: old?.version, to: current?.version, policies, sets };
  if (policies.files.length === 0) return { ...common, access: { gained: [], lost: [], examined: 0, limits: [] } };
  const rulesOnly = policies.files.every(({ path }) => path.endsWith('.csv')) && !policies.reordered;
  const changed = rulesOnly ? { changed: policies } : {};
  return { ...common, access: finish(diffAccessInSteps(...sets, { now, maxQuestions, ...changed })) };
}

/** Undefined for a set that is not there. One that does not load cannot be compared. */
function loaded(folder: PolicyFolder): CompiledFolder | undefined {
  if (folder.files.length === 0) return undefined;
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
  terminal.print(`\n  ${total}; complete: ${access.limits.length === 0 ? 'yes' : 'no'}`);
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
  if (lines.length > 0) terminal.print(`\n  ${terminal.style('bold', 'Rules')}`);
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
  terminal.print(`\n  ${terminal.style('bold', title)}`);
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
    const head = role === undefined || role === nameOf(permission.subject) ? 'without a role' : `as ${role}`;
    const attributes = Object.entries(permission.context).map(([name, value]) => `${name}=${value}`);
    const resource = [nameOf(permission.resource), ...attributes].join(' ');
    const resources = groups.get(head) ?? new Map();
    groups.set(head, resources);
    const group = resources.get(resource) ?? { actions: new Set(), subjects: new Set() };
    resources.set(resource, group);
    group.actions.add(permission.action);
    group.subjects.add(nameOf(permission.subject));
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

/** Two versions that a service has served: it compares their rules, and keeps their files to itself. */
async function diffVersions(
  from: string,
  to: string | undefined,
  options: DiffOptions,
  terminal: Terminal,
): Promise<number> {
  if (options.set === undefined) throw new UsageError('with --url, diff needs --set');
  const query = new URLSearchParams({ from, ...(to !== undefined && { to }) });
  const path = `/v1/policy-sets/${encodeURIComponent(options.set)}/diff?${query}`;
  const answer = (await askServer(options, 'GET', path)) as PolicyDiff & { readonly from: string; readonly to: string };
  if (options.output === 'json') {
    terminal.print(JSON.stringify(answer, null, 2));
  } else {
    terminal.print(`${terminal.style('bold', options.set)}  ${short(answer.from)} → ${short(answer.to)}`);
    for (const { path: file, change } of answer.files)
      terminal.print(`  ${terminal.style('dim', `${change} ${file}`)}`);
    printRules(terminal, answer, undefined);
  }
  return exitCodes.fine;
}
