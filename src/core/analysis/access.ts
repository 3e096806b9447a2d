/** Effective access: which subject may do what with which resource, and through which role and rule. */

import { bindValues } from '../engine/ask.js';
import { decide } from '../engine/decide.js';
import { describeRule } from '../engine/report.js';
import { BindingError } from '../policy/binding.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Entity } from '../request.js';
import { findPlacesAmong } from '../search/backwards.js';
import type { SearchQuery } from '../search/search-query.js';
import { type ColumnUse, columnUses } from './column-use.js';
import { Examiner, type Permission, requestOfPermission } from './examiner.js';
import { limitsOf, textOf } from './residual.js';
import { standsForOthers, type Universe } from './universe.js';

/** A permission that a set gives. */
export interface FoundPermission extends Permission {
  /** The condition under which it does, over attributes that are neither stored nor given; undefined if always. */
  readonly if: string | undefined;
  /** Index of a rule that allows under the condition. */
  readonly by?: number | undefined;
}

export interface ReviewedPermission extends FoundPermission {
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
  readonly permissions: readonly FoundPermission[];
  readonly examined: number;
  /** Whether every question was asked that a rule could allow. */
  readonly complete: boolean;
  /** Names that conditions are about and that were not listed, one sentence each. */
  readonly limits: readonly string[];
}

/** Questions between two pauses: one may ask thousands of rules. */
const questionsPerStep = 16;

/** Most sentences about names that were not listed. */
export const maxLimits = 20;

/**
 * Finds what a universe allows, in the order of its questions. It asks only questions that some rule could allow, at
 * most `maxQuestions`: the engine reads its rules backwards to the longer of the two lists, subjects and resources.
 */
export function* permissionsInSteps(
  set: CompiledPolicySet,
  universe: Universe,
  {
    now,
    maxQuestions,
    maxPermissions = Number.POSITIVE_INFINITY,
  }: { readonly now: number; readonly maxQuestions: number; readonly maxPermissions?: number },
): Generator<void, Permissions> {
  const { subjects, resources, contexts, actions } = universe;
  const examiner = new Examiner(set, universe, now);
  const kind = subjects.length > resources.length ? 'subject' : 'resource';
  const among = new PossibleEntities(kind === 'subject' ? subjects : resources, set, universe, examiner);
  const found: FoundPermission[] = [];
  const orders: number[] = [];
  const limits = new Set<string>();
  const rank = rankIn(universe);
  let examined = 0;
  const done = (complete: boolean): Permissions => {
    const places = Array.from(orders.keys()).sort((one, other) => (orders[one] as number) - (orders[other] as number));
    return {
      permissions: places.map((place) => found[place] as FoundPermission),
      examined,
      complete,
      limits: [...limits],
    };
  };
  for (const other of kind === 'subject' ? resources : subjects) {
    const known = kind === 'subject' ? { resource: other } : { subject: other };
    for (const context of contexts) {
      const open = examiner.openColumns(context);
      for (const action of actions) {
        const query = { kind, ...known, action: { name: action }, attributes: context } as const;
        const isWitness = standsForOthers(universe.witnesses, { entity: other, action, context });
        for (const entity of yield* among.find(query, open, isWitness)) {
          if (examined === maxQuestions || found.length === maxPermissions) return done(false);
          if (++examined % questionsPerStep === 0) yield;
          const [subject, resource] = kind === 'subject' ? [entity, other] : [other, entity];
          const question = { subject, resource, action, context };
          const residual = examiner.examine(question);
          if (residual.kind === 'never') continue;
          const by = residual.kind === 'always' ? undefined : examiner.allowing;
          found.push({ subject, action, resource, context, if: textOf(residual), by });
          orders.push(rank(question));
          if (residual.kind !== 'always')
            for (const limit of limitsOf(residual)) if (limits.size < maxLimits) limits.add(limit);
        }
      }
    }
  }
  return done(true);
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

/** Finds those entities that some rule could allow. */
class PossibleEntities {
  private readonly groups: readonly EntitiesOfType[];
  private readonly all: readonly Entity[];
  private readonly witnesses: readonly Entity[];

  constructor(
    entities: readonly Entity[],
    private readonly set: CompiledPolicySet,
    { witnesses }: Universe,
    private readonly examiner: Examiner,
  ) {
    this.groups = groupByType(entities);
    this.all = entities;
    this.witnesses = entities.filter((entity) => standsForOthers(witnesses, { entity }));
  }

  /** @param isWitness whether something else of the question stands for more than its name */
  *find(query: SearchQuery, open: ReadonlySet<number>, isWitness: boolean): Generator<void, readonly Entity[]> {
    const { set, witnesses, examiner } = this;
    if (isWitness && !examiner.isExact) return this.all;
    const possible: Entity[] = [];
    for (const { type, entities, ids } of this.groups) {
      const places = yield* findPlacesAmong(ids, set, type === undefined ? query : { ...query, type }, open);
      if (places === undefined) possible.push(...entities);
      else for (const place of places) possible.push(entities[place] as Entity);
    }
    if (examiner.isExact || witnesses.length === 0) return possible;
    return [...new Set([...possible, ...witnesses])];
  }
}

/** The place of a question in the order in which `questionsOf` asks. */
function rankIn({ subjects, resources, contexts, actions }: Universe): (question: Permission) => number {
  const placesOf = <Item>(items: readonly Item[]) => new Map(items.map((item, place) => [item, place]));
  const [ofSubject, ofResource] = [placesOf(subjects), placesOf(resources)];
  const [ofContext, ofAction] = [placesOf(contexts), placesOf(actions)];
  return ({ subject, resource, context, action }) => {
    const first = (ofSubject.get(subject) ?? 0) * resources.length + (ofResource.get(resource) ?? 0);
    return (first * contexts.length + (ofContext.get(context) ?? 0)) * actions.length + (ofAction.get(action) ?? 0);
  };
}

/** The role and rule that a permission is decided by. */
export function review(set: CompiledPolicySet, permission: FoundPermission, now: number): ReviewedPermission {
  const request = requestOfPermission(permission);
  const { by } = permission;
  const { rule, file, line } =
    by === undefined || !isCombination(set.main)
      ? decide(set, request, { now }).reason
      : describeRule(set.main.rules.at(by));
  return { ...permission, path: rolePath(set, request, rule?.slice(1), now), rule, file, line };
}

const uses = new WeakMap<Combination, readonly ColumnUse[]>();

function usesOf(main: Combination): readonly ColumnUse[] {
  const known = uses.get(main) ?? columnUses(main);
  uses.set(main, known);
  return known;
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
  for (const [column, use] of usesOf(set.main).entries()) {
    if (use.kind !== 'role' || fields[column] === use.always) continue;
    if (set.main.tokens.find(({ token }) => token === use.token)?.role !== 'subject') continue;
    const [name, domain] = [tokenValue(use.token), tokenValue(use.domain)];
    if (typeof name !== 'string') continue;
    const inDomain = typeof domain === 'string' ? domain : undefined;
    return set.roles.get(use.relation)?.pathTo(name, fields[column] ?? '', inDomain, now) ?? [];
  }
  return [];
}
