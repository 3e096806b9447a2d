import { engineVersion } from '../core/engine/engine-version.js';
import type { SearchOptions, SearchResult } from '../core/search/search.js';
import { questionAbout, type SearchQuery } from '../core/search/search-query.js';
import { defaultStepBudget } from '../core/step-budget.js';
import type { DecisionLog } from '../decision-log/decision-log.js';
import { compileMask } from '../decision-log/mask.js';
import { VerdictError } from '../errors.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { inTurns } from '../turns/turns.js';
import type { Asker } from './question.js';

export interface SearchPage {
  /** Under this id the search is in the decision log. */
  readonly searchId: string;
  readonly policySet: string;
  readonly policyVersion: string;
  /** Ids, of actions their names, in an order that stays the same as long as the version does. */
  readonly results: readonly string[];
  /** How many candidates were decided for this page. */
  readonly examined: number;
  /** How many names were not tried since they are names of roles. */
  readonly rolesLeftOut: number;
  /** Why the page ends here: everything that could be allowed was looked at, it is full, or it had looked long enough. */
  readonly end: 'complete' | 'limit' | 'budget';
  /** Behind which candidate the next page begins; left out at the end, and while nothing was looked at. */
  readonly next?: string;
}

export interface PageOptions {
  readonly after: string | undefined;
  readonly limit: number;
}

/** So long a search decides candidates before it answers with what it has, in milliseconds; the next page goes on there. */
const budgetMs = 120;
/** What all its decisions may take together, in steps: some tenths of a second for the dearest. */
const budgetSteps = 20 * defaultStepBudget;

/**
 * Searches a policy set: who may, what may be done, or on what. Whoever could be allowed is decided by the engine of the
 * set, and the page is one record.
 */
export class PolicySearch {
  constructor(private readonly log: DecisionLog) {}

  /** @throws VerdictError when the search cannot be recorded */
  async search(
    set: ServedPolicySet,
    query: SearchQuery,
    { after, limit }: PageOptions,
    asker: Asker,
  ): Promise<SearchPage> {
    const started = performance.now();
    const now = Date.now();
    const steps = searchInSteps(set, query, { now, limit, ...(after !== undefined && { after }) }, started);
    const found = await inTurns(steps);
    const { results, examined } = found;
    const next = found.next ?? after;
    const end: SearchPage['end'] = found.complete ? 'complete' : results.length >= limit ? 'limit' : 'budget';
    const searchId = this.log.nextId(now);
    const durationUs = Math.round((performance.now() - started) * 1000);
    await this.record(set, query, { searchId, now, durationUs, examined, results, end }, asker);
    const { rolesLeftOut = 0 } = found;
    const page = { searchId, policySet: set.name, policyVersion: set.version, results, examined, rolesLeftOut, end };
    return end === 'complete' || next === undefined ? page : { ...page, next };
  }

  private async record(
    set: ServedPolicySet,
    query: SearchQuery,
    found: Pick<SearchPage, 'searchId' | 'results' | 'examined' | 'end'> & { now: number; durationUs: number },
    asker: Asker,
  ): Promise<void> {
    const { searchId: id, now, durationUs, results, examined, end } = found;
    const time = new Date(now).toISOString();
    const request = questionAbout(query, '');
    const masked = compileMask(set.compiled.manifest.decisionLog)(request);
    try {
      await this.log.append({
        id,
        time,
        policySet: set.name,
        policyVersion: set.version,
        engineVersion,
        semantics: set.compiled.semantics,
        request: masked,
        ...(masked !== request && { masked: true as const }),
        clock: time,
        decision: results.length > 0 ? 'allow' : 'deny',
        reason: { code: results.length > 0 ? 'rule_allowed' : 'no_matching_rule' },
        errors: [],
        obligations: [],
        search: { kind: query.kind, examined, complete: end === 'complete', results },
        caller: asker.caller,
        authentication: asker.authentication,
        via: asker.via,
        requestId: asker.requestId,
        ...(asker.traceId !== undefined && { traceId: asker.traceId }),
        durationUs,
      });
    } catch (cause) {
      throw new VerdictError('decision_log_unavailable', 'The search could not be recorded, so it is not answered.', {
        cause,
        retryAfter: 1,
      });
    }
  }
}

type SearchSteps = Generator<void, SearchResult> | AsyncGenerator<void, SearchResult>;

function searchInSteps(set: ServedPolicySet, query: SearchQuery, options: SearchOptions, started: number): SearchSteps {
  const mustStop = (): boolean => performance.now() - started > budgetMs;
  if (set.engine === 'verdict')
    return set.compiled.searchInSteps(query, { ...options, mustStop, maxSteps: budgetSteps });
  return searchOnStockCasbin(set, query, options, mustStop);
}

/** Stock Casbin decides for the sets that it runs, one candidate after the other; each costs it up to a millisecond. */
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
