import type { EngineDecision } from '../core/decision.js';
import type { PolicySet } from '../core/policy-set.js';
import type { DecisionRequest } from '../core/request.js';
import type { Mask } from '../decision-log/mask.js';
import type { StockView } from '../stock-casbin/stock-view.js';
import type { PolicyFile } from './policy-set-files.js';

export interface EvaluationOptions {
  /** The clock of this decision, in milliseconds since the epoch. */
  readonly now: number;
  readonly explain: 'none' | 'brief' | 'full';
}

/**
 * One version of a policy set that is served. A request that began with it is decided by it, also if another version
 * replaces it meanwhile.
 */
export interface ServedPolicySet {
  readonly name: string;
  readonly version: string;
  /** The number of this content at its source, which rises with every change; undefined where the source has none. */
  readonly revision?: number | undefined;
  /** The number of the last change of live data that is in it; undefined where it has none. */
  readonly dataRevision?: number | undefined;
  /** Given when it is the candidate of its set and answers as a canary. */
  readonly candidate?: 'canary' | undefined;
  /** Which engine evaluates it: Verdict's own, or stock Casbin in a thread of its own. */
  readonly engine: 'verdict' | 'casbin';
  readonly compiled: PolicySet;
  /** What it was compiled from, with its tests. */
  readonly files: readonly PolicyFile[];
  /** Gives a request as it may be stored or logged. */
  readonly mask: Mask;
  /** The set as stock Casbin would run it; made when it is first asked for. */
  stockView(): StockView;
  evaluate(request: DecisionRequest, options: EvaluationOptions): EngineDecision | Promise<EngineDecision>;
}
