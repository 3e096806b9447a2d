/**
 * The subjects, resources, actions and contexts of a set: its stored entities, and the values that its rules compare
 * with the request. Effective access is computed on these only; `limits` says what the rules can mean beyond them.
 */

import { walk } from '../matcher/ast.js';
import type { TokenBinding } from '../policy/binding.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { expressionsOf } from '../policy/expressions.js';
import { quote } from '../quote.js';
import type { Entity, JsonObject } from '../request.js';
import { type Named, type NamedEntity, namesInSteps } from '../search/names.js';
import { isPlainText } from '../search/names-in-pattern.js';
import { finish } from '../steps.js';
import { columnUses } from './column-use.js';

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

/** Most subjects, and most resources, that types and ids from different places are combined to. */
const maxCombined = 10_000;

export function universeOf(sets: readonly CompiledPolicySet[]): Universe {
  const found = new Found();
  for (const set of sets) if (isCombination(set.main)) readSet(set, set.main, found);
  for (const { entities } of sets) addEntities(entities, found);
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
  const patternsIn = new Set<string>();
  const names = namesInSteps(set, undefined, (named, { kind, place, isPattern }, isRole) => {
    if (kind === 'entity' || isRole) return;
    if (isPattern) patternsIn.add(place);
    addNamed(isPattern ? plainPartOf(named) : named, found);
  });
  finish(names);
  for (const part of ['subjects', 'resources'] as const) combine(part, found);
  for (const [column, use] of columnUses(main).entries()) {
    const name = main.policy.tokens[column] as string;
    if (use.kind === 'other') found.limits.add(`${quote(name)} is compared in a way that can mean more than is listed`);
  }
  for (const place of patternsIn) {
    const where = place === '' ? 'the matcher or a condition' : quote(place);
    found.limits.add(`${where} holds patterns, which match more than is listed`);
  }
  if (readsAttributes(main))
    found.limits.add('conditions read attributes: known entities have theirs, others have none');
  for (const limit of limitsOfNames(set, main)) found.limits.add(limit);
}

/** What a pattern such as `production/*` names all the same: the environment that it reads back to. */
function plainPartOf({ subject, resource, action, attributes }: Named): Named {
  const plain = (text: string | undefined): boolean => text === undefined || isPlainText(text);
  const entity = (some: NamedEntity | undefined) => (plain(some?.type) && plain(some?.id) ? some : undefined);
  return {
    subject: entity(subject),
    resource: entity(resource),
    action: plain(action) ? action : undefined,
    attributes: attributes && new Map([...attributes].filter(([, value]) => plain(value))),
  };
}

/** Why there may be permissions of names that occur nowhere and cannot be listed. */
function* limitsOfNames(set: CompiledPolicySet, main: Combination): Generator<string> {
  if (set.manifest.engine === 'casbin') yield 'the set runs on stock Casbin, which may answer otherwise';
  if (main.effect === 'deny_override') yield 'what no rule denies is allowed, for names that stand nowhere, too';
  for (const part of ['subject', 'action', 'resource'] as const) {
    if (!main.tokens.some((token) => isRead(main, token, part))) {
      yield `nothing reads the ${part}: what is allowed, is so for each`;
    }
  }
  for (const [column, use] of columnUses(main).entries()) {
    const name = main.policy.tokens[column] as string;
    const always = 'token' in use ? use.always : undefined;
    if (always === undefined) continue;
    const allowed = Array.from(main.rules, ({ effect, fields }) => (effect === 'deny' ? undefined : fields[column]));
    if (allowed.includes(always)) {
      yield `${quote(name)} is ${quote(always)} in a rule, which holds for names that stand nowhere, too`;
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

/** Where types and ids are compared apart, each of the types may have each of the ids. */
function combine(part: 'subjects' | 'resources', found: Found): void {
  const named = [...found[part].values()];
  const types = named.filter(({ id }) => id === anyId).flatMap(({ type }) => type ?? []);
  const ids = named.filter(({ type }) => type === undefined).map(({ id }) => id);
  if (types.length * ids.length > maxCombined) {
    found.limits.add(`only ${maxCombined} of the possible ${part} were tried`);
  }
  let left = maxCombined;
  for (const type of types) for (const id of ids) if (left-- > 0) addEntity(part, { type, id }, found);
}

function addNamed({ subject, resource, action, attributes }: Named, found: Found): void {
  if (subject !== undefined) addEntity('subjects', subject, found);
  if (resource !== undefined) addEntity('resources', resource, found);
  if (action !== undefined && action !== '') found.actions.add(action);
  for (const [name, value] of attributes ?? []) {
    const values = found.attributes.get(name) ?? new Set();
    found.attributes.set(name, values.add(value));
  }
}

function addEntity(part: 'subjects' | 'resources', { type, id = '' }: NamedEntity, found: Found): void {
  if (id === '' && type === undefined) return;
  if (id === anyId) {
    found.limits.add(`the id ${quote(anyId)} is not asked about: in this list it means any id`);
    return;
  }
  const entity = { ...(type !== undefined && { type }), id: id === '' ? anyId : id };
  found[part].set(keyOf(entity), entity);
}

/** Stored entities ask or are asked for, by what the rules say of their type; where they say nothing, both. */
function addEntities(entities: Iterable<Entity>, found: Found): void {
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

export function keyOf({ type, id }: Entity): string {
  return type === undefined ? `:${id}` : `${type}:${id}`;
}

function sortEntities(entities: ReadonlyMap<string, Entity>): readonly Entity[] {
  return [...entities].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entity]) => entity);
}
