import { rmSync } from 'node:fs';
import { isDamaged, leaveWal, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { Turns } from '../../turns/turns.js';
import { type GroupCoding, plainCoding } from '../group-coding.js';
import { keyBytes } from '../record-keys.js';
import { Tally, type TallyRow } from '../tally.js';
import { KeyIndex1763700000001 } from './migrations/1763700000001-key-index.js';
import { Tally1763700000003 } from './migrations/1763700000003-tally.js';
import { Rollups1764300000002 } from './migrations/1764300000002-rollups.js';
import { Merges1764300000003 } from './migrations/1764300000003-merges.js';
import { Committed1764300000005 } from './migrations/1764300000005-committed.js';
import { endOfStep, recountFresh } from './recount.js';
import { dropSegments, inTransaction, mergeStep, unusedSegment } from './segment-merge.js';
import { addFresh, forgetTallies, putFresh, tallyScratch } from './tally-table.js';
import type { UncountedGroup } from './uncounted.js';
import type { WrittenBack } from './wal-bound.js';

/** A segment is written when this much waits. Until then look-ups read the keys of the waiting rows themselves. */
const segmentGroups = 8_192;
const segmentRecords = 65_536;
/** The longest that commits wait for readers so that the WAL can start anew, in milliseconds. */
const restartWaitMs = 1_000;
/** Rows of counts that one step adds, and those of one group more. */
const rowsOfStep = 8_192;

/**
 * What happens behind the writer's back: the key index is built and merged, decisions are counted, and the journal's WAL
 * is written back into its file. All on one connection, the index file with the journal attached to it.
 */
export class KeyIndex {
  /** The groups that this process committed and that are not counted in the file yet, oldest first. */
  private uncountedGroups: UncountedGroup[] = [];

  private constructor(
    private readonly connection: SqliteConnection,
    private lastIndexed: number,
    private lastCounted: number,
    private readonly coding: GroupCoding,
  ) {}

  /** Opens the index of the journal; one that is damaged, which is said, or belongs to another journal is built anew. */
  static async open(
    path: string,
    journalPath: string,
    writer: number,
    journalEnd: number,
    coding: GroupCoding = plainCoding,
    onProblem?: (what: string, error: unknown) => void,
  ): Promise<KeyIndex> {
    for (let isNew = false; ; isNew = true) {
      let connection: SqliteConnection | undefined;
      try {
        connection = await openWithJournal(path, journalPath);
        const state = await readState(connection);
        // Where it knows of records that the journal lost, it would find and count what is not there (`journal-recovery.ts`).
        const isOurs = (state.owner ?? writer) === writer && Math.max(state.indexed, state.counted) <= journalEnd;
        if (isOurs) {
          if (state.owner === null) await connection.query('INSERT INTO indexed_log (writer) VALUES (?)', [writer]);
          return new KeyIndex(connection, state.indexed, state.counted, coding);
        }
      } catch (error) {
        if (!isDamaged(error) || isNew) {
          await connection?.close();
          throw error;
        }
        onProblem?.(`${path} is damaged and is built anew; no record is lost`, error);
      }
      await connection?.close();
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
    }
  }

  /** The last sequence that the index covers; what is newer is found by reading the journal's own keys. */
  get indexedTo(): number {
    return this.lastIndexed;
  }

  /**
   * The groups that this process committed and that the file may not count yet, oldest first. Nothing is ever taken out
   * of the list that was returned, but newer groups may be added to it.
   */
  get uncounted(): readonly UncountedGroup[] {
    return this.uncountedGroups;
  }

  /** Takes note of a group that was committed, up to the sequence `last`. */
  noteCommit(last: number, tally: Tally): void {
    this.uncountedGroups.push({ first: last - tally.total + 1, last, rows: tally.rows() });
  }

  /**
   * Counts some of what is not counted, or writes one segment if enough waits (or, with `force`, if anything does), or
   * merges some; says whether it did anything. `end` is the last sequence that `noteCommit` heard of. A step takes a
   * fraction of a second, and whatever ends it, the next one goes on there.
   */
  async indexStep(end: number, force = false): Promise<boolean> {
    if (await this.countStep(end)) return true;
    if (await this.segmentStep(end, force)) return true;
    return mergeStep(this.connection);
  }

  /** The same, but it merges nothing: what a file needs before it is closed. */
  async catchUpStep(end: number): Promise<boolean> {
    return (await this.countStep(end)) || this.segmentStep(end, true);
  }

  /** A step towards one segment for all that is indexed; says whether there was anything to do. */
  mergeAllStep(entries?: number): Promise<boolean> {
    return mergeStep(this.connection, 'all', entries);
  }

  /** A step of a merge that was begun; says whether there was one. */
  finishMergeStep(): Promise<boolean> {
    return mergeStep(this.connection, 'none');
  }

  /**
   * Writes the WAL back into the journal, beside the writer (PASSIVE). That never starts the WAL anew, since the writer
   * is always a few frames ahead; with `restart`, RESTART then writes those few, holding the lock for as long as the
   * disk takes to sync. It gives up at once where a reader is in the way, or with `wait` after a second: the next turn
   * will do.
   */
  async checkpoint(restart: boolean, wait = false): Promise<WrittenBack> {
    const [passive] = await this.connection.query<{ log: number }>('PRAGMA journal.wal_checkpoint(PASSIVE)');
    const frames = Math.max(0, passive?.log ?? 0);
    if (!restart) return { frames, restarted: false };
    if (wait) await this.connection.query(`PRAGMA busy_timeout = ${restartWaitMs}`);
    try {
      const [result] = await this.connection.query<{ busy: number }>('PRAGMA journal.wal_checkpoint(RESTART)');
      return { frames, restarted: result?.busy === 0 };
    } finally {
      if (wait) await this.connection.query('PRAGMA busy_timeout = 0');
    }
  }

  /**
   * Notes how far the journal goes, so that a start after a crash knows what its WAL held: the sequence of the last record
   * and the highest time so far (milliseconds since 1970). A row of a few bytes, without a sync.
   */
  async noteEnd(last: number, until: number): Promise<void> {
    await this.connection.query('UPDATE committed SET last = ?, until = ? WHERE last < ?1', [last, until]);
  }

  /** Ends the statement that runs now, if any: the step that it was part of is undone, and rejects. */
  interrupt(): void {
    this.connection.interrupt();
  }

  /**
   * Writes the index's WAL back and leaves WAL mode, so that the file is whole by itself. Says whether that could be
   * done: it cannot while any other connection has the file open.
   */
  leaveWal(): Promise<boolean> {
    return leaveWal(this.connection);
  }

  /** Forgets what the journal no longer has, below this sequence, on a file that no decision waits for. */
  async prune(below: number): Promise<void> {
    const [oldest] = await this.connection.query<{ since: number }>(
      'SELECT since FROM journal.journal WHERE first >= ? ORDER BY first LIMIT 1',
      [below],
    );
    await inTransaction(this.connection, () => dropSegments(this.connection, below));
    if (oldest !== undefined) await forgetTallies(this.connection, Math.floor(oldest.since / 60_000));
  }

  async close(): Promise<void> {
    // An interrupt that came between two statements would end the last checkpoint: a statement forgets it.
    await this.connection.query('SELECT 1').catch(() => undefined);
    await this.connection.close();
  }

  private async countStep(end: number): Promise<boolean> {
    if (this.lastCounted >= end) return false;
    const next = this.uncountedGroups.findIndex(({ last }) => last > this.lastCounted);
    const groups = next === -1 ? [] : this.uncountedGroups.slice(next);
    // A group that was committed by an earlier process, or beside this one, has to be read.
    const known = groups[0]?.first === this.lastCounted + 1 ? await sumOf(groups) : undefined;
    const last =
      known?.last ??
      (await endOfStep(this.connection, this.lastCounted, groups[0] === undefined ? end : groups[0].first - 1));
    let counted = last;
    await inTransaction(this.connection, async () => {
      const state = await readState(this.connection);
      // Another process is taking over, and did it.
      if (state.counted > this.lastCounted) {
        counted = state.counted;
        return;
      }
      await this.connection.query('DELETE FROM temp.fresh');
      if (known === undefined) await recountFresh(this.connection, this.coding, this.lastCounted, last);
      else await putFresh(this.connection, known.rows, this.coding);
      await addFresh(this.connection);
      await this.connection.query('UPDATE counted SET last = ?', [last]);
    });
    this.lastCounted = counted;
    this.uncountedGroups = this.uncountedGroups.filter((group) => group.last > counted);
    return true;
  }

  private async segmentStep(end: number, force: boolean): Promise<boolean> {
    // Not simply the next sequence: retention may have removed rows that were never indexed.
    const [next] = await this.connection.query<{ first: number }>(
      'SELECT first FROM journal.journal WHERE first > ? AND first <= ? ORDER BY first LIMIT 1',
      [this.lastIndexed, end],
    );
    if (next === undefined) return false;
    const { first } = next;
    const [waiting] = await this.connection.query<{ groups: number; last: number }>(
      `SELECT count(*) AS groups, max(last) AS last FROM (
         SELECT first + count - 1 AS last FROM journal.journal WHERE first BETWEEN ? AND ? ORDER BY first LIMIT ?)`,
      [first, Math.min(end, first + segmentRecords - 1), segmentGroups],
    );
    const { groups, last } = waiting!;
    const full = groups === segmentGroups || last - first + 1 >= segmentRecords;
    if (!full && !force) return false;
    let indexed = last;
    await inTransaction(this.connection, async () => {
      const state = await readState(this.connection);
      if (state.indexed > this.lastIndexed) indexed = state.indexed;
      else await this.writeSegment(first, last);
    });
    this.lastIndexed = indexed;
    return true;
  }

  private async writeSegment(first: number, last: number): Promise<void> {
    const id = await unusedSegment(this.connection);
    await this.connection.query('INSERT INTO segment (id, first, last) VALUES (?, ?, ?)', [id, first, last]);
    await this.connection.query(
      `INSERT INTO segment_key (segment, key, start)
       SELECT ?, substr(j.keys, o.n * ${keyBytes} + 1, ${keyBytes}) AS key, j.first - ? AS start
       FROM journal.journal j CROSS JOIN ordinal o
       WHERE j.first BETWEEN ? AND ? AND o.n < length(j.keys) / ${keyBytes}
       ORDER BY key, start`,
      [id, first, first, last],
    );
  }
}

/** Adds up the groups that follow the first one without a gap, as many as a step counts; `last` is where they end. */
async function sumOf(groups: readonly UncountedGroup[]): Promise<{ last: number; rows: TallyRow[] }> {
  const sum = new Tally();
  const turns = new Turns();
  let { last } = groups[0]!;
  for (const [i, group] of groups.entries()) {
    if (i > 0 && (sum.size >= rowsOfStep || group.first !== last + 1)) break;
    for (const row of group.rows) sum.addRow(row);
    last = group.last;
    if (turns.isOver) await turns.next();
  }
  return { last, rows: sum.rows() };
}

/** A reading connection: the index, with the journal attached as `journal`. */
export function openReader(path: string, journalPath: string): Promise<SqliteConnection> {
  return SqliteConnection.open({
    path,
    attached: { journal: journalPath },
    setup: ['PRAGMA query_only = ON'],
    busyTimeoutMs: 5_000,
  });
}

function openWithJournal(path: string, journalPath: string): Promise<SqliteConnection> {
  return SqliteConnection.open({
    path,
    migrations: [
      KeyIndex1763700000001,
      Tally1763700000003,
      Rollups1764300000002,
      Merges1764300000003,
      Committed1764300000005,
    ],
    attached: { journal: journalPath },
    setup: ['PRAGMA synchronous = NORMAL', 'PRAGMA cache_size = -16000', ...tallyScratch],
    busyTimeoutMs: 0,
  });
}

async function readState(
  connection: SqliteConnection,
): Promise<{ readonly owner: number | null; readonly indexed: number; readonly counted: number }> {
  const [row] = await connection.query<{ owner: number | null; indexed: number; counted: number }>(
    `SELECT (SELECT writer FROM indexed_log) AS owner, coalesce((SELECT max(last) FROM segment), 0) AS indexed,
       (SELECT last FROM counted) AS counted`,
  );
  return row!;
}
