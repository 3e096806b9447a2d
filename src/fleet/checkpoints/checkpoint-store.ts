/** A checkpoint of the fleet as it is stored (decision-log/proof/fleet-checkpoint.ts). */
export interface StoredFleetCheckpoint {
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly note: string;
}

/** How far a sink has the checkpoints. */
export interface SentCheckpoint {
  readonly sink: string;
  readonly number: number;
}

/** Newest checkpoints that are kept in any case: those of ten weeks. */
export const keptCheckpoints = 100_000;

/**
 * The checkpoints of the fleet, and how far each sink has them. One is stored before it is sent anywhere, so that after a kill
 * the next one follows it, and the sinks get all that they do not have.
 */
export abstract class CheckpointStore {
  /**
   * Whether this replica makes the checkpoints, and sends them: one at a time does. It asks again within the term, or another one may.
   *
   * @param termMs how long it is this one's to do, in milliseconds
   */
  abstract lead(termMs: number): Promise<boolean>;

  /** Lets another replica make them. */
  abstract resign(): Promise<void>;

  abstract newest(): Promise<StoredFleetCheckpoint | undefined>;

  /** Those with a higher number, the lowest first; at most `most`. */
  abstract after(number: number, most: number): Promise<StoredFleetCheckpoint[]>;

  /** Commits one. @throws when there is one with this number */
  abstract add(checkpoint: StoredFleetCheckpoint): Promise<void>;

  /** The highest number that a sink has; 0 before the first. */
  abstract sentTo(sink: string): Promise<number>;

  /** The highest number that each sink has. */
  abstract sent(): Promise<readonly SentCheckpoint[]>;

  abstract markSent(sink: string, number: number): Promise<void>;

  /** Deletes those up to this number; all sinks have them. */
  abstract deleteTo(number: number): Promise<void>;

  abstract close(): Promise<void>;
}
