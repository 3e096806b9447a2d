/**
 * The numbers of the last changes of a set. Both come from one row of numbers, so the higher one is the revision of the
 * set, and says what came after what: a data change that was made after a change of files has the higher number.
 */
export interface SetRevisions {
  /** Of its files in the database, or of what is pinned there; 0 where the database never had files of the set. */
  readonly files: number;
  /** Of its live data; 0 where it never had any. */
  readonly data: number;
}

/** A part of a set that changes by itself. */
export type ChangedPart = keyof SetRevisions;

/** The revision of a set: that of its last change; 0 without one. */
export function lastRevisionOf({ files, data }: SetRevisions): number {
  return Math.max(files, data);
}

export const noRevisions: SetRevisions = Object.freeze({ files: 0, data: 0 });
