/** Roles that nobody has, roles that give nothing, and names that anybody could take for a role. */

import { type Expression, walk } from '../matcher/ast.js';
import type { TokenBinding } from '../policy/binding.js';
import { isCombination } from '../policy/combination.js';
import { expressionsOf } from '../policy/expressions.js';
import type { PolicyProblem } from '../problem.js';
import { cut, quote } from '../quote.js';
import { type ColumnUse, columnUses } from './column-use.js';
import type { Check, LintedRule, LintedSet } from './linted-set.js';

type RoleUse = Extract<ColumnUse, { kind: 'role' }>;

export function* findIdleRoles(set: LintedSet): Check {
  yield* findOpenRoleNames(set);
  const uses = columnUses(set.main);
  for (const [key] of set.compiled.model.roles) {
    const columns = uses.flatMap((use, column) =>
      use.kind === 'role' && use.relation === key ? [{ use, column }] : [],
    );
    // A definition that is asked in other ways, too, may make use of any of its names.
    if (columns.length === 0 || readsOtherwise(set, key, columns.length)) continue;
    yield* findUselessRoles(set, key, columns);
    for (const { use, column } of columns) yield* findRolesWithoutMembers(set, key, use, column);
  }
}

/**
 * `g(r.sub, …)` on a bare id: a name is its own role, so somebody whose id is `manager` is a manager. With a template
 * such as `${subject.type}:${subject.id}` no id can be read as a role's name.
 */
function* findOpenRoleNames(set: LintedSet): Generator<PolicyProblem> {
  const { compiled, main } = set;
  const definition = compiled.model.matchers.get(compiled.manifest.definitions.m);
  if (definition === undefined) return;
  const subjects = main.request.tokens.filter((token) => isBareSubject(bindingOf(set, token)));
  const reported = new Set<string>();
  for (const call of roleCalls(main.program.expression, set)) {
    const token = tokenOf(call.args[0], set);
    if (token === undefined || !subjects.includes(token) || reported.has(call.name)) continue;
    const role = set.links.get(call.name)?.find(({ fields }) => fields[1] !== undefined)?.fields[1];
    if (role === undefined) continue;
    reported.add(call.name);
    yield {
      severity: 'warning',
      code: 'role_name_open',
      message: `${call.name}() gets the subject's bare id: whoever has the id ${quote(role)} has the role ${quote(role)}`,
      file: compiled.model.file,
      ...definition.place(call.at),
      hint: `in policy-set.yaml: request: { ${cut(token)}: "\${subject.type}:\${subject.id}" }`,
    };
  }
}

function isBareSubject(binding: TokenBinding | undefined): boolean {
  if (binding?.role !== 'subject') return false;
  return binding.line === undefined || (binding.line.kind === 'path' && binding.line.path.steps.join('.') === 'id');
}

/** Roles from which no name that a rule asks for is reached. */
function* findUselessRoles(
  set: LintedSet,
  key: string,
  columns: readonly { readonly column: number }[],
): Generator<PolicyProblem> {
  if (set.compiled.manifest.roleMatching.get(key)?.names !== undefined) return;
  const useful = new Set<string>();
  for (const { column } of columns) for (const { fields } of set.rules) useful.add(fields[column] ?? '');
  const links = set.links.get(key) ?? [];
  const children = groupBy(links, ({ fields }) => fields[1] ?? '');
  // From the roles in rules downwards: every name that reaches one is useful.
  for (const name of useful) for (const { fields } of children.get(name) ?? []) useful.add(fields[0] ?? '');
  const reported = new Set<string>();
  for (const link of links) {
    const role = link.fields[1] ?? '';
    if (useful.has(role) || reported.has(role)) continue;
    reported.add(role);
    const message = `the role ${quote(role)} gives nothing: no rule names it, nor a role that it includes`;
    yield { severity: 'warning', code: 'role_gives_nothing', message, ...set.places.ofField(link, 1) };
  }
}

/**
 * Roles of rules that no subject can have. Only where a template makes subjects and roles two kinds of names can that
 * be known.
 */
function* findRolesWithoutMembers(set: LintedSet, key: string, use: RoleUse, column: number): Generator<PolicyProblem> {
  // Somebody may get the role any time.
  if (set.compiled.manifest.data?.roles.has(key) === true) return;
  const isMember = templateTest(bindingOf(set, use.token));
  if (isMember === undefined || set.compiled.manifest.roleMatching.get(key)?.names !== undefined) return;
  const links = set.links.get(key) ?? [];
  const parents = groupBy(links, ({ fields }) => fields[0] ?? '');
  const held = new Set(links.flatMap(({ fields: [child = ''] }) => (isMember(child) ? [child] : [])));
  for (const name of held) for (const { fields } of parents.get(name) ?? []) held.add(fields[1] ?? '');
  const reported = new Set<string>();
  for (const rule of set.rules) {
    const role = rule.fields[column] ?? '';
    if (role === use.always || held.has(role) || isMember(role) || reported.has(role)) continue;
    reported.add(role);
    const message = `nobody has the role ${quote(role)}: no ${key} rule gives it to a subject`;
    yield { severity: 'warning', code: 'role_without_members', message, ...set.places.ofField(rule, column) };
  }
}

/** Whether a name has the form that the template gives to every name of the request; undefined without a template. */
function templateTest(binding: TokenBinding | undefined): ((name: string) => boolean) | undefined {
  if (binding?.role !== 'subject' || binding.line?.kind !== 'template') return undefined;
  const fixed = binding.line.parts.filter((part) => typeof part === 'string');
  if (fixed.length === 0) return undefined;
  return (name) => {
    let from = 0;
    for (const text of fixed) {
      const found = name.indexOf(text, from);
      if (found < 0) return false;
      from = found + text.length;
    }
    return true;
  };
}

function bindingOf({ main }: LintedSet, token: string): TokenBinding | undefined {
  return main.tokens.find((binding) => binding.token === token);
}

/** Whether the definition is asked by more calls than those that compare a column, or by `hasRole`. */
function readsOtherwise(set: LintedSet, key: string, known: number): boolean {
  let calls = 0;
  for (const expression of allExpressions(set)) {
    walk(expression, (part) => {
      if (part.kind === 'call' && (part.name === key || (part.name === 'hasRole' && key === 'g'))) calls++;
    });
  }
  return calls > known;
}

/** With the matchers that are not the main one: another choice of definitions may ask for the same roles. */
function* allExpressions({ main, compiled }: LintedSet): Generator<Expression> {
  yield* expressionsOf(main);
  for (const [name] of compiled.model.matchers) {
    if (name === compiled.manifest.definitions.m) continue;
    const other = compiled.combine({ ...compiled.manifest.definitions, m: name }, undefined);
    if (isCombination(other)) yield other.program.expression;
  }
}

function* roleCalls(expression: Expression, { main }: LintedSet): Generator<Extract<Expression, { kind: 'call' }>> {
  const calls: Extract<Expression, { kind: 'call' }>[] = [];
  walk(expression, (part) => {
    if (part.kind === 'call' && main.environment.roles.has(part.name)) calls.push(part);
  });
  yield* calls;
}

function tokenOf(expression: Expression | undefined, { main }: LintedSet): string | undefined {
  const index = expression?.kind === 'column' ? main.request.columns.get(expression.name) : undefined;
  return index === undefined ? undefined : main.request.tokens[index];
}

function groupBy(links: readonly LintedRule[], key: (link: LintedRule) => string): ReadonlyMap<string, LintedRule[]> {
  const groups = new Map<string, LintedRule[]>();
  for (const link of links) {
    const group = groups.get(key(link));
    if (group === undefined) groups.set(key(link), [link]);
    else group.push(link);
  }
  return groups;
}
