/** What the log keeps of one answer: enough to explain it, to compute it again, and to find it by whom it was about. */
import type { Diagnostic, Effect, Reason } from '../core/decision.js';
import type { DecisionRequest, Json } from '../core/request.js';

/** What a record keeps of a search: one record for all the candidates that were decided. */
export interface SearchRecord {
  /** What was searched for; the request holds the type, and an empty id or name in its place. */
  readonly kind: 'subject' | 'resource' | 'action';
  readonly examined: number;
  /** Whether nothing was left to look at. */
  readonly complete: boolean;
  /** Ids, of actions their names, that the answer named. */
  readonly results: readonly string[];
}

export interface DecisionRecord {
  /** UUIDv7, from `DecisionLog.nextId`. */
  readonly id: string;
  /** When it was decided, by the service's clock: RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly policySet: string;
  readonly policyVersion: string;
  readonly engineVersion: string;
  /** The number of the defaults that the version was read with (`core/semantics.ts`); of older records 1. */
  readonly semantics: number;
  /** As it was evaluated, after masking. */
  readonly request: DecisionRequest;
  /** Given when masking changed the request: then it cannot be evaluated again as it was. */
  readonly masked?: true;
  /** The time that the evaluation saw (RFC 3339); it differs from `time` only where a request may set it. */
  readonly clock: string;
  readonly decision: Effect;
  readonly reason: Reason;
  readonly errors: readonly Diagnostic[];
  readonly obligations: readonly Json[];
  /** Of a search. Its `decision` is `allow` when something was found. */
  readonly search?: SearchRecord;
  readonly caller: string;
  /** How the caller proved who he is: `api_key`, `jwt`, `certificate`…; `none` while authentication is off. */
  readonly authentication: string;
  /** The door it came through: `decide`, `batch`, `authzen`… */
  readonly via: string;
  readonly requestId: string;
  readonly traceId?: string;
  /** Microseconds from the request being valid to the answer being known. */
  readonly durationUs: number;
  /** The name of the instance that answered (`VERDICT_INSTANCE`). Records of 0.1 have none. */
  readonly instance?: string;
  /** Which log file, by the number it was given when it was made. */
  readonly writer: number;
  /** 1, 2, 3… within a writer, without a gap: the order in which records were committed. */
  readonly sequence: number;
}

/** A record as the PDP hands it over; the log adds its own fields when it commits. */
export type NewDecisionRecord = Omit<DecisionRecord, 'instance' | 'writer' | 'sequence'>;
