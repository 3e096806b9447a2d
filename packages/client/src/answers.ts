/**
 * Whether what came is an answer. What a decision hangs on is looked at strictly, and as a member of the answer's own: a
 * prototype that somebody filled answers nothing.
 */

import type { LeastRevision } from './revisions.js';
import type { components } from './service-types.js';
import type {
  ActionSearchAnswer,
  ChangedData,
  DecisionAnswer,
  EntitySearchAnswer,
  Problem,
  WhoCanAnswer,
} from './types.js';

type AuthzenDecision = components['schemas']['AuthzenDecision'];
type Members = Record<string, unknown>;

export function isProblem(value: unknown): value is Problem {
  return (
    isObject(value) &&
    ['type', 'title', 'detail', 'instance'].every((name) => isText(value, name)) &&
    isInteger(value, 'status')
  );
}

/** What the answer to a question must be of. */
export interface Wanted {
  /** The set that was asked, if the question names one: the answer of another one is none. */
  readonly policySet: string | undefined;
  /** The answer of an older revision is none. */
  readonly least: LeastRevision;
}

export function isDecision(value: unknown, { policySet, least }: Wanted): value is DecisionAnswer {
  return (
    isObject(value) &&
    (own(value, 'allowed') === true ? own(value, 'decision') === 'allow' : isDeny(value)) &&
    isText(value, 'decisionId') &&
    isText(value, 'policySet') &&
    (policySet === undefined || value.policySet === policySet) &&
    isText(value, 'policyVersion') &&
    isNewEnough(value, least(value.policySet as string)) &&
    isText(own(value, 'reason'), 'code') &&
    isList(own(value, 'obligations')) &&
    isList(own(value, 'errors'))
  );
}

function isDeny(value: Members): boolean {
  return own(value, 'allowed') === false && own(value, 'decision') === 'deny';
}

function isNewEnough(value: unknown, least: number | undefined): boolean {
  return least === undefined || (isInteger(value, 'revision') && (own(value, 'revision') as number) >= least);
}

/** @param wanted of each question, in their order */
export function batchOf(
  value: unknown,
  wanted: readonly Wanted[],
): readonly (DecisionAnswer | { problem: Problem })[] | undefined {
  const decisions = own(value, 'decisions');
  if (!isList(decisions) || decisions.length !== wanted.length) return undefined;
  // One that has a problem and a decision contradicts itself: whoever looks at one of the two would not see the other.
  const isItem = (item: unknown, index: number) =>
    has(item, 'problem')
      ? isProblem(own(item, 'problem')) && !has(item, 'allowed') && !has(item, 'decision')
      : isDecision(item, wanted[index] as Wanted);
  return decisions.every(isItem) ? (decisions as readonly (DecisionAnswer | { problem: Problem })[]) : undefined;
}

export function isEvaluation(value: unknown, { policySet, least }: Wanted): value is AuthzenDecision {
  const context = own(value, 'context');
  if (!isObject(context)) return false;
  // An error denies too, and is of no set.
  if (own(value, 'decision') === false && !isText(context, 'policy_set')) return true;
  const isOfSet = policySet === undefined || own(context, 'policy_set') === policySet;
  return (
    typeof own(value, 'decision') === 'boolean' &&
    isText(context, 'id') &&
    isText(context, 'policy_set') &&
    isOfSet &&
    isNewEnough(context, least(context.policy_set as string))
  );
}

/**
 * @param count of questions
 * @param last the decision after which no more is asked, if there is one: a shorter answer ends with it
 */
export function evaluationsOf(
  value: unknown,
  count: number,
  last: boolean | undefined,
  wanted: Wanted,
): readonly AuthzenDecision[] | undefined {
  const evaluations = own(value, 'evaluations');
  if (!isList(evaluations) || evaluations.length > count) return undefined;
  if (!evaluations.every((each) => isEvaluation(each, wanted))) return undefined;
  const isWhole = evaluations.length === count || (last !== undefined && own(evaluations.at(-1), 'decision') === last);
  return isWhole ? (evaluations as readonly AuthzenDecision[]) : undefined;
}

export function isEntitySearch(value: unknown, wanted: Wanted): value is EntitySearchAnswer {
  return isSearch(value, wanted, (found) => isText(found, 'type') && isText(found, 'id'));
}

export function isActionSearch(value: unknown, wanted: Wanted): value is ActionSearchAnswer {
  return isSearch(value, wanted, (found) => isText(found, 'name'));
}

function isSearch(value: unknown, { policySet, least }: Wanted, isFound: (found: unknown) => boolean): boolean {
  const [results, context] = [own(value, 'results'), own(value, 'context')];
  const set = isText(context, 'policy_set') ? (own(context, 'policy_set') as string) : policySet;
  return (
    isList(results) &&
    results.every(isFound) &&
    isText(own(value, 'page'), 'next_token') &&
    isNewEnough(context, set === undefined ? undefined : least(set))
  );
}

export function isWhoCan(value: unknown, policySet: string): value is WhoCanAnswer {
  return (
    own(value, 'policySet') === policySet &&
    isList(own(value, 'permissions')) &&
    typeof own(value, 'complete') === 'boolean'
  );
}

export function isChange(value: unknown, policySet: string): value is ChangedData {
  return own(value, 'set') === policySet && isInteger(value, 'revision') && isText(value, 'version');
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function own(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function has(value: unknown, name: string): boolean {
  return isObject(value) && Object.hasOwn(value, name);
}

function isText(value: unknown, name: string): boolean {
  return typeof own(value, name) === 'string';
}

function isInteger(value: unknown, name: string): boolean {
  return Number.isSafeInteger(own(value, name));
}
