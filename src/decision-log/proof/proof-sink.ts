import type { GapCause, Loss } from '../log-gap.js';
import type { FleetCheckpointName } from './fleet-checkpoint.js';
import type { CertifiedKey } from './log-keys.js';
import type { Frontier, TreeHash } from './merkle-tree.js';
import type { StoredCheckpoint } from './stored-checkpoint.js';

/** A group as it is stored, wherever that is. */
export interface StoredProofGroup {
  readonly first: number;
  readonly count: number;
  /** Null where it was committed outside the tree. */
  readonly entry: number | null;
  readonly node: Buffer | null;
  readonly leaves: Buffer | null;
  /** Left out where they are encrypted, and only the structure is asked for. */
  readonly salts?: Buffer | null | undefined;
  /** Left out where only the structure is asked for. */
  readonly text?: string;
  /** True where the text was asked for and cannot be decrypted, since it was changed. */
  readonly isUndecryptable?: boolean;
  /** What is kept beside the group in a journal's file, and follows from its records. */
  readonly beside?: KeptBounds & {
    readonly keys: Buffer;
    /** How they follow from those of the records (record-keys.ts); left out where they are the same. */
    readonly maskKeys?: (keys: Buffer) => Buffer;
  };
  /** Where it is one of the groups of a row in PostgreSQL. */
  readonly row?: PlaceInRow;
}

/** The lowest and the highest times of records, and those in their ids. */
export interface KeptBounds {
  readonly since: number;
  readonly until: number;
  readonly idSince: number;
  readonly idUntil: number;
}

export interface PlaceInRow {
  /** How many records of the row are before the group's. */
  readonly place: number;
  /** Given with the last group: what is kept beside the row, and follows from its records. */
  readonly beside?: KeptBounds & {
    /** Entries of 8 bytes, in no order. */
    readonly entries: Buffer;
    /** How they follow from those of the records; left out where they are the same. */
    readonly maskEntries?: (entries: Buffer) => Buffer;
  };
}

export interface StoredProofGap extends Loss {
  readonly cause: GapCause;
  readonly entry: number | null;
  readonly node: Buffer | null;
}

/** What a store says of a checkpoint; a file does not say of which tree it is. */
export type KeptBeside = Pick<StoredCheckpoint, 'entries' | 'sequence' | 'time'> &
  Partial<Pick<StoredCheckpoint, 'tree'>>;

/** Where a part of a tree begins: a file, or what PostgreSQL has. */
export interface TreePart {
  /** Whose it is: a journal has another tree only where the end of the one before was lost. */
  readonly journal: string;
  readonly tree: string;
  readonly place: string;
  readonly begun: Frontier;
  /** Sequence of its first record. */
  readonly start: number;
  /** 30 bits, as each group names them. */
  readonly writer: number;
}

/**
 * Hears what a log has, in order: all checkpoints, then each part of a tree with its entries. An anchor can come later, too: what it is
 * about was removed while the log was read.
 */
export interface ProofSink {
  /** A checkpoint or an anchor; `beside`: what the store says of it. */
  checkpoint(note: string, place: string, beside?: KeptBeside): void | Promise<void>;
  /** Records that nothing proves, since an earlier release recorded them. */
  unprovedRecords(count: number): void;
  begin(part: TreePart): void;
  group(group: StoredProofGroup): void | Promise<void>;
  gap(gap: StoredProofGap): void | Promise<void>;
  /** An entry of which the retention left the hashes alone, since older ones are kept. */
  removed(entry: number, leaf: TreeHash, node: Buffer): void | Promise<void>;
  /** Records that are where none can be. */
  misplaced(place: string, what: string, sequence: number, through: number): void;
  /** A part of which not even the beginning can be read. */
  unreadable(place: string, sequence: number, through: number): void;
}

export interface ReadOptions {
  /** Whether the records are asked for, too, and not their hashes alone. */
  readonly withTexts: boolean;
  /** Most rows that are read at once: a service that decides meanwhile reads few. */
  readonly rowsAtOnce?: number;
}

/** The records of a log as it is now, with all that proves them; what is committed later is not in it. */
export interface ProvenRecords {
  /** The keys that signed in it. */
  readonly keys: readonly CertifiedKey[];
  /** Why the records cannot be read, but only their structure; undefined where they can. */
  readonly locked: Error | undefined;
  /** What beside the records was taken away; left out where nothing was. */
  readonly lost?: { readonly place: string; readonly what: string };
  /** Gives all of it to the sink. */
  read(sink: ProofSink, options: ReadOptions): Promise<void>;
}

/** A log that proves itself, where it lies. */
export interface ProvenSource extends ProvenRecords {
  /** Whether it has the trees of all writers. */
  readonly isWhole: boolean;
  /** The checkpoints of the fleet, as they were before the log was looked at. */
  readonly fleetCheckpoints: readonly (FleetCheckpointName & { readonly note: string })[];
  /** How far each sink had them, before those were looked at. */
  readonly sentCheckpoints: readonly { readonly sink: string; readonly number: number }[];
}
