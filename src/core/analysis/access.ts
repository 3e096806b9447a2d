/** Effective access: which subject may do what with which resource, and through which role and rule. */

import { bindValues, isAllowed } from '../engine/ask.js';
import { decide } from '../engine/decide.js';
import { BindingError } from '../policy/binding.js';
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Entity, JsonObject } from '../request.js';
import { findPlacesAmong } from '../search/backwards.js';
import type { SearchQuery } from '../search/search-query.js';
import { itemsPerStep } from '../steps.js';
import { columnUses } from './column-use.js';
import type { Universe } from './universe.js';

export interface Permission {
  readonly subject: Entity;
  readonly action: string;
  readonly resource: Entity;
  /** The request's own attributes under which it holds. */
  readonly context: JsonObject;
}

export interface ReviewedPermission extends Permission {
  /** From the subject to the role in the rule; empty if the rule needs no role. */
  readonly path: readonly string[];
  /** The rule that allows, its type first; undefined where no rule denies, and that is enough. */
  readonly rule: readonly string[] | undefined;
  readonly file: string | undefined;
  readonly line: number | undefined;
}

/** Every question that a universe holds, in order. */
export function* questionsOf(universe: Universe): Generator<Permission> {
  for (const subject of universe.subjects) {
    for (const resource of universe.resources) {
      for (const context of universe.contexts) {
        for (const action of universe.actions) yield { subject, action, resource, context };
      }
    }
  }
}

export function sizeOf({ subjects, resources, actions, contexts }: Universe): number {
  return subjects.length * resources.length * actions.length * contexts.length;
}

export interface Permissions {
  readonly permissions: readonly Permission[];
  readonly examined: number;
  /** Whether every question was asked that a rule could allow. */
  readonly complete: boolean;
}

/**
 * Finds what a universe allows, in the order of its questions. It asks only questions that some rule could allow, at
 * most `maxQuestions`: the engine reads its rules backwards to the longer of the two lists, subjects and resources.
 */
export function* permissionsInSteps(
  set: CompiledPolicySet,
  universe: Universe,
  { now, maxQuestions }: { readonly now: number; readonly maxQuestions: number },
): Generator<void, Permissions> {
  const { subjects, resources, contexts, actions } = universe;
  const kind = subjects.length > resources.length ? 'subject' : 'resource';
  const searched = groupByType(kind === 'subject' ? subjects : resources);
  const found: Permission[] = [];
  const permissions = () => found.sort(inOrderOf(universe));
  let examined = 0;
  for (const other of kind === 'subject' ? resources : subjects) {
    const known = kind === 'subject' ? { resource: other } : { subject: other };
    for (const [context, action] of contexts.flatMap((each) => actions.map((name) => [each, name] as const))) {
      const query = { kind, ...known, action: { name: action }, attributes: context } as const;
      for (const entity of yield* possibleEntities(searched, set, query)) {
        if (examined === maxQuestions) return { permissions: permissions(), examined, complete: false };
        if (++examined % itemsPerStep === 0) yield;
        const question = { subject: entity, resource: entity, ...known, action, context };
        if (isAllowed(set, requestOfPermission(question), now)) found.push(question);
      }
    }
  }
  return { permissions: permissions(), examined, complete: true };
}

/** Entities of one type, sorted by their ids. */
interface EntitiesOfType {
  readonly type: string | undefined;
  readonly entities: readonly Entity[];
  readonly ids: readonly string[];
}

function groupByType(entities: readonly Entity[]): readonly EntitiesOfType[] {
  const types = new Map<string | undefined, Entity[]>();
  for (const entity of entities) {
    const known = types.get(entity.type);
    if (known === undefined) types.set(entity.type, [entity]);
    else known.push(entity);
  }
  return [...types].map(([type, unsorted]) => {
    const sorted = unsorted.sort((a, b) => (a.id < b.id ? -1 : 1));
    return { type, entities: sorted, ids: sorted.map(({ id }) => id) };
  });
}

/** Those that some rule could allow. */
function* possibleEntities(
  groups: readonly EntitiesOfType[],
  set: CompiledPolicySet,
  query: SearchQuery,
): Generator<void, readonly Entity[]> {
  const possible: Entity[] = [];
  for (const { type, entities, ids } of groups) {
    const places = yield* findPlacesAmong(ids, set, type === undefined ? query : { ...query, type });
    if (places === undefined) possible.push(...entities);
    else for (const place of places) possible.push(entities[place] as Entity);
  }
  return possible;
}

/** Compares two permissions of a universe as `questionsOf` would ask them. */
function inOrderOf(universe: Universe): (one: Permission, other: Permission) => number {
  const placesOf = <Item>(items: readonly Item[]) => new Map(items.map((item, place) => [item, place]));
  const [subjects, resources] = [placesOf(universe.subjects), placesOf(universe.resources)];
  const [contexts, actions] = [placesOf(universe.contexts), placesOf(universe.actions)];
  const placeOf = ({ subject, resource, context, action }: Permission): readonly (number | undefined)[] => [
    subjects.get(subject),
    resources.get(resource),
    contexts.get(context),
    actions.get(action),
  ];
  return (one, other) => {
    const [here, there] = [placeOf(one), placeOf(other)];
    for (const [at, place] of here.entries()) if (place !== there[at]) return (place ?? 0) - (there[at] ?? 0);
    return 0;
  };
}

export function requestOfPermission({ subject, action, resource, context }: Permission): DecisionRequest {
  const attributes = Object.keys(context).length === 0 ? {} : { attributes: context };
  return { subject, action: { name: action }, resource, ...attributes };
}

/** The role and rule that a permission is decided by. */
export function review(set: CompiledPolicySet, permission: Permission, now: number): ReviewedPermission {
  const request = requestOfPermission(permission);
  const { rule, file, line } = decide(set, request, { now }).reason;
  return { ...permission, path: rolePath(set, request, rule?.slice(1), now), rule, file, line };
}

/** How the subject holds the role that a rule asks for. */
function rolePath(
  set: CompiledPolicySet,
  request: DecisionRequest,
  fields: readonly string[] | undefined,
  now: number,
): readonly string[] {
  if (fields === undefined || !isCombination(set.main)) return [];
  const bound = bindValues(set, request);
  if (bound instanceof BindingError) return [];
  const { tokens } = set.main.request;
  const tokenValue = (token: string | undefined) =>
    token === undefined ? undefined : bound.values[tokens.indexOf(token)];
  for (const [column, use] of columnUses(set.main).entries()) {
    if (use.kind !== 'role' || fields[column] === use.always) continue;
    if (set.main.tokens.find(({ token }) => token === use.token)?.role !== 'subject') continue;
    const [name, domain] = [tokenValue(use.token), tokenValue(use.domain)];
    if (typeof name !== 'string') continue;
    const inDomain = typeof domain === 'string' ? domain : undefined;
    return set.roles.get(use.relation)?.pathTo(name, fields[column] ?? '', inDomain, now) ?? [];
  }
  return [];
}
