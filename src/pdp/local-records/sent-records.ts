/** What clients send of the decisions that they made in their own processes, and what they hear of it. */
import type { Diagnostic, Effect } from '../../core/decision.js';
import type { DecisionRequestInput, Json } from '../../core/request.js';
import type { ErrorCode, VerdictError } from '../../errors.js';

/** A record as a client sends it. Times are in milliseconds since 1970. */
export interface SentRecord {
  readonly decidedAt: number;
  readonly policySet: string;
  readonly policyVersion: string;
  readonly engineVersion: string;
  readonly request: DecisionRequestInput & { readonly at?: string };
  readonly answer: {
    readonly decision: Effect;
    readonly reason: { readonly code: string; readonly rule?: readonly string[] };
    readonly errors: readonly Pick<Diagnostic, 'code'>[];
    readonly obligations: readonly Json[];
  };
  readonly durationUs?: number | undefined;
  readonly requestId?: string | undefined;
  readonly traceId?: string | undefined;
}

/** Records that a client lost, which take the place of as many numbers. */
export interface SentLoss {
  readonly lost: number;
  readonly from: number;
  readonly to: number;
}

/** One that is neither, which takes one number. */
export type SentItem = SentRecord | SentLoss | VerdictError;

export interface SentRecords {
  readonly instance: string;
  /** The number of the first item. */
  readonly first: number;
  /** The clock of the client, in milliseconds since 1970. */
  readonly sentAt: number;
  /** True if the client says that nothing follows. */
  readonly end: boolean;
  readonly count: number;
  /** Each is read when its turn comes. */
  readonly items: Iterable<SentItem>;
}

export interface TakingOptions {
  /** Deadline by the monotonic clock, in milliseconds: what is not taken by then is left to the next request. */
  readonly endsAt: number;
  /** True when nobody waits for the answer any longer. */
  readonly isGone: () => boolean;
}

export interface RefusedRecord {
  readonly number: number;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface TakenRecords {
  /** All numbers before are in the log, or are a gap there. */
  readonly next: number;
  readonly disputed: number;
  readonly refused: readonly RefusedRecord[];
}

/** What became of numbers, since the start. */
export type LocalRecordResult = 'recorded' | 'disputed' | 'refused' | 'lost' | 'repeated';
export const localRecordResults: readonly LocalRecordResult[] = ['recorded', 'disputed', 'refused', 'lost', 'repeated'];
