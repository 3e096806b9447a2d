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

/**
 * The revision of what serves of a set with live data: the highest number up to which every change is in it. Data may be
 * newer than files that cannot be loaded yet, and then says nothing of them.
 *
 *     claimedRevision(5, { files: 5, data: 7 }, undefined)   // 7
 *     claimedRevision(5, { files: 6, data: 7 }, undefined)   // 5: the files of 6 are missing
 *     claimedRevision(undefined, { files: 0, data: 7 }, 3)   // 7: the files have no numbers
 *
 * @param files the number of the files that serve; undefined where their source gives none
 * @param known the numbers of the set when its data were read; all changes of data up to `known.data` are in it
 * @param before what was claimed before of the same set
 */
export function claimedRevision(
  files: number | undefined,
  known: SetRevisions,
  before: number | undefined,
): number | undefined {
  if (files === undefined) return known.data === 0 ? before : known.data;
  return files === known.files ? lastRevisionOf(known) : Math.max(files, before ?? 0);
}
