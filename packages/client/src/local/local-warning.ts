/**
 * What is to be told to somebody who can mend it; decisions go on as long as the policy set is not too old.
 *
 * - `unreachable`: no address answered for a policy set. Told once until one answers again
 * - `refused`: the service does not give this caller the policy set; told as `unreachable` is
 * - `bundle_refused`: what came is not the policy set that it says it is, is not signed as wanted, or does not load. The one before stays
 * - `clock_off`: the clock of this machine differs from that of the service by more than five minutes, and nothing is decided
 * - `other_engine`: the engine here has another version than the service's, so that the two may differ
 * - `records_unsent`: the service takes no records now. They are kept; told once until it takes some again
 * - `records_lost`: the journal is full, and what is decided now is not recorded; told once until there is room
 * - `records_refused`: the service did not take records. They are gaps in its log
 * - `records_disputed`: the service, which decided records again, came to another answer
 * - `journal`: the folder of the journal cannot be written or read. Records are in memory alone
 */
export type LocalWarningKind =
  | 'unreachable'
  | 'refused'
  | 'bundle_refused'
  | 'clock_off'
  | 'other_engine'
  | 'records_unsent'
  | 'records_lost'
  | 'records_refused'
  | 'records_disputed'
  | 'journal';

export interface LocalWarning {
  readonly kind: LocalWarningKind;
  readonly message: string;
  /** Left out where it is about records of any set. */
  readonly policySet?: string;
  readonly cause?: unknown;
}

/** Tells a warning. What it throws is not heard. */
export type Warn = (warning: LocalWarning) => void;

/** @param onWarning by default, the console is told */
export function warner(onWarning: Warn = ({ kind, message }) => console.warn(`verdict: ${kind}: ${message}`)): Warn {
  return (warning) => {
    try {
      onWarning(warning);
    } catch {
      // What observes a decision has no part in it.
    }
  };
}
