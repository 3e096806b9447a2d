import { type DecideOptions } from '../../core/engine/decide.js';
import { PolicySet } from '../../core/policy-set.js';
import type { DecisionRequest } from '../../core/request.js';
import { defaultStepBudget } from '../../core/step-budget.js';
import type { ServedPolicySet } from '../served-policy-set.js';
import type { PolicyCandidate } from './candidate.js';

/** Most steps of one evaluation that is only compared: some two milliseconds, so that one that loops holds up nobody. */
export const shadowSteps = 200_000;

/** A candidate that runs on this replica. */
export interface Trial {
  readonly candidate: PolicyCandidate;
  /** It answers as a canary. */
  readonly served: ServedPolicySet;
  /** Decides as it would, within `shadowSteps`. */
  readonly evaluate: ServedPolicySet['evaluate'];
}

/** The candidates that run, by set. */
export type Trials = ReadonlyMap<string, Trial>;

export function trialOf(candidate: PolicyCandidate, loaded: ServedPolicySet): Trial {
  // Without a revision: its source gave it none.
  const served = Object.freeze({ ...loaded, revision: undefined, candidate: 'canary' as const });
  return Object.freeze({ candidate, served, evaluate: comparable(loaded).evaluate });
}

/** A version as it decides what is only compared. */
export interface Comparable {
  /** Within `shadowSteps`. */
  readonly evaluate: ServedPolicySet['evaluate'];
  /** Whether it may take more steps when it answers, so that one that ends for them says nothing of its answer. */
  readonly isCut: boolean;
}

/** Stock Casbin counts no steps; it has a thread of its own, and a deadline. */
export function comparable(served: ServedPolicySet): Comparable {
  if (served.engine === 'casbin') return { evaluate: served.evaluate, isCut: false };
  const { compiled } = served.compiled;
  const { stepBudget: whole = defaultStepBudget } = compiled.manifest;
  const manifest = Object.freeze({ ...compiled.manifest, stepBudget: Math.min(whole, shadowSteps) });
  const limited = new PolicySet(Object.freeze({ ...compiled, manifest }));
  return {
    evaluate: (request: DecisionRequest, options: DecideOptions) => limited.evaluate(request, options),
    isCut: whole > shadowSteps,
  };
}

/** Whether it is a candidate for the place of what serves. */
export function isFor({ candidate }: Trial, active: ServedPolicySet): boolean {
  return candidate.base === active.compiled.versionOfFiles;
}
