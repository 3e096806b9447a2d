/** Who may, what may be done, and on what: every candidate is decided by the same engine as any other question. */
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Action, DecisionRequest, Entity, JsonObject } from '../request.js';
import { candidatesOf, type SearchKind } from './candidates.js';
import { isAllowed } from './decide.js';

export interface SearchQuery {
  readonly kind: SearchKind;
  /** Of the subjects or resources searched for. */
  readonly type?: string;
  /** What is not searched for. */
  readonly subject?: Entity;
  readonly action?: Action;
  readonly resource?: Entity;
  readonly attributes?: JsonObject;
}

export interface SearchOptions {
  /** The clock of all its decisions, in milliseconds since the epoch. */
  readonly now: number;
  /** Go on behind this id: the last one that an earlier page looked at. */
  readonly after?: string;
  /** The most results to return. */
  readonly limit?: number;
  /** The most candidates to decide; a search that has to stop says so. */
  readonly maxExamined?: number;
}

export interface SearchResult {
  /** Ids, of actions their names, in a stable order. */
  readonly results: readonly string[];
  readonly examined: number;
  /** Whether every candidate was looked at. If not, `next` is where to go on. */
  readonly complete: boolean;
  readonly next?: string;
}

/** How many candidates are decided between two pauses: about a millisecond's worth. */
const candidatesPerStep = 500;

/** Decides every candidate behind `after` until the limit, the budget or the end is reached. */
export function* searchInSteps(
  set: CompiledPolicySet,
  query: SearchQuery,
  { now, after, limit = Number.POSITIVE_INFINITY, maxExamined = Number.POSITIVE_INFINITY }: SearchOptions,
): Generator<void, SearchResult> {
  const candidates = candidatesOf(set, query.kind, query.type);
  const results: string[] = [];
  let at = after === undefined ? 0 : firstBehind(candidates, after);
  let examined = 0;
  for (; at < candidates.length && results.length < limit && examined < maxExamined; at++) {
    const id = candidates[at] as string;
    if (++examined % candidatesPerStep === 0) yield;
    if (isAllowed(set, questionAbout(query, id), now, undefined)) results.push(id);
  }
  if (at >= candidates.length) return { results, examined, complete: true };
  // With a limit of 0 nothing was looked at: the next page begins where this one did.
  const next = at === 0 ? undefined : (candidates[at - 1] as string);
  return { results, examined, complete: false, ...(next !== undefined && { next }) };
}

function questionAbout(query: SearchQuery, id: string): DecisionRequest {
  const type = query.type === undefined ? {} : { type: query.type };
  const nobody = { id: '' };
  return {
    subject: query.kind === 'subject' ? { ...type, id } : (query.subject ?? nobody),
    action: query.kind === 'action' ? { name: id } : (query.action ?? { name: '' }),
    resource: query.kind === 'resource' ? { ...type, id } : (query.resource ?? nobody),
    ...(query.attributes !== undefined && { attributes: query.attributes }),
  };
}

function firstBehind(sorted: readonly string[], id: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as string) <= id) low = middle + 1;
    else high = middle;
  }
  return low;
}
