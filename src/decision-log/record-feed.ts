import type { DecisionRecord } from './decision-record.js';
import type { StreamPosition } from './stream-position.js';

/** A record, and the writer whose sequence it has. */
export interface FedRecord {
  readonly writer: number;
  readonly record: DecisionRecord;
}

/** What follows on a position. */
export interface FedRecords {
  /** Of each writer in the order of its sequences. */
  readonly records: readonly FedRecord[];
  /** Where they end. */
  readonly position: StreamPosition;
  /** True if there was nothing more. */
  readonly isEnd: boolean;
}

/** A log as it grows. */
export interface RecordFeed {
  /** Where the log ends now. */
  end(): Promise<StreamPosition>;

  /**
   * Reads on: some records, or none where `isEnd`. What cannot be read, or is no longer kept, is passed over. A position in
   * another log (the journal was begun anew) is before all of this one.
   */
  readOn(after: StreamPosition): Promise<FedRecords>;

  /** Calls `listener` when there may be more. It may call too often. */
  subscribe(listener: () => void): { end(): void };
}
