import type { DecisionLogStatus, DecisionLogStorage } from './decision-log-status.js';
import type { NewDecisionRecord } from './decision-record.js';
import type { ErasureCounts } from './erasure/erase-group.js';
import type { ErasableLog, ErasingOrders, OnErased } from './erasure/erasures.js';
import type { MissingRecords } from './local/local-instances.js';
import type { LogPlace, WriterStanding } from './local/log-place.js';
import type { LogWriters } from './log-writers.js';
import type { StoredProofs } from './proof/decision-proofs.js';
import type { NoteSigner } from './proof/signed-note.js';
import type { RecordFeed } from './record-feed.js';
import { RecordedDecisions } from './recorded-decisions.js';

/**
 * The decision log: what the decision point answered, to whom and why.
 *
 *     await log.start();
 *     await log.append({ id: log.nextId(Date.now()), … });   // committed; only now may the answer leave
 *     await log.search({ subject: 'alice', limit: 20 });     // and it is found at once
 *     await log.stop();
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`) implement it. What each implementation must
 * do is tested by one suite, `test/decision-log/decision-log-suite.ts`.
 *
 * While records cannot be written, the log is `failing` (see `status`). It tries again by itself until a write succeeds.
 */
export abstract class DecisionLog extends RecordedDecisions implements ErasableLog {
  /**
   * Opens the log, and makes it when it is not there. After a crash this is also the recovery.
   *
   * @throws when the log cannot be opened
   */
  abstract start(): Promise<void>;

  /** Commits the records that wait, ends the work in the background and closes the log. Nothing may be appended afterwards. */
  abstract stop(): Promise<void>;

  /** Returns a UUIDv7 for a decision made at `nowMs` (milliseconds since 1970). It is higher than every id before it. */
  abstract nextId(nowMs: number): string;

  /**
   * Records a decision. Resolves when the promise of the log's mode holds (`LogMode`). The record is serialised before this
   * returns, so later changes to it are not recorded.
   *
   * @throws VerdictError `decision_log_unavailable` when the record cannot be kept; then the decision must not be answered
   */
  abstract append(record: NewDecisionRecord): Promise<void>;

  /**
   * Makes room for the records of a batch. Batches have half of the queue at most, so that a single decision finds room.
   *
   * @param records how many records are wanted
   * @param ms longest wait, in milliseconds
   * @returns how many records may be given to `appendBulk`, which gives the room back; 0 when the time was not enough
   */
  abstract roomForBulk(records: number, ms: number): Promise<number>;

  /**
   * Records the decisions of a batch. Records that `roomForBulk` made room for are neither lost nor refused for want of room.
   *
   * @param room what `roomForBulk` returned; at least the number of records
   * @throws VerdictError as `append` does
   */
  abstract appendBulk(records: readonly NewDecisionRecord[], room: number): Promise<void>;

  /**
   * Where this process's own records end now; undefined in mode `off`.
   *
   * @throws VerdictError `decision_log_unavailable` while it cannot be said
   */
  abstract get place(): LogPlace | undefined;

  /** Who can say what a writer has recorded. */
  abstract standing(writer: number): Promise<WriterStanding>;

  /**
   * The numbers of a client's instance that stand in the log behind a place of its writer: of this process, or of one that has
   * ended. Those of its records that wait for their commit are committed first.
   *
   * @throws VerdictError `decision_log_unavailable` while they cannot be
   */
  abstract recordedNumbers(instance: string, behind: LogPlace): Promise<ReadonlySet<number>>;

  /**
   * Commits a note of records of a client that are missing.
   *
   * @throws VerdictError `decision_log_unavailable`
   */
  abstract noteMissing(missing: MissingRecords): Promise<void>;

  /** The `since` of the notes of a cause behind a place of its writer, as for `recordedNumbers`. */
  abstract notedTimes(cause: MissingRecords['cause'], behind: LogPlace): Promise<ReadonlySet<number>>;

  /** The log as it grows: all records that any writer commits here (with PostgreSQL: ships). */
  abstract get feed(): RecordFeed;

  /** This process's own records as they are committed; undefined in mode `off`. */
  abstract get ownFeed(): RecordFeed | undefined;

  /** Number of records that were appended and are not committed yet. */
  abstract get depth(): number;

  /** The state of the log, read from memory without waiting. */
  abstract get status(): DecisionLogStatus;

  /** The journals that are in the log, and how far each is. A log of one process has one, which is always complete. */
  abstract writers(): Promise<LogWriters>;

  /**
   * Gives up a writer that has ended without shipping all that it decided: what it had not shipped becomes a gap.
   *
   * @param writer its number, as `writers` names it
   * @throws VerdictError `writer_not_found`; `writer_running` for one that has not ended
   */
  abstract retire(writer: number): Promise<void>;

  /** Signs all that was committed here; the log does so by itself each minute. */
  abstract checkpoint(): Promise<unknown>;

  /** Signs for the fleet, or where there is no key of it for this replica; undefined before the start and in mode `off`. */
  abstract readonly fleetSigner: NoteSigner | undefined;
  abstract readonly hasReturned: boolean;
  abstract forgetReturned(): Promise<void>;
  abstract erase(orders: ErasingOrders, signal: AbortSignal, onErased?: OnErased): Promise<ErasureCounts>;

  abstract erasable(orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts>;

  /** What the log has to prove itself with; each method throws VerdictError `decision_log_unavailable`. */
  abstract readonly proofs: StoredProofs;

  /** The size of the stored log. */
  abstract storage(): Promise<DecisionLogStorage>;

  /**
   * Returns the lowest time of a record that is kept, in milliseconds since 1970; undefined when no record is kept.
   *
   * @throws VerdictError `decision_log_unavailable`
   */
  abstract oldestRecord(): Promise<number | undefined>;

  /**
   * Deletes the records that the retention does not keep at `nowMs` (milliseconds since 1970). The log also does this by
   * itself. It never stalls a commit; it may keep more records than the retention asks for, because it deletes whole parts.
   */
  abstract prune(nowMs: number): Promise<void>;
}
