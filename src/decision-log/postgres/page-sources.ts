import type { SnapshotSource } from './log-snapshot.js';
import type { OwnTail } from './own-tail.js';
import type { SharedKeyIndex } from './record-search.js';

/** The most work of a page, in records whose text is read. */
export const pageWork = 131_072;

/** What a page is read from. */
export interface PageSources extends SnapshotSource {
  readonly tail: OwnTail | undefined;
  readonly keyIndex: SharedKeyIndex | undefined;
  /** Longest time of a page in milliseconds, about; then it answers with what it has. */
  readonly pageMs: number;
}
