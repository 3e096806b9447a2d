import type { DecisionRecord } from '../decision-log/decision-record.js';

/** A record on its way out. */
export interface OutgoingRecord {
  readonly record: DecisionRecord;
  /** It as JSON. */
  readonly text: string;
}

/** Where records come from, for a receiver that gets some twice: with its sequence it tells each of them. */
export interface RecordSource {
  /** The name of the journal: 128 random bits in hexadecimal. */
  readonly journal: string;
  /** The name of the process that answered. */
  readonly instance: string;
}

/** A place that records are sent to. */
export interface RecordSink {
  /** The place, without secrets. */
  readonly name: string;

  /**
   * Resolves when the receiver has the records, in their order; those that it refused for what is in them are returned.
   *
   * @throws for what may work later: then all of them are sent again
   */
  send(records: readonly OutgoingRecord[], source: RecordSource): Promise<readonly OutgoingRecord[]>;

  close(): Promise<void>;
}

/** The receiver will not take these records, however often they are sent. */
export class RecordsRefused extends Error {
  override readonly name = 'RecordsRefused';
}
