import type { ChainEnd } from './audit-chain.js';
import type { AuditEventType, AuditPage, AuditQuery, NewAuditEvent } from './audit-event.js';

/** What the owner of an audit log chooses, wherever its events are stored. */
export interface AuditLogOptions {
  /** Takes credentials out of text that a caller sent. */
  readonly mask: (text: string) => string;
  /** Greatest age of an event, in milliseconds; older ones are deleted. Without it none is. */
  readonly maxAgeMs?: number;
  /** Whether nothing is deleted before `signWith` says who signs what is (false). */
  readonly waitsForSigner?: boolean;
  /** Hears of events that could not be written or deleted, where no caller waits for an error. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/**
 * The audit events: who changed, read or exported what, and who was refused.
 *
 * An event that changes something is committed before its request is answered (`record`). Events that anybody can cause at
 * will are counted for a second first (`note`), so that a flood of requests becomes one row with a number.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`) implement it. What each implementation must
 * do is tested by one suite, `test/audit/audit-log-suite.ts`.
 */
export abstract class AuditLog {
  /** Events since the process started, by type; for metrics. */
  abstract readonly counts: ReadonlyMap<AuditEventType, number>;

  /**
   * Writes an event; when this resolves, it is committed. Texts are masked and cut to 512 characters.
   *
   * @param now time of the event, in milliseconds since 1970
   * @throws what the database throws; then the change must not be answered as done
   */
  abstract record(event: NewAuditEvent, now?: number): Promise<void>;

  /**
   * Writes an event within a second, together with others that are equal but for their request. More than 1,000 different
   * events in a second are counted without their details.
   *
   * @param now time of the event, in milliseconds since 1970
   */
  abstract note(event: NewAuditEvent, now?: number): void;

  /**
   * Returns a page of events, newest first. Events that were noted before are in it.
   *
   * @param policySets when given, only events about one of these sets are returned
   * @throws VerdictError `invalid_request` for a time or cursor that is not one
   */
  abstract search(query: AuditQuery, policySets?: readonly string[]): Promise<AuditPage>;

  /** How far the events are chained (audit-chain.ts); undefined before the first. */
  abstract head(): Promise<ChainEnd | undefined>;

  /**
   * From now on, what is deleted is signed: so it can be told from what somebody removed.
   *
   * @param sign makes a signed note of a text; undefined where it has no key
   */
  abstract signWith(sign: (text: string) => string | undefined): void;

  /** Deletes the events that are older than `maxAgeMs` at `now` (milliseconds since 1970). The log also does so by itself. */
  abstract prune(now: number): Promise<void>;

  /** Writes what was noted and closes the log. */
  abstract close(): Promise<void>;
}
