/** Prints a change of policies for people and for programs. */
import { review } from '../../core/analysis/access.js';
import type { AccessDiff, ChangedPermission } from '../../core/analysis/access-diff.js';
import { standsFor } from '../../core/analysis/access-review.js';
import { columnUses } from '../../core/analysis/column-use.js';
import type { Universe } from '../../core/analysis/universe.js';
import { isCombination } from '../../core/policy/combination.js';
import type { CompiledPolicySet } from '../../core/policy/compile.js';
import type { DiffRule, PolicyDiff } from '../../policy-store/policy-diff.js';
import { entityText } from './entity-text.js';
import { actionText, contextText, witnessedText } from './permission-text.js';
import { count } from './report.js';
import { beginning } from './table.js';
import type { Terminal } from './terminal.js';

/** What changed in one policy set, and what that adds and takes away. */
export interface SetDiff {
  readonly name: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly policies: PolicyDiff;
  readonly access: AccessDiff;
  readonly sets: readonly [before: CompiledPolicySet | undefined, after: CompiledPolicySet | undefined];
}

export function printDiff(terminal: Terminal, { name, from, to, policies, access, sets }: SetDiff, now: number): void {
  if (policies.files.length === 0) {
    terminal.print(`${terminal.style('bold', name)}: no change`);
    return;
  }
  terminal.print(`${terminal.style('bold', name)}  ${short(from)} → ${short(to)}`);
  for (const { path, change } of policies.files) terminal.print(`  ${terminal.style('dim', `${change} ${path}`)}`);
  printRules(terminal, policies, sets[1] ?? sets[0]);
  printPermissions(terminal, 'Permissions gained', 'green', access.gained, access.universe, sets[1], now);
  printPermissions(terminal, 'Permissions lost', 'red', access.lost, access.universe, sets[0], now);
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
  /** Columns of the rule, its type first. */
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
  permissions: readonly ChangedPermission[],
  universe: Universe | undefined,
  set: CompiledPolicySet | undefined,
  now: number,
): void {
  if (permissions.length === 0) return;
  terminal.print();
  terminal.print(`  ${terminal.style('bold', title)}`);
  const groups = groupPermissions(permissions.slice(0, maxReviewed), universe, set, now);
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

function groupPermissions(
  permissions: readonly ChangedPermission[],
  universe: Universe | undefined,
  set: CompiledPolicySet | undefined,
  now: number,
) {
  const groups = new Map<string, Map<string, { readonly actions: Set<string>; readonly subjects: Set<string> }>>();
  for (const permission of permissions) {
    const { subject, action, resource, context } = permission;
    const witness = universe && standsFor(permission, universe);
    const role = set === undefined ? undefined : review(set, { ...permission, if: undefined }, now).path.at(-1);
    const head = role === undefined || role === entityText(subject) ? 'without a role' : `as ${role}`;
    const under = contextText(context, witness?.context);
    const asked = [witnessedText(resource, witness?.resource), ...(under === '' ? [] : [under])].join(' ');
    const key = JSON.stringify([asked, conditionText(permission)]);
    const resources = groups.get(head) ?? new Map();
    groups.set(head, resources);
    const group = resources.get(key) ?? { actions: new Set(), subjects: new Set() };
    resources.set(key, group);
    group.actions.add(actionText(action, witness?.action));
    group.subjects.add(witnessedText(subject, witness?.subject));
  }
  return [...groups].map(([head, resources]) => {
    const lines = [...resources].map(([key, { actions, subjects }]) => {
      const [resource, condition] = JSON.parse(key) as [string, string];
      return `${resource}: ${[...actions].join(', ')}  (${[...subjects].join(', ')})${condition}`;
    });
    return [head, lines] as const;
  });
}

/** Under which condition it is given now, and was before; nothing for what was never given and always is. */
function conditionText({ was, is }: ChangedPermission): string {
  const say = (condition: string): string =>
    isPlain(condition)
      ? condition
      : `if ${condition.length > maxCondition ? `${beginning(condition, maxCondition)}…` : condition}`;
  return isPlain(was) && isPlain(is) ? '' : `  ${say(is)}, before ${say(was)}`;
}

/** Longest condition in the text, in characters; JSON has all of it. */
const maxCondition = 200;

function isPlain(condition: string): boolean {
  return condition === 'always' || condition === 'never';
}

export function diffJson({ name, from, to, policies, access }: SetDiff): object {
  const { gained, lost, examined, limits, universe } = access;
  const listed = (permissions: readonly ChangedPermission[]): readonly object[] =>
    permissions.map(({ was, is, ...permission }) => {
      const witness = universe && standsFor(permission, universe);
      const conditions = isPlain(was) && isPlain(is) ? {} : { was, is };
      return { ...permission, ...conditions, ...(witness !== undefined && { witness }) };
    });
  const complete = limits.length === 0;
  return {
    name,
    from,
    to,
    ...policies,
    access: { gained: listed(gained), lost: listed(lost), examined, limits, complete },
  };
}
