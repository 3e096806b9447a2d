import { idMilliseconds } from '../decision-ids.js';
import type { DecisionRecord } from '../decision-record.js';
import { isSignedErasure } from '../erasure/erasure-signature.js';
import type { RecordErasure } from '../erasure/record-erasure.js';
import { type CommonMembers, groupText } from '../group-text.js';
import { keyedValues, lineTexts } from '../line-texts.js';
import type { GapCause, Loss } from '../log-gap.js';
import {
  addGroupKeys,
  addKeysOf,
  addRecordKeys,
  commonKeys,
  encodeEntries,
  encodeKeys,
  entryBytes,
  type GroupKeys,
  keyBytes,
} from '../record-keys.js';
import { type CommonTexts, commonTexts, wholeText } from '../record-texts.js';
import { type RecordedLine, readCommonLine, readRecordLine, writeRecordLine } from '../recorded-lines.js';
import { type Checkpoint, openCheckpoint } from './checkpoint.js';
import { FleetChain } from './fleet-chain.js';
import {
  type AuditHead,
  type FleetCheckpointName,
  isFleetCheckpoint,
  openFleetCheckpoint,
} from './fleet-checkpoint.js';
import { entryOfGap, entryOfGroup, groupRoot, hashLeaves, hasSalt, leafHash, saltBytes } from './group-hashes.js';
import { Frontier, hashBytes, type TreeHash } from './merkle-tree.js';
import type {
  KeptBeside,
  KeptBounds,
  PlaceInRow,
  ProofSink,
  StoredProofGap,
  StoredProofGroup,
  TreePart,
} from './proof-sink.js';
import type { NoteKey } from './signed-note.js';

/**
 * How deep a verification goes. `structure`: the hashes, their tree and its checkpoints. `content`: that each record is the
 * one that was hashed, too.
 */
export type VerificationDepth = 'structure' | 'content';

export interface Finding {
  /** `wrong`: what is there is not what was recorded. `missing`: what was recorded is not there. */
  readonly kind: 'wrong' | 'missing';
  /** The first record that it is about, and the last, by their sequences, as far as they are known. */
  readonly sequence?: number;
  readonly through?: number;
  /** Where it is: a file, a writer, a tree. */
  readonly place: string;
  readonly what: string;
}

export interface VerificationReport {
  readonly depth: VerificationDepth;
  readonly records: number;
  /** Records of files that earlier releases made: nothing proves them. */
  readonly unproved: number;
  /** Records that no checkpoint is about yet: those of the last minute, as a rule. */
  readonly unsigned: number;
  /** Notes of records that were never written, or were lost when they were noted; they are in the tree. */
  readonly gaps: readonly (Loss & { readonly cause: GapCause })[];
  /** The first erasures that removed something from records, with the number of these. */
  readonly erasures: readonly ErasedRecords[];
  /** Checkpoints that were found right. */
  readonly checkpoints: number;
  /** Checkpoints of the fleet that are signed, whichever place they are from. */
  readonly fleetCheckpoints: number;
  /** The first findings, in the order of the log. */
  readonly findings: readonly Finding[];
  /** How many there are in all. */
  readonly found: number;
}

/** A version of a policy set, and the first record that names it. */
export interface NamedVersion {
  readonly name: string;
  readonly version: string;
  readonly sequence: number;
  readonly place: string;
}

export interface ErasedRecords {
  /** Of the erasure. */
  readonly id: string;
  /** When it was ordered. */
  readonly time: string;
  readonly records: number;
}

/** A record of an export: with its salt, or with its leaf once it was erased. */
export type ExportedRecord = { readonly record: DecisionRecord } & (
  | { readonly salt: string; readonly leaf?: undefined }
  | { readonly leaf: string; readonly salt?: undefined }
);

export interface LogVerificationOptions {
  /** Their signatures count. */
  readonly keys: readonly NoteKey[];
  readonly depth: VerificationDepth;
  /** Whether the log has the trees of all writers (true); false for a replica's own, where others are elsewhere. */
  readonly isWhole?: boolean;
}

/** The place of the checkpoints of the fleet that the database itself has. */
export const ownCheckpoints = 'the database';

/**
 * The bytes of a text in base64, as an export writes it.
 *
 * @throws for one that is written otherwise, which would be read as the same: with other bits behind the last byte, or behind the padding
 */
export function exportedBytes(base64: string): Buffer {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) throw new Error('it is not in base64');
  return bytes;
}

/** What a checkpoint, or one of the fleet, says of a tree. */
interface SignedHead {
  readonly checkpoint: Checkpoint;
  readonly place: string;
  readonly isOfFleet: boolean;
}

/** The first line of a group as it was read. */
interface ReadCommon {
  readonly line: string;
  readonly members: CommonMembers;
  readonly writer: number;
  readonly texts: CommonTexts;
}

/** Most findings, gaps and erasures that are listed. */
const mostListed = 100;

/**
 * Verifies trees part by part, in order, in constant memory: the groups and gaps of each part in the order of their
 * entries.
 *
 *     const verification = new LogVerification({ keys, depth: 'content' });
 *     verification.checkpoint(note, place);                       // all of them first
 *     verification.begin(part); verification.group(row); …        // for each part
 *     verification.end();
 *     verification.report.findings
 */
export class LogVerification implements ProofSink {
  private readonly keys: readonly NoteKey[];
  private readonly depth: VerificationDepth;
  /** By tree, in order of their sizes. */
  private readonly checkpoints = new Map<string, SignedHead[]>();
  private readonly fleet = new FleetChain();
  /** What the checkpoints of the fleet say of the audit events. */
  readonly auditHeads: (AuditHead & { readonly place: string })[] = [];
  /** Versions that records name, with the first record that does; of the depth `content`. */
  readonly versions = new Map<string, NamedVersion>();
  private lastVersion: NamedVersion | undefined;
  private lastCommon: ReadCommon | undefined;
  private readonly anchors = new Map<string, Checkpoint>();
  private readonly findings: Finding[] = [];
  private readonly gaps: (Loss & { cause: GapCause })[] = [];
  private readonly trees = new Set<string>();
  private readonly erasures = new Map<string, { id: string; time: string; records: number }>();
  private found = 0;
  private records = 0;
  private unproved = 0;
  private signedTo = 0;
  private rightCheckpoints = 0;
  /** Whether one was right, of the fleet or not. */
  private isSigned = false;
  private part: TreePart | undefined;
  /** The tree so far; undefined where an entry before was missing. */
  private tree: Frontier | undefined;
  private nextEntry = 0;
  private last = 0;
  private next = 0;
  private hasRemoved = false;
  /** The writer that the records of an export name, which is in no hash. */
  private exportedWriter: number | undefined;
  /** The groups of the row that is being read, where all were right so far. */
  private row: RowSoFar | undefined;

  private readonly isWhole: boolean;

  constructor(options: LogVerificationOptions) {
    this.keys = options.keys;
    this.depth = options.depth;
    this.isWhole = options.isWhole ?? true;
  }

  get report(): VerificationReport {
    const { depth, records, unproved, gaps, findings, found } = this;
    const unsigned = Math.max(0, records - this.signedTo);
    const erasures = [...this.erasures.values()];
    return {
      depth,
      records,
      unproved,
      unsigned,
      gaps,
      erasures,
      checkpoints: this.rightCheckpoints,
      fleetCheckpoints: this.fleet.size,
      findings,
      found,
    };
  }

  /**
   * A checkpoint or an anchor, from the log or from elsewhere. All of them come before the first part.
   *
   * @param beside what the store says of it, where it is from the log
   */
  checkpoint(note: string, place: string, beside?: KeptBeside): void {
    if (isFleetCheckpoint(note)) {
      this.fleetCheckpoint(note, place);
      return;
    }
    const checkpoint = openCheckpoint(note, this.keys);
    if (checkpoint === undefined) {
      this.note({ kind: 'wrong', place, what: 'a checkpoint is not signed by any of these keys, or was changed' });
      return;
    }
    const { tree } = checkpoint;
    const { size, sequence, time } = checkpoint;
    const isSame = beside?.entries === size && beside.sequence === sequence && beside.time === time;
    if (beside !== undefined && !(isSame && (beside.tree ?? tree) === tree))
      this.note({ kind: 'wrong', place, what: 'what is kept beside a checkpoint is not what it says' });
    if (checkpoint.isAnchor) {
      if (checkpoint.size >= (this.anchors.get(tree)?.size ?? 0)) this.anchors.set(tree, checkpoint);
      return;
    }
    const known = this.checkpoints.get(tree) ?? [];
    known.push({ checkpoint, place, isOfFleet: false });
    this.checkpoints.set(tree, known);
  }

  /**
   * A checkpoint of the fleet, as `checkpoint` takes it.
   *
   * @param beside what the store says of it, where it is from the database
   */
  fleetCheckpoint(note: string, place: string, beside?: FleetCheckpointName): void {
    const checkpoint = openFleetCheckpoint(note, this.keys);
    if (checkpoint === undefined) {
      const what = 'a checkpoint of the fleet is not signed by any of these keys, or was changed';
      this.note({ kind: 'wrong', place, what });
      return;
    }
    const { number, time, heads, audit } = checkpoint;
    if (beside !== undefined && (beside.number !== number || beside.time !== time)) {
      const what = `what is kept beside checkpoint ${number} of the fleet is not what it says`;
      this.note({ kind: 'wrong', place, what });
    }
    this.fleet.add(checkpoint, note, place);
    const last = this.auditHeads.at(-1);
    if (audit !== undefined && !(last?.events === audit.events && last.link.equals(audit.link)))
      this.auditHeads.push({ ...audit, place: `${place}, checkpoint ${number}` });
    for (const head of heads) {
      const known = this.checkpoints.get(head.tree) ?? [];
      this.checkpoints.set(head.tree, known);
      const last = known.at(-1);
      // An idle writer's is the same each minute.
      if (last?.isOfFleet && last.checkpoint.size === head.size && last.checkpoint.root.equals(head.root)) continue;
      const signed = { ...head, time, isAnchor: false };
      known.push({ checkpoint: signed, place: `${place}, checkpoint ${number}`, isOfFleet: true });
    }
  }

  /** What is wrong at a place that is not the log. */
  elsewhere(finding: Finding): void {
    this.note(finding);
  }

  /** Records that nothing proves, since an earlier release recorded them. */
  unprovedRecords(count: number): void {
    this.unproved += count;
  }

  begin(part: TreePart): void {
    const before = this.part;
    const { begun, place, start } = part;
    const isFirst = before?.tree !== part.tree;
    if (isFirst) {
      if (before !== undefined) this.endTree(before);
      if (before?.journal === part.journal) {
        this.note({
          kind: 'missing',
          sequence: this.last + 1,
          place,
          what: `another tree begins here, since the end of the one before was lost; nobody can say how many records it had`,
        });
      }
      this.checkpoints.get(part.tree)?.sort((a, b) => a.checkpoint.size - b.checkpoint.size);
      this.next = 0;
      if (begun.size > 0) this.expectAnchor(part, 0, 0);
    } else if (begun.size > this.nextEntry) this.expectAnchor(part, this.nextEntry, this.last);
    else if (begun.size < this.nextEntry || (this.tree !== undefined && !this.tree.root.equals(begun.root))) {
      this.note({
        kind: 'wrong',
        sequence: start,
        place,
        what: 'it does not follow on the part of the tree before it',
      });
    }
    this.exportedWriter = undefined;
    this.trees.add(part.tree);
    this.part = part;
    this.tree = begun;
    this.nextEntry = begun.size;
    this.last = start - 1;
    this.hasRemoved = false;
    this.compareCheckpoints();
  }

  misplaced(place: string, what: string, sequence: number, through: number): void {
    this.note({ kind: 'wrong', sequence, through, place, what });
  }

  /** A part of which not even the beginning can be read. */
  unreadable(place: string, sequence: number, through: number): void {
    this.note({ kind: 'wrong', sequence, through, place, what: 'it cannot be read' });
    this.tree = undefined;
  }

  group(group: StoredProofGroup): void {
    try {
      this.groupNow(group);
    } catch {
      // A value of another kind than is written there.
      this.note({ kind: 'wrong', sequence: group.first, place: this.place, what: 'the group cannot be read' });
      this.tree = undefined;
    }
  }

  private groupNow(group: StoredProofGroup): void {
    const { first, count, entry, node, leaves, salts } = group;
    this.records += count;
    const through = first + count - 1;
    const wrong = (what: string, sequence = first) => {
      this.note({ kind: 'wrong', sequence, through, place: this.place, what });
    };
    if (entry === null || node === null || leaves === null || salts === null) {
      wrong('the records were added outside the tree');
    } else if (leaves.length !== count * hashBytes || (salts !== undefined && salts.length !== count * saltBytes)) {
      wrong('the group has not one hash and one salt for each record');
      this.tree = undefined;
    } else {
      this.entry(entry, node, entryOfGroup(first, count, groupRoot(leaves)), first);
      if (group.isUndecryptable) wrong('the text cannot be decrypted: it was changed');
      else if (this.depth === 'content' && group.text !== undefined && salts !== undefined)
        this.content(group, group.text, leaves, salts, wrong);
    }
    if (first <= this.last) wrong('the sequences are used twice');
    else if (first > this.last + 1 && this.tree !== undefined && !this.isRemoved(first - 1)) {
      this.note({
        kind: 'missing',
        sequence: this.last + 1,
        through: first - 1,
        place: this.place,
        what: 'the sequences jump',
      });
    }
    this.last = Math.max(this.last, through);
    this.hasRemoved = false;
    this.compareCheckpoints();
  }

  /** `node` is left out where the source does not keep it. */
  gap(gap: Omit<StoredProofGap, 'node'> & { readonly node?: Buffer | null | undefined }): void {
    const { after, lost, since, until, cause, entry, node } = gap;
    if (this.gaps.length < mostListed) this.gaps.push({ after, lost, since, until, cause });
    if (entry === null || node === null) {
      this.note({ kind: 'wrong', sequence: after + 1, place: this.place, what: 'a gap was noted outside the tree' });
      return;
    }
    this.entry(entry, node, entryOfGap(gap), after + 1);
    // Their sequences are not given out again.
    if (cause === 'file_damaged' || cause === 'file_missing') this.last = Math.max(this.last, after + (lost ?? 0));
    this.compareCheckpoints();
  }

  /** A group of an export: records with their salts, and the hashes of those that were left out. */
  exported(entry: number, first: number, records: readonly (string | ExportedRecord)[]): void {
    const count = records.length;
    const leaves = records.map((each, i) => {
      if (typeof each === 'string') return exportedBytes(each);
      if (each.record.sequence !== first + i) {
        const what = `the record names the sequence ${each.record.sequence}`;
        this.note({ kind: 'wrong', sequence: first + i, place: this.place, what });
      }
      this.exportedWriter ??= each.record.writer;
      if (each.record.writer !== this.exportedWriter) {
        const what = `the record names the writer ${each.record.writer}, and another one ${this.exportedWriter}`;
        this.note({ kind: 'wrong', sequence: first + i, place: this.place, what });
      }
      if (each.leaf !== undefined) {
        this.expectErased(each.record, first + i);
        return exportedBytes(each.leaf);
      }
      return leafHash(first + i, wholeText(each.record), exportedBytes(each.salt));
    });
    this.records += count;
    this.entry(entry, undefined, entryOfGroup(first, count, groupRoot(Buffer.concat(leaves))), first);
    if (first !== this.last + 1 && this.tree !== undefined && !this.isRemoved(first - 1)) {
      const kind = first > this.last + 1 ? 'missing' : 'wrong';
      this.note({ kind, sequence: Math.min(first, this.last + 1), place: this.place, what: 'the sequences jump' });
    }
    this.last = Math.max(this.last, first + count - 1);
    this.hasRemoved = false;
    this.compareCheckpoints();
  }

  private expectErased(record: DecisionRecord, sequence: number): void {
    const { erased } = record;
    const whole = erased && wholeText({ ...record, erased: { erasures: erased.erasures } });
    if (whole !== undefined && isSignedErasure(this.part!.tree, sequence, whole, erased!, this.keys)) {
      this.countErased(erased!);
      return;
    }
    const what = 'the record was erased, and no signature of the log says so';
    this.note({ kind: 'wrong', sequence, place: this.place, what });
  }

  /** A line of an export that cannot be read; what is behind it is not looked at. */
  unreadableLine(number: number): void {
    this.note({ kind: 'wrong', sequence: this.last + 1, place: this.place, what: `line ${number} cannot be read` });
  }

  /** An export that does not say that it is whole. */
  cutOff(): void {
    this.note({ kind: 'missing', sequence: this.last + 1, place: this.place, what: 'the export was cut off' });
  }

  /** An entry of which the retention left the hashes alone, since older ones are kept. */
  removed(entry: number, leaf: TreeHash, node?: Buffer): void {
    this.entry(entry, node, leaf, this.last + 1);
    this.hasRemoved = true;
    this.compareCheckpoints();
  }

  end(): void {
    if (this.part !== undefined) this.endTree(this.part);
    for (const each of this.fleet.breaks(ownCheckpoints)) this.note(each);
    const hasOne = [...this.checkpoints.keys()].some((tree) => this.trees.has(tree));
    for (const [tree, all] of this.checkpoints) {
      // Those of other writers are elsewhere, and the retention may have removed all of a tree.
      const isElsewhere = !this.isWhole && hasOne && all.every(({ isOfFleet }) => isOfFleet);
      const removedTo = this.anchors.get(tree)?.size ?? 0;
      if (this.trees.has(tree) || isElsewhere || all.every(({ checkpoint }) => checkpoint.size <= removedTo)) continue;
      const { checkpoint, place } = all.at(-1)!;
      this.note({
        kind: 'missing',
        sequence: 1,
        through: checkpoint.sequence,
        place,
        what: `nothing of the tree ${tree} is there`,
      });
    }
    if (!this.isSigned && this.records > 0) {
      this.note({
        kind: 'missing',
        place: this.place,
        what: 'no checkpoint that is signed by these keys proves the records',
      });
    }
  }

  /** Whether the records up to this sequence, of which hashes alone are here, are among those that the retention removed. */
  private isRemoved(sequence: number): boolean {
    return this.hasRemoved && sequence <= (this.anchors.get(this.part!.tree)?.sequence ?? 0);
  }

  private get place(): string {
    return this.part?.place ?? 'the log';
  }

  private expectAnchor({ begun, start, tree, place }: TreePart, from: number, after: number): void {
    const anchor = this.anchors.get(tree);
    if (anchor !== undefined && anchor.size >= begun.size) {
      if (anchor.size === begun.size && !anchor.root.equals(begun.root))
        this.note({
          kind: 'wrong',
          sequence: start,
          place,
          what: 'the tree does not go on from where the retention ended',
        });
      return;
    }
    const entries = begun.size - from;
    this.note({
      kind: 'missing',
      sequence: after + 1,
      through: start - 1,
      place,
      what: `${entries} entries of the tree before it are missing, and no signed note says that the retention removed them`,
    });
  }

  private entry(entry: number, node: Buffer | undefined, leaf: TreeHash, sequence: number): void {
    if (entry > this.nextEntry) {
      this.note({
        kind: 'missing',
        sequence: this.last + 1,
        ...(sequence > this.last + 1 && { through: sequence - 1 }),
        place: this.place,
        what: `entries ${this.nextEntry} to ${entry - 1} of the tree are missing`,
      });
      this.tree = undefined;
    } else if (entry < this.nextEntry) {
      this.note({
        kind: 'wrong',
        sequence,
        place: this.place,
        what: `entry ${entry} of the tree is there twice, or in another place`,
      });
      this.tree = undefined;
    }
    this.nextEntry = Math.max(this.nextEntry, entry + 1);
    if (this.tree === undefined) return;
    this.tree = this.tree.append(leaf);
    if (node !== undefined && !this.tree.nodes.at(-1)!.equals(node)) {
      this.note({
        kind: 'wrong',
        sequence,
        place: this.place,
        what: 'the hashes of the records do not lead to the tree',
      });
    }
  }

  private compareCheckpoints(): void {
    const all = this.checkpoints.get(this.part!.tree) ?? [];
    for (; this.next < all.length; this.next++) {
      const { checkpoint, place, isOfFleet } = all[this.next]!;
      if (checkpoint.size > this.nextEntry) return;
      // What was before is not kept, or a finding said already that it is missing.
      if (checkpoint.size < this.nextEntry || this.tree === undefined) continue;
      const isUpTo = checkpoint.sequence === this.last || this.isRemoved(checkpoint.sequence);
      if (this.tree.root.equals(checkpoint.root) && isUpTo) {
        if (!isOfFleet) this.rightCheckpoints++;
        this.isSigned = true;
        this.signedTo = this.records;
      } else {
        const what = `the records up to here are not those that a checkpoint of ${new Date(checkpoint.time).toISOString()} signs (${place})`;
        this.note({ kind: 'wrong', sequence: this.last, place: this.place, what });
      }
    }
  }

  private endTree({ tree }: TreePart): void {
    const missing = (this.checkpoints.get(tree) ?? []).filter(({ checkpoint }) => checkpoint.size > this.nextEntry);
    const newest = missing.at(-1);
    if (newest === undefined) return;
    const { checkpoint, place } = newest;
    const at = new Date(checkpoint.time).toISOString();
    this.note({
      kind: 'missing',
      sequence: this.last + 1,
      through: checkpoint.sequence,
      place: this.place,
      what: `the newest records are missing: a checkpoint of ${at} has ${checkpoint.size - this.nextEntry} more entries (${place})`,
    });
  }

  /** Compares the text of a group, and what is beside it, with what makes the same of its records. */
  private content(
    { first, count, beside, row }: StoredProofGroup,
    text: string,
    leaves: Buffer,
    salts: Buffer,
    wrong: (what: string, sequence?: number) => void,
  ): void {
    const isKeyed = beside !== undefined || row !== undefined;
    // Where a group of the row is wrong, nothing is said of what is beside it.
    const rowBefore = this.row;
    this.row = undefined;
    const lines = text.split('\n');
    const common = this.commonOf(lines[0]!);
    if (common === undefined) {
      wrong('what the records of the group share was changed');
      return;
    }
    if (common.writer === this.part!.writer && lines.length === count + 1) {
      const hashed = this.readAsHashed(first, lines, common, leaves, salts, isKeyed);
      if (hashed !== undefined && (beside === undefined || faultBeside(beside, hashed) === undefined)) {
        this.compareRow(row, rowBefore, hashed, count, wrong);
        return;
      }
      // It is read in full to say what is wrong, if anything is.
    }
    if (common.writer !== this.part!.writer) wrong('the group names another writer');
    if (lines.length !== count + 1) wrong(`the group has ${lines.length - 1} records instead of ${count}`);
    const { texts } = common;
    const keys = commonKeys(common.members);
    const places: CommonPlaces = [0, 0, 0];
    const bounds = unbounded();
    const wholes: string[] = [];
    const records: RecordedLine[] = [];
    for (let i = 0; i < Math.min(count, lines.length - 1); i++) {
      const line = lines[i + 1]!;
      const record = readRecordLine(line, common.members);
      const made = record && writeRecordLine(record, texts);
      if (made === undefined || made.line !== line) {
        wrong('the record was changed', first + i);
        return;
      }
      wholes.push(made.whole);
      records.push(record!);
      this.name(record!, first + i);
      if (!isKeyed) continue;
      addRecordKeys(record!, common.members, keys, i);
      addPlaces(places, record!, common.members, i);
      widen(bounds, record!.time, idMilliseconds(record!.id) ?? record!.time);
    }
    const again = hashLeaves(first, wholes, salts);
    for (let i = 0; i < wholes.length; i++) {
      if (!hasSalt(salts, i)) {
        // What its hash was of is gone for good.
        if (this.isErased(records[i]!, texts, first + i)) continue;
        wrong('the record was erased, and no signature of the log says so', first + i);
        return;
      }
      if (again.compare(leaves, i * hashBytes, (i + 1) * hashBytes, i * hashBytes, (i + 1) * hashBytes) !== 0) {
        wrong('the record is not the one that was hashed', first + i);
        return;
      }
    }
    const read = { keys, places, bounds };
    const fault = beside === undefined ? undefined : faultBeside(beside, read);
    if (fault !== undefined) wrong(fault);
    this.compareRow(row, rowBefore, read, count, wrong);
  }

  /** Adds a group to its row, and compares what is kept beside the row when that was its last one. */
  private compareRow(
    place: PlaceInRow | undefined,
    before: RowSoFar | undefined,
    read: ReadBeside,
    count: number,
    wrong: (what: string, sequence?: number) => void,
  ): void {
    if (place === undefined) return;
    const row = place.place === 0 ? new RowSoFar() : before;
    if (row === undefined || row.count !== place.place) return;
    row.add(read, count);
    this.row = row;
    const { beside } = place;
    if (beside === undefined) return;
    if (!row.hasEntries(beside)) wrong(changedKeys);
    if (!areSameBounds(beside, row.bounds)) wrong(changedTimes);
  }

  /** What the records of a group share, as its first line says: mostly the same as in the group before. */
  private commonOf(line: string): ReadCommon | undefined {
    if (this.lastCommon?.line === line) return this.lastCommon;
    const read = readCommonLine(line);
    if (read === undefined || groupText(read.members, read.writer, []) !== `${line}\n`) return undefined;
    this.lastCommon = { ...read, line, texts: commonTexts(read.members) };
    return this.lastCommon;
  }

  /**
   * What follows from the records of a group, read without parsing them, as can be done with most; undefined where a hash is another
   * one, or they have to be read in full.
   */
  private readAsHashed(
    first: number,
    lines: readonly string[],
    { members, texts }: ReadCommon,
    leaves: Buffer,
    salts: Buffer,
    isKeyed: boolean,
  ): ReadBeside | undefined {
    const keys = commonKeys(members);
    const places: CommonPlaces = [0, 0, 0];
    const wholes: string[] = [];
    const bounds = unbounded();
    for (let i = 0; i < lines.length - 1; i++) {
      const read = lineTexts(lines[i + 1]!, texts);
      if (read === undefined || !hasSalt(salts, i)) return undefined;
      wholes.push(read.whole);
      const values = keyedValues(read);
      this.name(values, first + i);
      if (!isKeyed) continue;
      addKeysOf(values, members, keys, i);
      addPlaces(places, values, members, i);
      widen(bounds, read.time, read.idTime);
    }
    return hashLeaves(first, wholes, salts).equals(leaves) ? { keys, places, bounds } : undefined;
  }

  /** Whether the log signed what an erasure left of a record; counts it. */
  private isErased(record: RecordedLine, texts: CommonTexts, sequence: number): boolean {
    const { erased } = record;
    const made = erased && writeRecordLine({ ...record, erased: { erasures: erased.erasures } }, texts);
    if (made === undefined || !isSignedErasure(this.part!.tree, sequence, made.whole, erased!, this.keys)) return false;
    this.countErased(erased!);
    return true;
  }

  private name(
    { policySet, policyVersion }: Pick<RecordedLine, 'policySet' | 'policyVersion'>,
    sequence: number,
  ): void {
    const { lastVersion } = this;
    if (lastVersion?.version === policyVersion && lastVersion.name === policySet) return;
    const key = `${policySet} ${policyVersion}`;
    let named = this.versions.get(key);
    if (named === undefined) {
      named = { name: policySet, version: policyVersion, sequence, place: this.place };
      this.versions.set(key, named);
    }
    this.lastVersion = named;
  }

  private countErased({ erasures }: RecordErasure): void {
    for (const { id, time } of erasures) {
      const known = this.erasures.get(id);
      if (known !== undefined) known.records++;
      else if (this.erasures.size < mostListed) this.erasures.set(id, { id, time, records: 1 });
    }
  }

  private note(finding: Finding): void {
    this.found++;
    if (this.findings.length < mostListed) this.findings.push(finding);
  }
}

/** Places of the records that have the caller, the version and the set which the group shares, as masks of `GroupKeys`. */
type CommonPlaces = [number, number, number];

function addPlaces(
  places: CommonPlaces,
  record: Pick<RecordedLine, 'caller' | 'policyVersion' | 'policySet'>,
  common: CommonMembers,
  place: number,
): void {
  const bit = 1 << (place & 15);
  if (record.caller === common.caller) places[0] |= bit;
  if (record.policyVersion === common.policyVersion) places[1] |= bit;
  if (record.policySet === common.policySet) places[2] |= bit;
}

/** What follows from the records of a group. */
interface ReadBeside {
  readonly keys: GroupKeys;
  readonly places: CommonPlaces;
  readonly bounds: KeptBounds;
}

/**
 * The groups of a row so far. The keys of what a group shares may name all of its records, as its writer does, or those that have it, as
 * who reads the text does, after an erasure for example.
 */
class RowSoFar {
  /** With all that each key may name. */
  private readonly most: GroupKeys = new Map();
  /** With what each key must name; the same map as long as that is the same. */
  private least = this.most;
  readonly bounds = unbounded();
  count = 0;

  add({ keys, places, bounds }: ReadBeside, count: number): void {
    const everywhere = count >= 16 ? 0xffff : (1 << count) - 1;
    const isSame = places.every((mask) => mask === everywhere);
    if (!isSame && this.least === this.most) this.least = new Map(this.most);
    const entries = encodeEntries(keys, count);
    addGroupKeys(this.most, entries, this.count);
    if (this.least !== this.most) {
      const exact = new Map(keys);
      // The first three are those of what is shared.
      for (const [i, key] of [...keys.keys()].slice(0, places.length).entries()) {
        if (places[i] === 0) exact.delete(key);
        else exact.set(key, places[i]!);
      }
      addGroupKeys(this.least, encodeEntries(exact, count), this.count);
    }
    widen(this.bounds, bounds.since, bounds.idSince);
    widen(this.bounds, bounds.until, bounds.idUntil);
    this.count += count;
  }

  hasEntries({ entries, maskEntries = (same) => same }: NonNullable<PlaceInRow['beside']>): boolean {
    if (entries.length % entryBytes !== 0) return false;
    const stored = masksIn(entries);
    const least = masksIn(maskEntries(encodeEntries(this.least, this.count)));
    const most = this.least === this.most ? least : masksIn(maskEntries(encodeEntries(this.most, this.count)));
    if (stored.size * entryBytes !== entries.length) return false;
    for (const [key, mask] of least) if (((stored.get(key) ?? 0) & mask) !== mask) return false;
    for (const [key, mask] of stored) if (((most.get(key) ?? 0) | mask) !== (most.get(key) ?? 0)) return false;
    return true;
  }
}

/** The masks of entries by their keys. */
function masksIn(entries: Buffer): Map<number, number> {
  const masks = new Map<number, number>();
  for (let at = 0; at + entryBytes <= entries.length; at += entryBytes)
    masks.set(entries.readUIntBE(at, keyBytes), entries.readUInt16BE(at + keyBytes));
  return masks;
}

type Bounds = { -readonly [name in keyof KeptBounds]: number };

const changedKeys = 'the keys by which the records are found were changed';
const changedTimes = 'the times by which the records are found were changed';

function unbounded(): Bounds {
  return { since: Number.MAX_SAFE_INTEGER, until: 0, idSince: Number.MAX_SAFE_INTEGER, idUntil: 0 };
}

function widen(bounds: Bounds, time: number, idTime: number): void {
  bounds.since = Math.min(bounds.since, time);
  bounds.until = Math.max(bounds.until, time);
  bounds.idSince = Math.min(bounds.idSince, idTime);
  bounds.idUntil = Math.max(bounds.idUntil, idTime);
}

function areSameBounds(a: KeptBounds, b: KeptBounds): boolean {
  return a.since === b.since && a.until === b.until && a.idSince === b.idSince && a.idUntil === b.idUntil;
}

function faultBeside(
  beside: NonNullable<StoredProofGroup['beside']>,
  { keys, bounds }: ReadBeside,
): string | undefined {
  const plainKeys = encodeKeys(keys.keys(), keys.size);
  if (!(beside.maskKeys?.(plainKeys) ?? plainKeys).equals(beside.keys)) return changedKeys;
  return areSameBounds(beside, bounds) ? undefined : changedTimes;
}
