import type { StoredFleetCheckpoint } from './checkpoint-store.js';

export type StoredCheckpoints = (number: number) => Promise<StoredFleetCheckpoint | undefined>;

/** Where checkpoints of the fleet go, beside the database. */
export abstract class CheckpointSink {
  /** What it is called in metrics and in the store: `log`, or its kind. */
  abstract readonly name: string;
  /** Where it is, for messages; without secrets. */
  abstract readonly place: string;

  /**
   * The highest number that it has; the next ones are sent. Asked before the first one is sent, and after a failure.
   *
   * @param sent what the store says of it
   * @param stored finds a checkpoint in the store; undefined: it is not there, or not any more
   * @throws ForeignCheckpoint; or when it cannot be asked
   */
  async holdsTo(sent: number, _stored: StoredCheckpoints): Promise<number> {
    return sent;
  }

  /**
   * Sends one. The same one may be sent twice, after a kill: a sink keeps it once, or twice the same.
   *
   * @throws when it does not have it now
   */
  abstract send(checkpoint: StoredFleetCheckpoint): Promise<void>;
}

/** A checkpoint as one line of JSON: what files, objects and receivers get. */
export function checkpointLine({ number, time, note }: StoredFleetCheckpoint): string {
  return JSON.stringify({ number, time: new Date(time).toISOString(), note });
}

/** A sink that has what this log never made under that number: it is another log's, or this one was put back to an earlier state. */
export class ForeignCheckpoint extends Error {
  override readonly name = 'ForeignCheckpoint';

  constructor(place: string, number: number) {
    super(
      `${place} has another checkpoint ${number}: another log wrote it, or this database was put back to an earlier state; give this one a place of its own`,
    );
  }
}
