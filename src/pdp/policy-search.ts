import { setImmediate } from 'node:timers/promises';
import { engineVersion } from '../core/engine/engine-version.js';
import type { SearchQuery, SearchResult } from '../core/engine/search.js';
import { VerdictError } from '../core/errors.js';
import type { DecisionRequest } from '../core/request.js';
import type { DecisionLog } from '../decision-log/decision-log.js';
import { compileMask } from '../decision-log/mask.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
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
  /** Why the page ends here: everything was looked at, it is full, or it had looked long enough. */
  readonly end: 'complete' | 'limit' | 'budget';
  /** Behind which candidate the next page begins; left out at the end, and while nothing was looked at. */
  readonly next?: string;
}

export interface PageOptions {
  readonly after: string | undefined;
  readonly limit: number;
}

/** So long a search decides candidates before it answers with what it has, in milliseconds; the next page goes on there. */
const BUDGET_MS = 120;
/** So long it may hold the event loop before others get a turn. */
const TURN_MS = 4;
const CANDIDATES_PER_STEP = 250;

/**
 * Searches a policy set: who may, what may be done, or on what. Every candidate is decided by the engine of the set, and
 * the page is one record.
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
    const results: string[] = [];
    let examined = 0;
    let next = after;
    let turnEnds = started + TURN_MS;
    let end: SearchPage['end'] | undefined;
    while (end === undefined) {
      const step = await searchStep(set, query, { now, after: next, limit: limit - results.length });
      results.push(...step.results);
      examined += step.examined;
      next = step.next ?? next;
      const time = performance.now();
      if (step.complete) end = 'complete';
      else if (results.length >= limit) end = 'limit';
      else if (time - started > BUDGET_MS) end = 'budget';
      else if (time > turnEnds) {
        await setImmediate();
        turnEnds = performance.now() + TURN_MS;
      }
    }
    const searchId = this.log.nextId(now);
    const durationUs = Math.round((performance.now() - started) * 1000);
    await this.#record(set, query, { searchId, now, durationUs, examined, results, end }, asker);
    const page = { searchId, policySet: set.name, policyVersion: set.version, results, examined, end };
    return end === 'complete' || next === undefined ? page : { ...page, next };
  }

  async #record(
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

interface StepOptions {
  readonly now: number;
  readonly after: string | undefined;
  readonly limit: number;
}

/** Decides the next candidates. Stock Casbin decides for the sets that it runs, one candidate after the other. */
async function searchStep(
  set: ServedPolicySet,
  query: SearchQuery,
  { now, after, limit }: StepOptions,
): Promise<SearchResult> {
  const options = { limit, maxExamined: CANDIDATES_PER_STEP, ...(after !== undefined && { after }) };
  if (set.engine === 'verdict') return set.compiled.search(query, { now, ...options });
  const candidates = set.compiled.candidates(query.kind, query.type);
  const start = after === undefined ? 0 : candidates.findIndex((id) => id > after);
  const untried = limit === 0 || start === -1 ? [] : candidates.slice(start, start + CASBIN_CANDIDATES_PER_STEP);
  const results: string[] = [];
  for (const id of untried) {
    const { decision } = await set.evaluate(questionAbout(query, id), { now, explain: 'none' });
    if (decision === 'allow') results.push(id);
    if (results.length === limit) {
      const examined = untried.indexOf(id) + 1;
      return { results, examined, complete: start + examined >= candidates.length, next: id };
    }
  }
  const complete = start === -1 || start + untried.length >= candidates.length;
  const next = untried.at(-1);
  return { results, examined: untried.length, complete, ...(next !== undefined && { next }) };
}

/** A question costs stock Casbin up to a millisecond. */
const CASBIN_CANDIDATES_PER_STEP = 10;

/** The question that decides one candidate, as the engine's own search asks it. */
function questionAbout(query: SearchQuery, id: string): DecisionRequest {
  const type = query.type === undefined ? {} : { type: query.type };
  const { kind, subject, action, resource, attributes } = query;
  return {
    subject: kind === 'subject' ? { ...type, id } : (subject ?? { id: '' }),
    action: kind === 'action' ? { name: id } : (action ?? { name: '' }),
    resource: kind === 'resource' ? { ...type, id } : (resource ?? { id: '' }),
    ...(attributes !== undefined && { attributes }),
  };
}
