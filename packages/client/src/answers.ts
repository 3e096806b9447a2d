/**
 * Whether what came is an answer. What a decision hangs on is looked at strictly, and as a member of the answer's own: a
 * prototype that somebody filled answers nothing.
 */

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

/** @param policySet the set that was asked, if the question names one: the answer of another one is none */
export function isDecision(value: unknown, policySet: string | undefined): value is DecisionAnswer {
  return (
    isObject(value) &&
    (own(value, 'allowed') === true ? own(value, 'decision') === 'allow' : isDeny(value)) &&
    isText(value, 'decisionId') &&
    isText(value, 'policySet') &&
    (policySet === undefined || value.policySet === policySet) &&
    isText(value, 'policyVersion') &&
    isText(own(value, 'reason'), 'code') &&
    isList(own(value, 'obligations')) &&
    isList(own(value, 'errors'))
  );
}

function isDeny(value: Members): boolean {
  return own(value, 'allowed') === false && own(value, 'decision') === 'deny';
}

/** @param policySets the set that each question names, in their order */
export function batchOf(
  value: unknown,
  policySets: readonly (string | undefined)[],
): readonly (DecisionAnswer | { problem: Problem })[] | undefined {
  const decisions = own(value, 'decisions');
  if (!isList(decisions) || decisions.length !== policySets.length) return undefined;
  // One that has a problem and a decision contradicts itself: whoever looks at one of the two would not see the other.
  const isItem = (item: unknown, index: number) =>
    has(item, 'problem')
      ? isProblem(own(item, 'problem')) && !has(item, 'allowed') && !has(item, 'decision')
      : isDecision(item, policySets[index]);
  return decisions.every(isItem) ? (decisions as readonly (DecisionAnswer | { problem: Problem })[]) : undefined;
}

export function isEvaluation(value: unknown, policySet: string | undefined): value is AuthzenDecision {
  const context = own(value, 'context');
  if (!isObject(context)) return false;
  if (own(value, 'decision') === false) return true;
  const isOfSet = policySet === undefined || own(context, 'policy_set') === policySet;
  return own(value, 'decision') === true && isText(context, 'id') && isText(context, 'policy_set') && isOfSet;
}

/**
 * @param count of questions
 * @param last the decision after which no more is asked, if there is one: a shorter answer ends with it
 */
export function evaluationsOf(
  value: unknown,
  count: number,
  last: boolean | undefined,
  policySet: string | undefined,
): readonly AuthzenDecision[] | undefined {
  const evaluations = own(value, 'evaluations');
  if (!isList(evaluations) || evaluations.length > count) return undefined;
  if (!evaluations.every((each) => isEvaluation(each, policySet))) return undefined;
  const isWhole = evaluations.length === count || (last !== undefined && own(evaluations.at(-1), 'decision') === last);
  return isWhole ? (evaluations as readonly AuthzenDecision[]) : undefined;
}

export function isEntitySearch(value: unknown): value is EntitySearchAnswer {
  return isSearch(value, (found) => isText(found, 'type') && isText(found, 'id'));
}

export function isActionSearch(value: unknown): value is ActionSearchAnswer {
  return isSearch(value, (found) => isText(found, 'name'));
}

function isSearch(value: unknown, isFound: (found: unknown) => boolean): boolean {
  const results = own(value, 'results');
  return isList(results) && results.every(isFound) && isText(own(value, 'page'), 'next_token');
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
