import { negotiateObligations, type Obligation, ObligationIds } from '../core/engine/obligations.js';
import type { SearchOptions, SearchResult } from '../core/search/search.js';
import { questionAbout, type SearchQuery } from '../core/search/search-query.js';
import { defaultStepBudget } from '../core/step-budget.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { inTurns } from '../turns/turns.js';
import type { DecisionRecorder } from './decision-recorder.js';
import type { Asker } from './question.js';

export interface SearchPage {
  /** Id of the search's record in the decision log. */
  readonly searchId: string;
  readonly policySet: string;
  readonly policyVersion: string;
  readonly revision: number | undefined;
  /** Ids (names, for actions) in an order that is stable within a version. */
  readonly results: readonly string[];
  /** What must be done before a result may be shown, of those that have such; undefined where nobody asked. */
  readonly obligations?: ReadonlyMap<string, readonly Obligation[]> | undefined;
  /** How many candidates were decided for this page. */
  readonly examined: number;
  /** How many names were not tried since they are names of roles. */
  readonly rolesLeftOut: number;
  /** Why the page ends here: everything that could be allowed was looked at, it is full, or it had looked long enough. */
  readonly end: 'complete' | 'limit' | 'budget';
  /** The candidate after which the next page begins. Absent at the end, and before any candidate was examined. */
  readonly next?: string;
}

export interface PageOptions {
  readonly after: string | undefined;
  readonly limit: number;
  /** Whether the query says which obligations the caller executes: a result with others is left out. */
  readonly negotiatesObligations?: boolean;
}

/** Milliseconds after which a search answers with what it has found; the next page continues there. */
const budgetMs = 120;
/** Most steps of all decisions of one search: some tenths of a second for the most expensive ones. */
const budgetSteps = 20 * defaultStepBudget;

/**
 * Searches a policy set: who may, what may be done, or on what. Every candidate that could be allowed is decided by the
 * engine of the set, and the page is one record.
 */
export class PolicySearch {
  constructor(private readonly recorder: DecisionRecorder) {}

  /** @throws VerdictError when the search cannot be recorded */
  async search(
    set: ServedPolicySet,
    query: SearchQuery,
    { after, limit, negotiatesObligations = false }: PageOptions,
    asker: Asker,
  ): Promise<SearchPage> {
    const started = performance.now();
    const now = Date.now();
    const steps = searchInSteps(set, query, { now, limit, ...(after !== undefined && { after }) }, started);
    const found = await inTurns(steps);
    const { examined } = found;
    const obliged = negotiatesObligations ? await inTurns(obligationsOf(set, query, found.results, now)) : undefined;
    const results = obliged?.results ?? found.results;
    const next = found.next ?? after;
    const end: SearchPage['end'] = found.complete ? 'complete' : found.results.length >= limit ? 'limit' : 'budget';
    const request = questionAbout(query, '');
    const decision = results.length > 0 ? ('allow' as const) : ('deny' as const);
    const reason = { code: results.length > 0 ? ('rule_allowed' as const) : ('no_matching_rule' as const) };
    const search = { kind: query.kind, examined, complete: end === 'complete', results };
    const answer = { request, received: now, now, started, decision, reason, errors: [], obligations: [], search };
    const record = this.recorder.recordOf(set, answer, asker);
    await this.recorder.append(record, asker.span);
    const { rolesLeftOut = 0 } = found;
    const names = { searchId: record.id, policySet: set.name, policyVersion: set.version, revision: set.revision };
    const page = { ...names, results, obligations: obliged?.obligations, examined, rolesLeftOut, end };
    return end === 'complete' || next === undefined ? page : { ...page, next };
  }
}

type SearchSteps = Generator<void, SearchResult> | AsyncGenerator<void, SearchResult>;

function searchInSteps(set: ServedPolicySet, query: SearchQuery, options: SearchOptions, started: number): SearchSteps {
  const mustStop = (): boolean => performance.now() - started > budgetMs;
  if (set.engine === 'verdict')
    return set.compiled.searchInSteps(query, { ...options, mustStop, maxSteps: budgetSteps });
  return searchOnStockCasbin(set, query, options, mustStop);
}

interface ObligedResults {
  readonly results: readonly string[];
  readonly obligations: ReadonlyMap<string, readonly Obligation[]>;
}

/** Decides each result again, for its obligations, and leaves out those that the caller does not say to execute. */
async function* obligationsOf(
  set: ServedPolicySet,
  query: SearchQuery,
  found: readonly string[],
  now: number,
): AsyncGenerator<void, ObligedResults> {
  const ids = new ObligationIds();
  const results: string[] = [];
  const obligations = new Map<string, readonly Obligation[]>();
  for (const id of found) {
    const request = questionAbout(query, id);
    const decided = await set.evaluate(request, { now, explain: 'none' });
    const told = negotiateObligations(decided, request.attributes);
    if (told.decision.decision === 'allow') {
      results.push(id);
      if (told.obligations.length > 0)
        obligations.set(
          id,
          told.obligations.map((each) => ids.distinct(each)),
        );
    }
    yield;
  }
  return { results, obligations };
}

/** For sets that run on stock Casbin, which takes up to a millisecond for each candidate. */
async function* searchOnStockCasbin(
  set: ServedPolicySet,
  query: SearchQuery,
  { now, after, limit = Number.POSITIVE_INFINITY }: SearchOptions,
  mustStop: () => boolean,
): AsyncGenerator<void, SearchResult> {
  const candidates = set.compiled.candidates(query.kind, query.type);
  const rolesLeftOut = set.compiled.rolesLeftOut(query.kind, query.type);
  const results: string[] = [];
  let examined = 0;
  let next = after;
  for (const id of candidates) {
    if (after !== undefined && id <= after) continue;
    if (results.length >= limit || (examined > 0 && mustStop())) {
      const incomplete = { results, examined, complete: false, narrowed: false, rolesLeftOut };
      return next === undefined ? incomplete : { ...incomplete, next };
    }
    const { decision } = await set.evaluate(questionAbout(query, id), { now, explain: 'none' });
    if (decision === 'allow') results.push(id);
    examined++;
    next = id;
    yield;
  }
  return { results, examined, complete: true, narrowed: false, rolesLeftOut };
}
