import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { leaveWal, type MigrationClass, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import { EncryptedCoding } from '../encrypted-coding.js';
import type { CodedRow, GroupCoding } from '../group-coding.js';
import { groupText } from '../group-text.js';
import type { GroupProof, JournalGroup } from '../journal-group.js';
import type { GapCause, Loss, StoredGap } from '../log-gap.js';
import { signCheckpoint } from '../proof/checkpoint.js';
import { entryOfGap, entryOfGroup, hashGroup, newSalts } from '../proof/group-hashes.js';
import { type CertifiedKey, type LogKeys, mergedKeys } from '../proof/log-keys.js';
import { Frontier, frontierOf } from '../proof/merkle-tree.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { encodeEntries, encodeKeys } from '../record-keys.js';
import type { DamagedRange } from './damaged-rows.js';
import { codingOf, makeDataKeys } from './file-coding.js';
import type { Group } from './group-commit.js';
import { copyJournal } from './journal-copy.js';
import {
  type Beginning,
  type Extent,
  emptyExtent,
  encryptedFormat,
  isProven,
  type JournalFormat,
  joinExtents,
  lostRecords,
  readBeginning,
  readExtent,
  readFormat,
  readGaps,
  readLast,
  type TreeEnd,
} from './journal-format.js';
import { JournalTree, readAnchor, readTreeEnd } from './journal-tree.js';
import { Journal1763700000000 } from './migrations/1763700000000-journal.js';
import { Gaps1763700000002 } from './migrations/1763700000002-gaps.js';
import { JournalFile1764300000000 } from './migrations/1764300000000-journal-file.js';
import { JournalProof1764700000000 } from './migrations/1764700000000-journal-proof.js';
import { JournalEncryption1764800000000 } from './migrations/1764800000000-journal-encryption.js';
import { encodeFacts } from './shipping-facts.js';

/** Deleting this many records takes a millisecond or two. */
const recordsPerDelete = 2_048;
const deletePauseMs = 5;
/** Rows that one span covers: reading the bounds of as many rows, which have none yet, takes about a millisecond. */
const rowsPerSpan = 256;

/** The first row with a time from `?1` on. */
const firstByTime1 = 'SELECT first FROM journal WHERE until >= ?1 ORDER BY until, first LIMIT 1';
const firstByTime2 = `SELECT first FROM journal WHERE until >= ?1 AND first >= coalesce(
  (SELECT first FROM span WHERE until >= ?1 ORDER BY first LIMIT 1), (SELECT max(last) FROM span), 0)
  ORDER BY first LIMIT 1`;

/** Where the journal ends. */
export interface JournalEnd {
  /** Sequence of the newest record; 0 when there never was one. */
  readonly sequence: number;
  /** The highest time in the newest group, in milliseconds; 0 when the file has none. */
  readonly newest: number;
  /** No id so far has a higher millisecond. */
  readonly idUntil: number;
}

/** What became of a group that was committed. */
export interface Committed {
  /** How many bytes it holds. */
  readonly bytes: number;
  /** The group as it is shipped, if the journal is. */
  readonly shipped: JournalGroup | undefined;
}

/** The bounds of the newest rows, which no span covers yet. */
interface Tail extends Extent {
  readonly first: number;
  readonly rows: number;
}

/** The writing end of the journal: its open file (the tables are described in the migrations). One process writes it. */
export class Journal {
  /** The group whose commit failed last. It may be on the disk all the same. */
  private uncertain: Group | undefined;
  private lastEnd: JournalEnd = { sequence: 0, newest: 0, idUntil: 0 };
  private writtenExtent: Extent = emptyExtent;
  private tail: Tail | undefined;
  /** Format 1: how far any row reaches back behind the highest time before it. */
  private lag = 0;
  /** The writer's tree up to what is committed; undefined in a file without proof, and where its end was lost to damage. */
  private tree: Frontier | undefined;
  /** Set when a note of a gap failed: it may be on the disk all the same. */
  private isUnsure = false;
  private writing: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly connection: SqliteConnection,
    readonly path: string,
    readonly format: JournalFormat,
    readonly beginning: Beginning,
    private readonly isShipped: boolean,
    private readonly signer: NoteSigner | undefined,
    /** How its groups are written. */
    readonly coding: GroupCoding,
  ) {}

  /**
   * Opens the file as it is. One that is not there, or that a crash left without a beginning, is made, with what
   * `beginning` gives: by default a journal of its own. With `isShipped` a group gets what its shipping needs beside it.
   * `keys` sign checkpoints. With `encryption` a file that is made, or has no record yet, is encrypted.
   *
   * @throws MissingEncryptionKey where the file is encrypted and none of the keys opens it
   */
  static async open(
    path: string,
    durability: 'NORMAL' | 'FULL',
    beginning: () => Beginning = newJournal,
    isShipped = false,
    keys?: LogKeys,
    encryption?: EncryptionKeys,
  ): Promise<Journal> {
    const known = existsSync(path) ? await formatOfFile(path) : undefined;
    const begun = encryption === undefined ? known?.format : await formatToEncrypt(path, known);
    const format = begun ?? (encryption === undefined ? 3 : encryptedFormat);
    const connection = await SqliteConnection.open({
      path,
      migrations: migrationsOf[format],
      // A checkpoint takes 10 to 20 ms and would be part of some commit, so another connection makes them.
      setup: [`PRAGMA synchronous = ${durability}`, 'PRAGMA wal_autocheckpoint = 0'],
      busyTimeoutMs: 2_000,
    });
    try {
      const begun = await begin(connection, format, beginning, encryption);
      const coding = await codingOf(connection, encryption, 'main', path);
      if (coding.locked !== undefined) throw coding.locked;
      if (isShipped && format === 2) await addShipping(connection);
      const journal = new Journal(connection, path, format, begun, isShipped, keys?.signer, coding);
      await journal.readEnd();
      if (keys !== undefined) await journal.noteKeys(keys);
      return journal;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get writer(): number {
    return this.beginning.writer;
  }

  get start(): number {
    return this.beginning.start;
  }

  get end(): JournalEnd {
    return this.lastEnd;
  }

  /** The bounds of all records in the file. */
  get extent(): Extent {
    return this.writtenExtent;
  }

  get isEncrypted(): boolean {
    return !this.coding.isPlain;
  }

  /** What the next file masks its keys with; undefined where this one is not encrypted. */
  get indexKey(): Buffer | undefined {
    return this.coding instanceof EncryptedCoding ? this.coding.indexKey : undefined;
  }

  get isEmpty(): boolean {
    return this.lastEnd.sequence < this.start;
  }

  /** Where the tree has got to, and how the next file begins its own; undefined where this file's end was lost to damage. */
  get treeEnd(): TreeEnd | undefined {
    const { tree, beginning } = this;
    if (!isProven(this.format)) return { name: beginning.name, frontier: Frontier.empty };
    return tree === undefined ? undefined : { name: beginning.tree!.name, frontier: tree };
  }

  /** True if records are not in the tree for want of its end: the next file begins another. */
  get hasLostTree(): boolean {
    return isProven(this.format) && this.tree === undefined;
  }

  /** Commits the group as one row. When this resolves, the records are durable. */
  commit(group: Group): Promise<Committed> {
    return this.inTurn(() => this.commitNow(group));
  }

  /** What changes the tree happens one after the other. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.writing.then(async () => {
      if (this.isUnsure) {
        await this.readEnd();
        this.isUnsure = false;
      }
      return work();
    });
    this.writing = done.catch(() => undefined);
    return done;
  }

  private async commitNow(group: Group): Promise<Committed> {
    if (this.uncertain === group && (await this.holds(group))) {
      await this.readEnd();
      this.uncertain = undefined;
      // Shipping reads it from the file.
      return { bytes: 0, shipped: undefined };
    }
    const records = groupText(group.common, this.writer, group.lines);
    let shipped = this.isShipped ? shippedGroup(group, records) : undefined;
    const salts = this.tree === undefined ? undefined : newSalts(group.lines.length);
    for (;;) {
      const first = this.lastEnd.sequence + 1;
      shipped &&= { ...shipped, first };
      try {
        const tree = this.treeEnd;
        const proof = salts && tree && proofOf(tree, first, group.wholes, salts);
        shipped &&= { ...shipped, proof: proof?.group };
        await this.insert(first, group, records, shipped, proof);
        this.tree = proof?.after ?? this.tree;
        break;
      } catch (error) {
        // The numbers are taken: by a commit that failed and was written all the same, or by another process, while one
        // version of the service takes over from another. The file says where it ends.
        if (!/UNIQUE constraint failed: journal.first/.test(String(error))) {
          this.uncertain = group;
          throw error;
        }
        await this.readEnd();
      }
    }
    this.uncertain = undefined;
    return { bytes: records.length, shipped };
  }

  private async insert(
    first: number,
    group: Group,
    records: string,
    shipped: JournalGroup | undefined,
    proof: NewProof | undefined,
  ): Promise<void> {
    const { since, until, idSince, idUntil } = group;
    const { length: count } = group.lines;
    const keys = this.coding.maskKeys(encodeKeys(group.keys.keys(), group.keys.size));
    const coded = this.coding.encode(first, records, proof?.group.salts, count);
    if (this.format === 1) {
      const before = this.lastEnd.idUntil;
      const lowest = Math.min(since, idSince);
      const highest = Math.max(before, until, idUntil);
      const lag = Math.max(this.lag, before - lowest);
      await this.connection.query(
        'INSERT INTO journal (first, count, since, until, lag, keys, records) VALUES (?, ?, ?, ?, ?, ?, ?)',
        [first, count, lowest, highest, lag, keys, coded.records],
      );
      this.lag = lag;
    } else if (isProven(this.format)) {
      await this.connection.query(
        `INSERT INTO journal (first, count, since, until, idSince, idUntil, entry, node, keys, leaves, salts, shipping, records)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        [
          first,
          count,
          since,
          until,
          idSince,
          idUntil,
          proof?.group.entry ?? null,
          proof?.group.node ?? null,
          keys,
          proof?.group.leaves ?? null,
          coded.salts,
          // They name what is counted.
          shipped === undefined || !this.coding.isPlain ? null : encodeFacts(shipped, keys),
          coded.records,
        ],
      );
    } else {
      const [column, place] = shipped === undefined ? ['', ''] : [', shipping', ', ?'];
      await this.connection.query(
        `INSERT INTO journal (first, count, since, until, idSince, idUntil, keys, records${column})
         VALUES (?, ?, ?, ?, ?, ?, ?, ?${place})`,
        [
          first,
          count,
          since,
          until,
          idSince,
          idUntil,
          keys,
          coded.records,
          ...(shipped === undefined ? [] : [encodeFacts(shipped, keys)]),
        ],
      );
    }
    const last = first + count - 1;
    this.lastEnd = { sequence: last, newest: until, idUntil: Math.max(this.lastEnd.idUntil, until, idUntil) };
    this.writtenExtent = joinExtents(this.writtenExtent, group);
    this.tail = {
      first: this.tail?.first ?? first,
      rows: (this.tail?.rows ?? 0) + 1,
      ...joinExtents(this.tail ?? emptyExtent, group),
    };
  }

  /**
   * Writes down the bounds of the newest rows once they are `rowsPerSpan`, so that look-ups by time need not read them
   * one by one. A record is found without.
   */
  async writeSpan(): Promise<void> {
    const tail = this.tail;
    if (this.format === 1 || tail === undefined || tail.rows < rowsPerSpan) return;
    const { first, since, until, idSince, idUntil } = tail;
    await this.connection.query(
      'INSERT OR IGNORE INTO span (first, last, since, until, idSince, idUntil) VALUES (?, ?, ?, ?, ?, ?)',
      [first, this.lastEnd.sequence, since, until, idSince, idUntil],
    );
    this.tail = undefined;
  }

  /** True if the group follows the last row that is known to be committed. */
  private async holds(group: Group): Promise<boolean> {
    const text = groupText(group.common, this.writer, group.lines.slice(0, 1));
    const [row] = await this.connection.query<CodedRow>('SELECT first, count, records FROM journal WHERE first = ?', [
      this.lastEnd.sequence + 1,
    ]);
    return row !== undefined && this.coding.decode(row).records.startsWith(text);
  }

  /** Reads from the file what is committed. */
  private async readEnd(): Promise<void> {
    const { connection, format, start } = this;
    const sequence = await readLast(connection, start);
    this.writtenExtent = await readExtent(connection, format);
    const [row] = await connection.query<{ until: number }>('SELECT until FROM journal ORDER BY first DESC LIMIT 1');
    const { floor } = this.beginning;
    const lost = lostRecords(await this.gaps()).map(({ until }) => until);
    const idUntil = Math.max(floor, this.writtenExtent.idUntil, this.writtenExtent.until, ...lost);
    this.lastEnd = { sequence, newest: row?.until ?? 0, idUntil };
    if (isProven(format)) this.tree = (await readTreeEnd(connection, format, 'main'))?.frontier;
    if (format === 1) {
      const [last] = await connection.query<{ lag: number }>('SELECT lag FROM journal ORDER BY first DESC LIMIT 1');
      this.lag = last?.lag ?? 0;
      return;
    }
    const [tail] = await connection.query<Tail & { first: number | null }>(
      `SELECT min(first) AS first, count(*) AS rows, min(since) AS since, max(until) AS until,
         min(idSince) AS idSince, max(idUntil) AS idUntil
       FROM journal WHERE first > (SELECT coalesce(max(last), 0) FROM span)`,
    );
    this.tail = tail?.first == null ? undefined : tail;
  }

  /** Commits a note of what is missing. */
  noteGap({ after, lost, since, until }: Loss, cause: GapCause): Promise<void> {
    return this.inTurn(async () => {
      const values = [after, lost, since, until, cause];
      const { tree } = this;
      if (tree === undefined) {
        const text = 'INSERT INTO gap (after, lost, since, until, cause) VALUES (?, ?, ?, ?, ?)';
        await this.connection.query(text, values);
        return;
      }
      const next = tree.append(entryOfGap({ after, lost, since, until, cause }));
      try {
        await this.connection.query(
          'INSERT INTO gap (after, lost, since, until, cause, entry, node) VALUES (?, ?, ?, ?, ?, ?, ?)',
          [...values, tree.size, next.nodes.at(-1)!],
        );
      } catch (error) {
        this.isUnsure = true;
        throw error;
      }
      this.tree = next;
    });
  }

  /**
   * Commits a checkpoint of all that is committed, at `time` (milliseconds since 1970); returns it, undefined without a key
   * or in a file without proof.
   */
  async checkpoint(time: number): Promise<string | undefined> {
    return this.inTurn(async () => {
      const tree = this.treeEnd;
      const note = tree && this.signed(tree, this.lastEnd.sequence, time, false);
      if (tree === undefined || note === undefined) return undefined;
      const values = [tree.frontier.size, this.lastEnd.sequence, time, note];
      await this.connection.query('INSERT INTO checkpoint (entries, sequence, time, note) VALUES (?, ?, ?, ?)', values);
      return note;
    });
  }

  /** Writes down that the retention removes the entries of a tree up to here, the last of which ends with `sequence`. */
  async anchor(tree: TreeEnd, sequence: number): Promise<void> {
    if (!isProven(this.format)) return;
    const { name, frontier } = tree;
    const note = this.signed(tree, sequence, Date.now(), true);
    // Where a hold kept an older file, it was further on already.
    await this.connection.query(
      `INSERT INTO anchor (tree, entries, frontier, note) VALUES (?, ?, ?, ?) ON CONFLICT (tree) DO UPDATE
       SET entries = excluded.entries, frontier = excluded.frontier, note = excluded.note
       WHERE excluded.entries >= entries`,
      [name, frontier.size, frontier.encode(), note ?? null],
    );
  }

  private signed({ name, frontier }: TreeEnd, sequence: number, time: number, isAnchor: boolean): string | undefined {
    const { signer, format } = this;
    if (signer === undefined || !isProven(format)) return undefined;
    const { size, root } = frontier;
    return signCheckpoint({ tree: name, size, root, sequence, time, isAnchor }, signer);
  }

  /**
   * Of its key a file says what certifies it, so that the keys of the fleet are enough to verify a copy of it. What a key that was
   * replaced has certified is kept.
   */
  private async noteKeys({ published }: LogKeys): Promise<void> {
    await this.keepKeys(published);
  }

  /** Keeps keys of the file before, which the retention will remove: what they certify signs here, at once or through others. */
  async keepKeys(keys: readonly CertifiedKey[]): Promise<void> {
    if (!isProven(this.format)) return;
    for (const { key, certificates } of mergedKeys([...keys, ...(await this.signingKeys())])) {
      await this.connection.query('INSERT OR REPLACE INTO signing_key (key, certificates) VALUES (?, ?)', [
        key,
        JSON.stringify(certificates),
      ]);
    }
  }

  /** The keys that signed in this file and before it, with what certifies them. */
  async signingKeys(): Promise<CertifiedKey[]> {
    if (!isProven(this.format)) return [];
    const stored = await this.connection.query<{ key: string; certificates: string }>(
      'SELECT key, certificates FROM signing_key',
    );
    return stored.map(({ key, certificates }) => ({ key, certificates: JSON.parse(certificates) as string[] }));
  }

  /** The same of records that followed the last one: their sequences and ids are not given out again. */
  async noteLostEnd(loss: Loss, cause: GapCause): Promise<void> {
    await this.noteGap(loss, cause);
    await this.readEnd();
  }

  /** The gaps that this file records. */
  gaps(): Promise<StoredGap[]> {
    return readGaps(this.connection);
  }

  /** True if the process that wrote the file before could not write all that it had promised. */
  async wasUnclean(): Promise<boolean> {
    const [row] = await this.connection.query<{ unclean: number }>('SELECT unclean FROM log');
    return row?.unclean === 1;
  }

  async setUnclean(unclean: boolean): Promise<void> {
    await this.connection.query('UPDATE log SET unclean = ?', [unclean ? 1 : 0]);
  }

  /** Writes something that changes nothing: rejects as a commit would. */
  async probe(): Promise<void> {
    await this.connection.query('UPDATE log SET writer = writer');
  }

  /** Size of the file in bytes, with what its WAL will add to it. */
  async size(): Promise<number> {
    const [row] = await this.connection.query<{ bytes: number }>(
      'SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()',
    );
    return row!.bytes;
  }

  /**
   * Where a retention begins that keeps records from `time` on (milliseconds) and from `sequence` on: the sequence of
   * the first row that it keeps. The newest row is always kept, and those from the record `kept` on.
   */
  async retentionStart(time: number, sequence: number, kept = Number.MAX_SAFE_INTEGER): Promise<number> {
    const [row] = await this.connection.query<{ first: number }>(
      `SELECT min(coalesce((SELECT max(first) FROM journal WHERE first <= ?4), 0), max(
         coalesce((${this.format === 1 ? firstByTime1 : firstByTime2}), ?2),
         coalesce((SELECT first FROM journal WHERE first <= ?3 ORDER BY first DESC LIMIT 1), 0))) AS first`,
      [time, this.lastEnd.sequence, sequence, kept],
    );
    return row!.first;
  }

  /** Keeps what the tree has of the rows below a row's first sequence, which are to be deleted. */
  private async anchorBelow(first: number): Promise<void> {
    const { tree } = this.beginning;
    if (tree === undefined) return;
    const [row] = await this.connection.query<{ entry: number | null }>('SELECT entry FROM journal WHERE first = ?', [
      first,
    ]);
    if (row?.entry == null) return;
    const anchor = await readAnchor(this.connection, tree);
    if (row.entry <= anchor.size) return;
    const frontier = await frontierOf(new JournalTree(this.connection, 'main', anchor), row.entry);
    await this.anchor({ name: tree.name, frontier }, first - 1);
  }

  /**
   * Deletes the rows below a row's first sequence, the oldest first: some at a time, with pauses, so that a commit seldom
   * meets one and never waits for more than one. Ends early when `signal` says so.
   *
   * @param step does one step, or leaves it: it says below which row's first sequence it may delete
   * @param deleted hears of each step
   * @returns below which sequence all is deleted
   */
  async deleteBelow(
    signal: AbortSignal,
    step: (deleteSome: (first: number) => Promise<boolean>) => Promise<boolean>,
    deleted: () => void,
  ): Promise<number> {
    let end = 0;
    const deleteSome = async (first: number): Promise<boolean> => {
      if (first > end) await this.anchorBelow(first);
      end = first;
      const [oldest] = await this.connection.query<{ first: number | null }>('SELECT min(first) AS first FROM journal');
      if (oldest?.first == null || oldest.first >= first) return false;
      const below = Math.min(first, oldest.first + recordsPerDelete);
      await this.connection.query('DELETE FROM journal WHERE first < ?', [below]);
      return true;
    };
    while (!signal.aborted && (await step(deleteSome))) {
      deleted();
      await delay(deletePauseMs);
    }
    return end;
  }

  /**
   * Writes the WAL back into the file and leaves WAL mode, so that the file is whole by itself. Says whether that could
   * be done: it cannot while any other connection has the file open.
   */
  async leaveWal(): Promise<boolean> {
    const [written] = await this.connection.query<{ busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)');
    if (written?.busy !== 0) return false;
    return leaveWal(this.connection);
  }

  /**
   * Copies all that was committed into a new file, also when the file that lies at the path is another one by now.
   * Returns what could not be read.
   */
  copyTo(path: string): Promise<readonly DamagedRange[]> {
    return copyJournal(this.connection, path, this.lastEnd.sequence);
  }

  /** Writes the WAL back into the file, whether or not it can still be found by its name. */
  async writeBack(): Promise<void> {
    const [written] = await this.connection.query<{ busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)');
    if (written?.busy !== 0) throw new Error(`${this.path}-wal cannot be written back now`);
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

export const migrationsOf: { readonly [format in JournalFormat]: MigrationClass[] } = {
  1: [Journal1763700000000, Gaps1763700000002],
  2: [JournalFile1764300000000],
  3: [JournalFile1764300000000, JournalProof1764700000000],
  4: [JournalFile1764300000000, JournalProof1764700000000, JournalEncryption1764800000000],
};

export function newJournal(): Beginning {
  const name = randomName();
  return { name, writer: randomInt(1, 2 ** 30), start: 1, floor: 0, tree: { name, frontier: Frontier.empty } };
}

/** A tree that follows on one of which the end is lost. */
export function newTree(): TreeEnd {
  return { name: randomName(), frontier: Frontier.empty };
}

function randomName(): string {
  return randomBytes(16).toString('hex');
}

/** What a group is committed with. */
interface NewProof {
  readonly group: GroupProof;
  /** The tree with it. */
  readonly after: Frontier;
}

function proofOf({ name, frontier }: TreeEnd, first: number, wholes: readonly string[], salts: Buffer): NewProof {
  const { leaves, root } = hashGroup(first, wholes, salts);
  const after = frontier.append(entryOfGroup(first, wholes.length, root));
  return { group: { tree: name, entry: frontier.size, node: after.nodes.at(-1)!, leaves, salts }, after };
}

function shippedGroup({ lines, keys, tally, since, until, idSince, idUntil }: Group, records: string): JournalGroup {
  const count = lines.length;
  const [entries, text] = [encodeEntries(keys, count), Buffer.from(records)];
  return { first: 0, count, since, until, idSince, idUntil, entries, tally: tally.rows(), text };
}

/** Versions that know nothing of the column read and write the file all the same. */
async function addShipping(connection: SqliteConnection): Promise<void> {
  const columns = await connection.query<{ name: string }>('PRAGMA table_info(journal)');
  if (columns.some(({ name }) => name === 'shipping')) return;
  await connection.query('ALTER TABLE journal ADD COLUMN shipping BLOB');
}

/**
 * The format in which a file is to be opened that is encrypted from now on: one with records stays as it is until the next
 * one is begun, one without becomes one of the newest.
 */
async function formatToEncrypt(path: string, known: KnownFile | undefined): Promise<JournalFormat | undefined> {
  if (known === undefined || known.hasRecords) return known?.format;
  if (known.format !== 1) return encryptedFormat;
  // It has nothing but a number of its own, and its tables are others.
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  return undefined;
}

interface KnownFile {
  readonly format: JournalFormat;
  readonly hasRecords: boolean;
}

/** Undefined for a file that is not there or has no journal in it. */
async function formatOfFile(path: string): Promise<KnownFile | undefined> {
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 2_000 });
  try {
    const format = await readFormat(connection, path);
    // The process ended while it made the file.
    if (format === 2 && (await readBeginning(connection, format)) === undefined) return undefined;
    if (format === undefined) return undefined;
    return { format, hasRecords: (await connection.query('SELECT 1 FROM journal LIMIT 1')).length > 0 };
  } finally {
    await connection.close();
  }
}

/** Reads whose journal it is; a new file, or one of format 1 that has no name yet, is told. */
async function begin(
  connection: SqliteConnection,
  format: JournalFormat,
  beginning: () => Beginning,
  encryption: EncryptionKeys | undefined,
): Promise<Beginning> {
  const known = await readBeginning(connection, format);
  if (format !== 1) {
    if (known !== undefined) {
      if (format !== encryptedFormat || encryption === undefined) return known;
      if ((await connection.query('SELECT 1 FROM data_key')).length > 0) return known;
      // It had no record, and is encrypted from now on. One of format 2 has no tree yet.
      await connection.query("UPDATE log SET tree = name WHERE tree = ''");
      const begun = (await readBeginning(connection, format))!;
      await makeDataKeys(connection, begun.tree!.name, encryption);
      await connection.query('PRAGMA wal_checkpoint(TRUNCATE)');
      return begun;
    }
    const begun = beginning();
    const { name, writer, start, floor } = begun;
    if (format === 2) {
      const values = [name, writer, start, floor];
      await connection.query('INSERT INTO log (name, writer, start, floor) VALUES (?, ?, ?, ?)', values);
    } else {
      const tree = begun.tree ?? newTree();
      if (format === encryptedFormat) await makeDataKeys(connection, tree.name, encryption!, begun.indexKey);
      await connection.query(
        'INSERT INTO log (name, writer, start, floor, tree, entries, frontier) VALUES (?, ?, ?, ?, ?, ?, ?)',
        [name, writer, start, floor, tree.name, tree.frontier.size, tree.frontier.encode()],
      );
    }
    // Whose file it is must not stand in the WAL alone, which may be lost.
    await connection.query('PRAGMA wal_checkpoint(TRUNCATE)');
    return (await readBeginning(connection, format))!;
  }
  const { name, writer } = beginning();
  // Version 0.1 reads and writes the file all the same.
  const columns = await connection.query<{ name: string }>('PRAGMA table_info(log)');
  if (!columns.some((column) => column.name === 'name')) await connection.query('ALTER TABLE log ADD COLUMN name TEXT');
  if (known === undefined) await connection.query('INSERT INTO log (writer) VALUES (?)', [writer]);
  await connection.query('UPDATE log SET name = ? WHERE name IS NULL', [known?.name ?? name]);
  return (await readBeginning(connection, format))!;
}
