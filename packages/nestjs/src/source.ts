import type { DecideRequest, Decision, DecisionProblem } from '@verdict/client';
import type { Awaitable } from './awaitable.js';

/**
 * Who decides: a service that is asked over HTTP (`VerdictClient`), or this process. One that answers at once costs a route no
 * turn of the event loop.
 */
export interface DecisionSource {
  /** @throws VerdictProblem, VerdictUnavailable as the client says, at once or as a rejection */
  decide(request: DecideRequest, options?: { readonly traceparent?: string }): Awaitable<Decision>;
  /** All in one call, in their order. */
  decideMany(requests: readonly DecideRequest[]): Awaitable<Outcomes>;
}

export type Outcomes = readonly (Decision | DecisionProblem)[];
