/** A checkpoint as it is stored (checkpoint.ts). */
export interface StoredCheckpoint {
  /** The name of the tree. */
  readonly tree: string;
  /** The size of the tree, and the sequence of its newest record. */
  readonly entries: number;
  readonly sequence: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly note: string;
}
