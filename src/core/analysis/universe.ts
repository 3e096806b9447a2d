/**
 * The subjects, resources, actions and contexts of a set: its stored entities, and the values that its rules compare
 * with the request. Effective access is computed on these only; `limits` says what the rules can mean beyond them.
 */

import { type Expression, walk } from '../matcher/ast.js';
import type { TokenBinding } from '../policy/binding.js';
import { changeOfToken } from '../policy/binding-change.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { quote } from '../quote.js';
import type { Entity, JsonObject } from '../request.js';
import { type ColumnUse, columnUses } from './column-use.js';
import { expressionsOf } from './expressions.js';

export interface Universe {
  readonly subjects: readonly Entity[];
  readonly resources: readonly Entity[];
  readonly actions: readonly string[];
  /** Attributes of the request: tenants, and others that tokens are bound to. It has at least the empty context. */
  readonly contexts: readonly JsonObject[];
  /** What the rules can mean beyond these, one sentence each. */
  readonly limits: readonly string[];
}

/** The id if no rule reads it: any entity of its type. */
export const anyId = '*';

/** Most contexts, which are combinations of values. */
const maxContexts = 100;

export function universeOf(sets: readonly CompiledPolicySet[]): Universe {
  const found = new Found();
  for (const set of sets) if (isCombination(set.main)) readSet(set, set.main, found);
  for (const { entities } of sets) addEntities(entities.all, found);
  const contexts = contextsOf(found);
  const tooMany = contexts.length > maxContexts ? [`only ${maxContexts} of the possible contexts were tried`] : [];
  return {
    subjects: sortEntities(found.subjects),
    resources: sortEntities(found.resources),
    actions: [...found.actions].sort(),
    contexts: contexts.slice(0, maxContexts),
    limits: [...found.limits, ...tooMany],
  };
}

class Found {
  readonly subjects = new Map<string, Entity>();
  readonly resources = new Map<string, Entity>();
  readonly actions = new Set<string>();
  readonly attributes = new Map<string, Set<string>>();
  readonly limits = new Set<string>();
}

function readSet(set: CompiledPolicySet, main: Combination, found: Found): void {
  const uses = columnUses(main);
  const roles = roleNames(set);
  for (const action of set.manifest.searchActions) found.actions.add(action);
  for (const token of main.tokens) {
    for (const text of new Set(textsFor(set, main, uses, token))) {
      if (!roles.has(text)) addConstant(token, text, found);
    }
  }
  for (const [column, use] of uses.entries()) {
    const name = main.policy.tokens[column] as string;
    if (use.kind === 'other') found.limits.add(`${quote(name)} is compared in a way that names nothing`);
    if (use.kind === 'pattern' && hasPatterns(main, column, use)) {
      found.limits.add(`${quote(name)} holds patterns, which match more than is listed`);
    }
  }
  if (readsAttributes(main))
    found.limits.add('conditions read attributes: known entities have theirs, others have none');
  for (const limit of limitsOfNames(set, main, uses)) found.limits.add(limit);
}

/** Why there may be permissions of names that occur nowhere and cannot be listed. */
function* limitsOfNames(set: CompiledPolicySet, main: Combination, uses: readonly ColumnUse[]): Generator<string> {
  if (set.manifest.engine === 'casbin') yield 'the set runs on stock Casbin, which may answer otherwise';
  if (main.effect === 'deny_override') yield 'what no rule denies is allowed, for names that stand nowhere, too';
  for (const part of ['subject', 'action', 'resource'] as const) {
    if (!main.tokens.some((token) => isRead(main, token, part))) {
      yield `nothing reads the ${part}: what is allowed, is so for each`;
    }
  }
  for (const [column, use] of uses.entries()) {
    const name = main.policy.tokens[column] as string;
    if (!('token' in use)) continue;
    const { always } = use;
    const allowed = Array.from(main.rules, ({ effect, fields }) => (effect === 'deny' ? undefined : fields[column]));
    if (always !== undefined && allowed.includes(always)) {
      yield `${quote(name)} is ${quote(always)} in a rule, which holds for names that stand nowhere, too`;
    }
    if (use.kind === 'role' && set.manifest.roleMatching.get(use.relation)?.names !== undefined) {
      const links = [...(set.table.groupings.get(use.relation) ?? [])];
      if (links.some(({ fields }) => !isPlain(fields[0] ?? ''))) {
        yield `${quote(use.relation)} holds patterns, which match more than is listed`;
      }
    }
  }
}

/** Whether deciding looks at the part of a request through this token, as a value or by an attribute. */
function isRead(
  main: Combination,
  { token, role, line, readAsValue }: TokenBinding,
  part: 'subject' | 'action' | 'resource',
): boolean {
  const paths = line === undefined ? [] : line.kind === 'path' ? [line.path] : line.parts;
  const roots = line === undefined ? [role] : paths.map((path) => (typeof path === 'string' ? undefined : path.root));
  if (readAsValue && roots.includes(part)) return true;
  if (role !== part) return false;
  let reads = false;
  for (const expression of expressionsOf(main)) {
    walk(expression, (at) => {
      if (at.kind !== 'attribute') return;
      const index = main.request.columns.get(at.name);
      if (index !== undefined && main.request.tokens[index] === token) reads = true;
    });
  }
  return reads;
}

/** Names that are a role in some grouping rule. They are not subjects. */
function roleNames(set: CompiledPolicySet): ReadonlySet<string> {
  const names = new Set<string>();
  for (const rules of set.table.groupings.values()) for (const { fields } of rules) names.add(fields[1] ?? '');
  return names;
}

/** The texts that rules compare with a token as a value. */
function* textsFor(
  set: CompiledPolicySet,
  main: Combination,
  uses: readonly ColumnUse[],
  { token, role }: TokenBinding,
): Generator<string> {
  for (const [column, use] of uses.entries()) {
    if (!('token' in use) || use.token !== token) continue;
    for (const text of new Set(Array.from(main.rules, ({ fields }) => fields[column] ?? ''))) {
      if (text === use.always) continue;
      // Of `production/*` the environment is `production`: what a pattern does name is found behind its binding.
      if (use.kind === 'pattern' && use.function === 'regexMatch') yield* alternatives(text);
      else yield text;
    }
    if (use.kind !== 'role') continue;
    for (const { fields } of set.table.groupings.get(use.relation) ?? []) yield fields[0] ?? '';
  }
  if (role === 'domain') {
    for (const [key, rules] of set.table.groupings) {
      if (set.model.roles.get(key)?.hasDomain !== true) continue;
      for (const { fields } of rules) yield fields[2] ?? '';
    }
  }
  yield* literalsFor(main, token);
}

/** The words of an expression such as `^(GET|HEAD)$`; empty for other expressions. */
function alternatives(expression: string): readonly string[] {
  return /^\^\(?([\w-]+(?:\|[\w-]+)*)\)?\$$/.exec(expression)?.[1]?.split('|') ?? [];
}

/** `r.act == 'read'`, `r.act in ('read', 'write')`. */
function literalsFor(main: Combination, token: string): readonly string[] {
  const name = `${main.request.key}_${token}`;
  const texts: string[] = [];
  const take = (part: Expression): void => {
    if (part.kind === 'literal' && typeof part.value === 'string') texts.push(part.value);
    if (part.kind === 'list') for (const item of part.items) take(item);
  };
  for (const expression of expressionsOf(main)) {
    walk(expression, (part) => {
      if (part.kind !== 'in' && !(part.kind === 'binary' && part.operator === '==')) return;
      if (part.left.kind === 'column' && part.left.name === name) take(part.right);
      if (part.right.kind === 'column' && part.right.name === name) take(part.left);
    });
  }
  return texts;
}

function addConstant(token: TokenBinding, text: string, found: Found): void {
  const named = { subject: { id: '' }, resource: { id: '' } } as { subject: Entity; resource: Entity };
  for (const { path, to } of changeOfToken(token, text) ?? []) {
    const [, root = '', member = '', ...deeper] = path.split('/');
    if (typeof to !== 'string' || deeper.length > 0) continue;
    if (root === 'subject' || root === 'resource') named[root] = { ...named[root], [member]: to };
    else if (root === 'action' && member === 'name' && to !== '' && isPlain(to)) found.actions.add(to);
    else if (root === 'attributes' && isPlain(to)) {
      const name = member.replaceAll('~1', '/').replaceAll('~0', '~');
      found.attributes.set(name, (found.attributes.get(name) ?? new Set()).add(to));
    }
  }
  addEntity(found.subjects, named.subject);
  addEntity(found.resources, named.resource);
}

function addEntity(into: Map<string, Entity>, { type, id }: Entity): void {
  if (id === '' && type === undefined) return;
  if (!isPlain(id) || (type !== undefined && !isPlain(type))) return;
  const entity = { ...(type !== undefined && { type }), id: id === '' ? anyId : id };
  into.set(keyOf(entity), entity);
}

/** Stored entities ask or are asked for, by what the rules say of their type; where they say nothing, both. */
function addEntities(entities: readonly Entity[], found: Found): void {
  const typesOf = (known: ReadonlyMap<string, Entity>) =>
    new Set([...known.values()].flatMap(({ type }) => (type === undefined ? [] : [type])));
  const [asking, asked] = [typesOf(found.subjects), typesOf(found.resources)];
  for (const { type, id } of entities) {
    if (type === undefined) continue;
    const asks = asking.size > 0 ? asking.has(type) : !asked.has(type);
    const isAsked = asked.has(type) || (asked.size === 0 && !asking.has(type));
    if (asks) found.subjects.set(keyOf({ type, id }), { type, id });
    if (isAsked || (!asks && !asking.has(type))) found.resources.set(keyOf({ type, id }), { type, id });
  }
  // The entity itself is more than its bare id, and more than any thing of its type.
  for (const known of [found.subjects, found.resources]) {
    const named = [...known.values()].filter(({ type, id }) => type !== undefined && id !== anyId);
    const [ids, types] = [new Set(named.map(({ id }) => id)), new Set(named.map(({ type }) => type))];
    for (const [key, { type, id }] of known) {
      if (type === undefined ? ids.has(id) : id === anyId && types.has(type)) known.delete(key);
    }
  }
}

function contextsOf({ attributes }: Found): readonly JsonObject[] {
  let contexts: JsonObject[] = [{}];
  for (const [name, values] of [...attributes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const extended = contexts.flatMap((context) => [...values].sort().map((value) => ({ ...context, [name]: value })));
    if (extended.length > maxContexts * 2) break;
    contexts = extended;
  }
  return contexts;
}

function hasPatterns(main: Combination, column: number, use: ColumnUse): boolean {
  const always = use.kind === 'unread' ? undefined : use.always;
  for (const { fields } of main.rules) {
    const text = fields[column] ?? '';
    if (text !== always && !isPlain(text)) return true;
  }
  return false;
}

/** Attributes of subject, resource, action or request that decide; ids, types and names are in the universe anyway. */
function readsAttributes(main: Combination): boolean {
  let reads = false;
  for (const expression of expressionsOf(main)) {
    walk(expression, (part) => {
      if (part.kind === 'attribute' && !['id', 'type', 'name'].includes(part.path[0] ?? '')) reads = true;
    });
  }
  return reads;
}

/** True if a text has no special character of a pattern function. */
function isPlain(text: string): boolean {
  return !/[*?{}^$\\|()[\]+]|\/:/.test(text);
}

export function keyOf({ type, id }: Entity): string {
  return type === undefined ? `:${id}` : `${type}:${id}`;
}

function sortEntities(entities: ReadonlyMap<string, Entity>): readonly Entity[] {
  return [...entities].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entity]) => entity);
}
