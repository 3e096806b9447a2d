/** What is asked and answered, by the names that people use; `service-types.ts` has it as the service's OpenAPI document says it. */
import type { VerdictUnavailable } from './errors.js';
import type { components } from './service-types.js';

type Schemas = components['schemas'];

export type DecideRequest = Schemas['DecideRequest'];
export type PartialDecideRequest = Schemas['PartialDecideRequest'];
export type Entity = Schemas['EntityBody'];
export type Problem = Schemas['Problem'];
export type Reason = Schemas['DecisionReason'];
export type EvaluationRequest = Schemas['EvaluationRequest'];
export type EvaluationsRequest = Schemas['EvaluationsRequest'];
export type SubjectSearchRequest = Schemas['SubjectSearchRequest'];
export type ResourceSearchRequest = Schemas['ResourceSearchRequest'];
export type ActionSearchRequest = Schemas['ActionSearchRequest'];
export type EntitySearchAnswer = Schemas['EntitySearchAnswer'];
export type ActionSearchAnswer = Schemas['ActionSearchAnswer'];
export type WhoCanRequest = Schemas['WhoCanRequest'];
export type WhoCanAnswer = Schemas['AccessReviewAnswer'];
export type DataChange = Schemas['DataChangeRequest'];
export type ChangedData = Schemas['ChangedData'];

/** A decision that the service made, and recorded. */
export type DecisionAnswer = Schemas['DecisionAnswer'];

/** The deny of the client itself, where `onUnavailable: 'deny'` asks for one: there was no answer. Nothing was recorded. */
export interface UnavailableDeny {
  readonly allowed: false;
  readonly decision: 'deny';
  readonly reason: { readonly code: 'unavailable'; readonly message: string };
  readonly obligations: readonly never[];
  readonly errors: readonly never[];
  /** What went wrong. */
  readonly unavailable: VerdictUnavailable;
  readonly decisionId?: undefined;
  readonly policySet?: undefined;
  readonly policyVersion?: undefined;
  readonly revision?: undefined;
}

/** Only `allowed === true` may go ahead. */
export type Decision = DecisionAnswer | UnavailableDeny;

/** What a batch has in the place of a decision, for a question that could not be answered: no `allowed`, so no allow. */
export interface DecisionProblem {
  readonly problem: Problem;
  readonly allowed?: undefined;
}

/** An AuthZEN decision; without an answer, `decision` is false and `context.reason.code` is `unavailable`. */
export type Evaluation =
  | Schemas['AuthzenDecision']
  | { readonly decision: false; readonly context: { readonly reason: UnavailableDeny['reason'] } };

/** Revisions that answers must have at the least, by policy set. */
export type RevisionsBySet = Readonly<Record<string, number>>;
