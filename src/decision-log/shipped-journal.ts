import type { DecisionLog } from './decision-log.js';
import type { JournalGroup } from './journal-group.js';
import type { StoredGap } from './log-gap.js';
import type { CertifiedKey } from './proof/log-keys.js';
import type { Frontier } from './proof/merkle-tree.js';
import type { NoteSigner } from './proof/signed-note.js';
import type { StoredCheckpoint } from './proof/stored-checkpoint.js';

/** Records of a journal that cannot be read any more: their sequences, and times as far as they are known. */
export type MissingRange = StoredGap & { readonly lost: number };

/** A part of a journal in order: groups that follow on each other, with what is missing between them. */
export interface Stretch {
  readonly groups: readonly JournalGroup[];
  readonly missing: readonly MissingRange[];
  /** Every record up to this sequence is in `groups` or `missing`, or was not asked for. */
  readonly to: number;
}

/** Whose journal it is, and where it ends. */
export interface JournalPosition {
  /** Its name: 128 random bits in hexadecimal. */
  readonly journal: string;
  /** The 30 bits in its ids. */
  readonly idWriter: number;
  /** Sequence of the newest record. */
  readonly end: number;
  /** The lowest time of a record that waits for its commit, in milliseconds since 1970. */
  readonly oldestPending: number | undefined;
}

/** A replica's own journal, read in order and shipped into a log that replicas share. */
export interface ShippedJournal {
  /** The sequence of its newest record, read from memory; 0 when it has none, or is opened for the first time. */
  readonly end: number;

  position(): Promise<JournalPosition>;

  /** Reads what follows on the record `after`: at most `most` records, but one group at least, if there is one. */
  read(after: number, most: number): Promise<Stretch>;

  /** Lets go of what is kept in memory of records up to this sequence: they were shipped. */
  shipped(sequence: number): void;

  /** The gaps that the journal notes behind records from this sequence on. */
  gaps(from: number): Promise<readonly StoredGap[]>;

  /** The sequence of the first record that the journal still has; that of the next one when it has none. */
  first(): Promise<number>;

  /** The id of a record; undefined when it is not in the journal any more, or cannot be read. */
  idAt(sequence: number): Promise<string | undefined>;

  /** The tree that a group is in, as it was before the group. */
  treeBefore(group: JournalGroup): Promise<Frontier | undefined>;

  /** The newest checkpoint; undefined where there is none. */
  checkpoint(): Promise<StoredCheckpoint | undefined>;

  /** The public keys that sign the journal's checkpoints. */
  keys(): Promise<readonly CertifiedKey[]>;

  /** Makes what is committed survive a loss of power. */
  harden(): Promise<void>;
}

/** A decision log of this process alone, whose journal is shipped. */
export interface LocalDecisionLog extends DecisionLog {
  readonly journal: ShippedJournal;

  /** Why no record may be added although it could be written; undefined when one may. `async` loses and counts it then. */
  refusal: string | undefined;

  /** Commits the records that wait. */
  flush(): Promise<void>;

  /** Signs for this replica; undefined before the start and in mode `off`. */
  readonly signer: NoteSigner | undefined;

  /** Signs all that is committed; returns the note, undefined where nothing can be written now. */
  checkpoint(): Promise<string | undefined>;
}
