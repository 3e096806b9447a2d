/** Searches: who may, what may be done, and on what. Every candidate that could be allowed is decided by the engine. */

import type { Diagnostic } from '../decision.js';
import { isAllowedWithin, type SharedBudget } from '../engine/ask.js';
import { firstPlace } from '../engine/first-place.js';
import type { BindingError } from '../policy/binding.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { StepBudgetExceeded } from '../step-budget.js';
import { findPlaces } from './backwards.js';
import { candidatesInSteps } from './candidates.js';
import { questionAbout, type SearchQuery } from './search-query.js';

export interface SearchOptions {
  /** The clock of all its decisions, in milliseconds since the epoch. */
  readonly now: number;
  /** Go on behind this id: the last one that an earlier page looked at. */
  readonly after?: string;
  /** The most results to return. */
  readonly limit?: number;
  /** The most candidates to decide; a search that has to stop says so. */
  readonly maxExamined?: number;
  /** The most steps that all its decisions may take; a search that has to stop says so. */
  readonly maxSteps?: number;
  /** Asked between steps: true ends the search with what it has. */
  readonly mustStop?: () => boolean;
}

export interface SearchResult {
  /** Ids, of actions their names, in a stable order. */
  readonly results: readonly string[];
  /** How many candidates were decided. */
  readonly examined: number;
  /** Whether every candidate that could be allowed was decided. If not, `next` is where to go on. */
  readonly complete: boolean;
  readonly next?: string;
  /** Whether the rules said which candidates could be allowed; if they could not, every one is decided. */
  readonly narrowed: boolean;
  /** How many names were not tried since they are names of roles; left out when none was. */
  readonly rolesLeftOut?: number;
  /** Why no candidate can be allowed: what each decision would say of the query. Left out where they are decided. */
  readonly errors?: readonly Diagnostic[];
}

/** The result for a query that no request can ask: every decision would be the deny of the fault. */
export function nothingFound({ details: errors }: BindingError): SearchResult {
  return { results: [], examined: 0, complete: true, narrowed: true, errors };
}

/** Most decisions between two pauses; fewer if they take some milliseconds together. */
const candidatesPerTurn = 50;
const stepsPerTurn = 200_000;

/**
 * Decides the candidates behind `after` that could be allowed, until the limit, the budget or the end is reached. Which
 * these are the rules say, read backwards, where the plan lets them.
 */
export function* searchInSteps(
  set: CompiledPolicySet,
  query: SearchQuery,
  options: SearchOptions,
): Generator<void, SearchResult> {
  const { now, after, limit = Number.POSITIVE_INFINITY, maxExamined = Number.POSITIVE_INFINITY, mustStop } = options;
  const { ids: candidates, rolesLeftOut } = yield* candidatesInSteps(set, query.kind, query.type);
  const budget: SharedBudget = { left: options.maxSteps ?? Number.MAX_SAFE_INTEGER };
  const places = yield* findPlaces(set, query);
  const length = places?.length ?? candidates.length;
  const idAt = (at: number): string => candidates[places === undefined ? at : (places[at] as number)] as string;
  const narrowed = places !== undefined;
  const results: string[] = [];
  const start = after === undefined ? 0 : firstPlace(length, (place) => idAt(place) > after);
  let at = start;
  let pauseAt = budget.left - stepsPerTurn;
  for (let stopped = false; at < length && results.length < limit && at - start < maxExamined && !stopped; at++) {
    const id = idAt(at);
    // The first candidate is always decided, so that the search makes progress.
    const own = at === start ? { left: Number.MAX_SAFE_INTEGER } : budget;
    try {
      if (isAllowedWithin(own, set, questionAbout(query, id), now, undefined)) results.push(id);
    } catch (error) {
      // This one was not decided: the next page begins with it.
      if (!(error instanceof StepBudgetExceeded)) throw error;
      break;
    }
    if (budget.left > pauseAt && (at - start) % candidatesPerTurn !== candidatesPerTurn - 1) continue;
    yield;
    pauseAt = budget.left - stepsPerTurn;
    stopped = mustStop?.() === true;
  }
  const examined = at - start;
  const left = rolesLeftOut > 0 ? { rolesLeftOut } : {};
  if (at >= length) return { results, examined, complete: true, narrowed, ...left };
  // With a limit of 0 nothing was looked at: the next page begins where this one did.
  const next = at === 0 ? undefined : idAt(at - 1);
  return { results, examined, complete: false, ...(next !== undefined && { next }), narrowed, ...left };
}
