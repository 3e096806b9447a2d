/** Who may do what, of a whole set or of what a question names: what `who-can`, `what-can` and `access-review` answer. */

import { ambiguousEntity } from '../manifest/entities.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Entity, JsonObject } from '../request.js';
import { permissionsInSteps, type ReviewedPermission, review } from './access.js';
import { type Universe, universeInSteps, type WitnessedEntity } from './universe.js';

/** What is asked about: everything that it does not name. */
export interface ReviewQuery {
  readonly subject?: Entity;
  readonly action?: string;
  readonly resource?: Entity;
  /** The request's own attributes. */
  readonly attributes?: JsonObject;
}

/** For whom a permission stands beside what it names, in words; members that stand for themselves are missing. */
export interface StandsFor {
  readonly subject?: WitnessedEntity;
  readonly action?: string;
  readonly resource?: WitnessedEntity;
  readonly context?: Readonly<Record<string, string>>;
}

export interface ListedPermission extends ReviewedPermission {
  /** Undefined if all of it stands for itself. */
  readonly witness: StandsFor | undefined;
}

export interface AccessReview {
  readonly permissions: readonly ListedPermission[];
  /** How many questions were asked. */
  readonly examined: number;
  /** Whether what is listed covers every case that the engine can decide. */
  readonly complete: boolean;
  /** What was not enumerated, with its place; empty if it is complete. */
  readonly limits: readonly string[];
  /** How many names were not asked about since they are names of roles. */
  readonly rolesLeftOut: number;
}

export interface ReviewOptions {
  readonly now: number;
  readonly maxQuestions: number;
  /** Most permissions that are listed; all by default. */
  readonly maxPermissions?: number;
}

const universes = new WeakMap<CompiledPolicySet, Universe>();

export function* reviewAccessInSteps(
  set: CompiledPolicySet,
  query: ReviewQuery,
  { now, maxQuestions, maxPermissions = Number.POSITIVE_INFINITY }: ReviewOptions,
): Generator<void, AccessReview> {
  const whole = universes.get(set) ?? (yield* universeInSteps([set]));
  universes.set(set, whole);
  const universe = narrow(whole, query, set);
  const found = yield* permissionsInSteps(set, universe, { now, maxQuestions, maxPermissions });
  const permissions: ListedPermission[] = [];
  for (const permission of found.permissions) {
    yield;
    permissions.push(Object.assign(review(set, permission, now), { witness: standsFor(permission, universe) }));
  }
  const isFull = found.permissions.length >= maxPermissions;
  const why = isFull
    ? `only the first ${maxPermissions} permissions are listed`
    : `stopped after ${found.examined} questions`;
  const stopped = found.complete ? [] : [why];
  const limits = [...universe.limits, ...found.limits, ...stopped];
  const { rolesLeftOut } = universe;
  return { permissions, examined: found.examined, complete: limits.length === 0, limits, rolesLeftOut };
}

/** Keeps what the query names. It may name what the set does not. */
function narrow(universe: Universe, query: ReviewQuery, set: CompiledPolicySet): Universe {
  const { subject, action, resource, attributes } = query;
  const { witnesses } = universe;
  return {
    ...universe,
    subjects: subject === undefined ? universe.subjects : [named(subject, set)],
    resources: resource === undefined ? universe.resources : [named(resource, set)],
    actions: action === undefined ? universe.actions : [action],
    contexts: attributes === undefined ? universe.contexts : [attributes],
    // A name that is asked about stands for itself.
    witnesses:
      action === undefined
        ? witnesses
        : { ...witnesses, actions: new Map(), samples: { ...witnesses.samples, actions: new Set() } },
  };
}

/** A bare id is that of the stored entity, if there is one. An object of its own: it is not taken for a witness. */
function named({ type, id, attributes }: Entity, { entities }: CompiledPolicySet): Entity {
  const stored = type === undefined ? entities.find(undefined, id) : undefined;
  const known = stored === undefined || stored === ambiguousEntity ? type : stored.type;
  return { ...(known !== undefined && { type: known }), id, ...(attributes !== undefined && { attributes }) };
}

export function standsFor(
  { subject, action, resource, context }: Pick<ReviewedPermission, 'subject' | 'action' | 'resource' | 'context'>,
  { witnesses }: Pick<Universe, 'witnesses'>,
): StandsFor | undefined {
  const [asker, act] = [witnesses.entities.get(subject), witnesses.actions.get(action)];
  const [asked, under] = [witnesses.entities.get(resource), witnesses.contexts.get(context)];
  if (asker === undefined && act === undefined && asked === undefined && under === undefined) return undefined;
  return {
    ...(asker !== undefined && { subject: asker }),
    ...(act !== undefined && { action: act }),
    ...(asked !== undefined && { resource: asked }),
    ...(under !== undefined && { context: under }),
  };
}
