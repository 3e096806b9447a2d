import { type DecideOptions } from '../../core/engine/decide.js';
import { PolicySet } from '../../core/policy-set.js';
import type { DecisionRequest } from '../../core/request.js';
import { defaultStepBudget } from '../../core/step-budget.js';
import type { ServedPolicySet } from '../served-policy-set.js';
import type { PolicyCandidate } from './candidate.js';

/** Most steps of one evaluation of a shadow: some two milliseconds, so that one that loops holds up nobody. */
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
  return Object.freeze({ candidate, served, evaluate: withinSteps(loaded) });
}

/** Stock Casbin counts no steps; it has a thread of its own, and a deadline. */
function withinSteps(served: ServedPolicySet): ServedPolicySet['evaluate'] {
  if (served.engine === 'casbin') return served.evaluate;
  const { compiled } = served.compiled;
  const stepBudget = Math.min(compiled.manifest.stepBudget ?? defaultStepBudget, shadowSteps);
  const manifest = Object.freeze({ ...compiled.manifest, stepBudget });
  const limited = new PolicySet(Object.freeze({ ...compiled, manifest }));
  return (request: DecisionRequest, options: DecideOptions) => limited.evaluate(request, options);
}

/** Whether it is a candidate for the place of what serves. */
export function isFor({ candidate }: Trial, active: ServedPolicySet): boolean {
  return candidate.base === active.compiled.versionOfFiles;
}
