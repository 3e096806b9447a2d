/** Effective access: which subject may do what with which resource, and through which role and rule. */
import { bindValues, decide, isAllowed } from '../engine/decide.js';
import { BindingError } from '../policy/binding.js';
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Entity, JsonObject } from '../request.js';
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
  /** From the subject to the role that the rule names; empty where no role is asked for. */
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
  /** Whether every question was asked. */
  readonly complete: boolean;
}

/** Asks the questions, `maxQuestions` of them at most, and keeps what is allowed. */
export function* permissionsInSteps(
  set: CompiledPolicySet,
  questions: Iterable<Permission>,
  { now, maxQuestions }: { readonly now: number; readonly maxQuestions: number },
): Generator<void, Permissions> {
  const permissions: Permission[] = [];
  let examined = 0;
  for (const question of questions) {
    if (examined === maxQuestions) return { permissions, examined, complete: false };
    if (++examined % itemsPerStep === 0) yield;
    if (isAllowed(set, requestOf(question), now, undefined)) permissions.push(question);
  }
  return { permissions, examined, complete: true };
}

export function requestOf({ subject, action, resource, context }: Permission): DecisionRequest {
  const attributes = Object.keys(context).length === 0 ? {} : { attributes: context };
  return { subject, action: { name: action }, resource, ...attributes };
}

/** Through which role and rule it is allowed, or was decided at all. */
export function review(set: CompiledPolicySet, permission: Permission, now: number): ReviewedPermission {
  const request = requestOf(permission);
  const { rule, file, line } = decide(set, request, { now }).reason;
  return { ...permission, path: rolePath(set, request, rule?.slice(1), now), rule, file, line };
}

/** Of the roles that a rule asks for, how the subject holds its own. */
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
