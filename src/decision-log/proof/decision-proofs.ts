/** What the log answers about its own proof (docs/decision-log-proof.md). Hashes and salts are in base64; a path is the base64 of its hashes, one behind the other. */
import { Integer, Part, Parts, Text, Texts, Time } from '../../answers/members.js';
import { RecordErasure } from '../erasure/record-erasure.js';
import type { CertifiedKey } from './log-keys.js';
import type { StoredTree } from './merkle-tree.js';
import type { ProvenRecords } from './proof-sink.js';
import type { StoredCheckpoint } from './stored-checkpoint.js';

export class LogCheckpoint {
  @Text({ description: 'The name of the tree: as a rule that of the journal, as in `/v1/decisions/writers`.' })
  readonly tree!: string;

  @Integer({ description: 'Number of entries of the tree.' })
  readonly entries!: number;

  @Integer({ description: 'The sequence of the newest record in it.' })
  readonly sequence!: number;

  @Time()
  readonly time!: string;

  @Text({ description: 'The signed note, in the form of C2SP tlog-checkpoint.' })
  readonly note!: string;
}

export class CheckpointPage {
  @Parts(() => LogCheckpoint)
  readonly items!: readonly LogCheckpoint[];

  @Text({ optional: true, description: 'Pass it as `cursor` for the page after.' })
  readonly nextCursor?: string;
}

export class TreeConsistency {
  @Text({ description: 'The name of the tree.' })
  readonly tree!: string;

  @Integer()
  readonly from!: number;

  @Integer()
  readonly to!: number;

  @Text({
    description: 'The consistency proof of RFC 9162, section 2.1.4: its hashes one behind the other, in base64.',
  })
  readonly path!: string;
}

/** Where a record is among those that were committed with it. */
export class GroupPlace {
  @Integer({ description: 'The sequence of the first record of the group.' })
  readonly first!: number;

  @Integer({ description: 'How many records it has.' })
  readonly count!: number;

  @Texts({ description: 'For each level of runs of four, the other hashes of the run, in base64.' })
  readonly path!: readonly string[];
}

export class DecisionProof {
  @Text()
  readonly id!: string;

  @Integer()
  readonly sequence!: number;

  @Text({ optional: true, description: "The record's salt, in base64. Left out once the record was erased." })
  readonly salt?: string;

  @Part(() => RecordErasure, {
    optional: true,
    description: 'Given once something was erased from the record: its signature stands in for the hash.',
  })
  readonly erased?: RecordErasure;

  @Text({ description: 'The hash of the record, in base64. After an erasure it is that of what the record was.' })
  readonly leaf!: string;

  @Part(() => GroupPlace)
  readonly group!: GroupPlace;

  @Integer({ description: "The place of the group in its writer's tree, from 0." })
  readonly entry!: number;

  @Text({ description: 'The inclusion proof of RFC 9162, section 2.1.3: its hashes one behind the other, in base64.' })
  readonly path!: string;

  @Text({ description: 'The newest checkpoint of the tree: a signed note.' })
  readonly checkpoint!: string;
}

export class LogKey implements CertifiedKey {
  @Text({ description: 'Name, id and public key, as C2SP signed-note writes them.' })
  readonly key!: string;

  @Texts({ description: 'Signed notes of other keys that certify this one.' })
  readonly certificates!: readonly string[];
}

export class LogKeyList {
  @Parts(() => LogKey)
  readonly keys!: readonly LogKey[];
}

export interface CheckpointRange {
  /** The name of a tree; undefined: of all. */
  readonly tree?: string | undefined;
  /** Those of before this time, in milliseconds since 1970. */
  readonly before: number;
  readonly limit: number;
  /** Those of trees of at most this many entries; undefined: of any. */
  readonly entries?: number | undefined;
}

/** A record's group, as its store has it. */
export interface ProvedGroup {
  readonly tree: string;
  readonly entry: number;
  readonly first: number;
  readonly count: number;
  readonly leaves: Buffer;
  readonly salts: Buffer;
  /** Most entries of a checkpoint that it can be proved to be in, where what is behind it was removed; undefined: any. */
  readonly provable?: number | undefined;
}

/** A tree that was not signed for longer is not among the heads, in milliseconds: its writer has ended. */
export const headAgeMs = 86_400_000;

/** What a log has stored to prove itself with. */
export interface StoredProofs {
  /** The newest first. */
  checkpoints(range: CheckpointRange): Promise<readonly StoredCheckpoint[]>;

  /** The newest checkpoint of each tree of which one was signed in the last day. */
  heads(): Promise<readonly StoredCheckpoint[]>;

  /**
   * Does something with a tree; `work` gets undefined where nothing of it is kept.
   *
   * @param entry the entry that it is about; undefined: the newest
   */
  inTree<T>(name: string, work: (tree: StoredTree | undefined) => Promise<T>, entry?: number): Promise<T>;

  /** The group of a record; undefined where nothing proves it. `isPending`: it is to be there soon. */
  groupOf(record: {
    readonly writer: number;
    readonly sequence: number;
    readonly time: string;
  }): Promise<ProvedGroup | 'pending' | undefined>;

  /** The records with what proves them, to be verified elsewhere. */
  records(): Promise<ProvenRecords>;

  /** All keys that signed what is kept. */
  keys(): Promise<readonly CertifiedKey[]>;
}
