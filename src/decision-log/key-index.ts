import { rmSync } from 'node:fs';
import { KeyIndex1763700000001 } from './migrations/1763700000001-key-index.js';
import { Tally1763700000003 } from './migrations/1763700000003-tally.js';
import { keyBytes } from './record-keys.js';
import { recount } from './recount.js';
import { isDamaged, SqliteConnection } from './sqlite-connection.js';
import { mergeRows, type Tally, type TallyRow } from './tally.js';

/** A segment is written when this much waits. Until then look-ups read the keys of the waiting rows themselves. */
const segmentGroups = 8_192;
const segmentRecords = 65_536;

/** Which counts to add up; minutes since 1970, `to` excluded. */
export interface TallyRange {
  readonly from: number;
  readonly to: number;
}

/**
 * What happens behind the writer's back: the key index is built, decisions are counted, and the journal's WAL is
 * written back into its file. All on one connection, the index file with the journal attached to it.
 */
export class KeyIndex {
  /** Counts of the groups that no segment covers yet and that this process committed, oldest first. */
  #tail: { readonly last: number; readonly rows: readonly TallyRow[] }[] = [];

  private constructor(
    private readonly connection: SqliteConnection,
    private lastIndexed: number,
    /** The last sequence that an earlier process committed: its groups are counted from their texts. */
    private readonly inherited: number,
  ) {}

  /** Opens the index of the journal; one that is damaged or belongs to another journal is built anew. */
  static async open(path: string, journalPath: string, writer: number, journalEnd: number): Promise<KeyIndex> {
    let connection: SqliteConnection;
    try {
      connection = await openWithJournal(path, journalPath);
    } catch (error) {
      if (!isDamaged(error)) throw error;
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
      connection = await openWithJournal(path, journalPath);
    }
    const [owner] = await connection.query<{ writer: number }>('SELECT writer FROM indexed_log');
    // After a power loss the index can know of records that the journal lost; their numbers will be given out again.
    const valid = owner?.writer === writer ? journalEnd : 0;
    const segments = await connection.query<{ id: number }>('SELECT id FROM segment WHERE last > ?', [valid]);
    await connection.query('BEGIN');
    for (const { id } of segments) await forgetSegment(connection, id);
    await connection.query('DELETE FROM indexed_log');
    await connection.query('INSERT INTO indexed_log (writer) VALUES (?)', [writer]);
    await connection.query('COMMIT');
    const [row] = await connection.query<{ last: number | null }>('SELECT max(last) AS last FROM segment');
    return new KeyIndex(connection, row?.last ?? 0, journalEnd);
  }

  /** The last sequence that the index covers; what is newer is found by reading the journal's own keys. */
  get indexedTo(): number {
    return this.lastIndexed;
  }

  /** Takes note of a group that was committed, up to the sequence `last`. */
  noteCommit(last: number, tally: Tally): void {
    this.#tail.push({ last, rows: tally.rows() });
  }

  /**
   * Writes one segment if enough waits, or if anything waits and `force` is set; says whether it did. `end` is the last
   * sequence that `noteCommit` heard of.
   */
  async indexStep(end: number, force = false): Promise<boolean> {
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
    const counts = await this.#countsOf(first, last);
    await this.connection.query('BEGIN');
    try {
      const [covered] = await this.connection.query<{ last: number | null }>('SELECT max(last) AS last FROM segment');
      if ((covered?.last ?? 0) > this.lastIndexed) {
        // Another process is taking over, and did it.
        await this.connection.query('ROLLBACK');
        this.#advanceTo(covered!.last!);
        return true;
      }
      await this.#writeSegment(first, last, counts);
      await this.connection.query('COMMIT');
    } catch (error) {
      await this.connection.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
    this.#advanceTo(last);
    return true;
  }

  /** The counts of all decisions in the range, not added up further than they happen to be. */
  async tallyRows(range: TallyRange): Promise<TallyRow[]> {
    const rows = await tallyRows(this.connection, range);
    const tail = this.#tail.flatMap((group) => group.rows);
    return rows.concat(tail.filter(({ minute }) => minute >= range.from && minute < range.to));
  }

  /**
   * Writes the WAL back into the journal, beside the writer (PASSIVE). That never starts the WAL anew, since the writer
   * is always a few frames ahead; with `restart`, RESTART then writes those few, holding the lock for as long as the
   * disk takes to sync. It gives up at once where a reader is in the way (`busyTimeoutMs` 0): the next turn will do.
   * Says whether the WAL starts anew.
   */
  async checkpoint(restart: boolean): Promise<boolean> {
    await this.connection.query('PRAGMA journal.wal_checkpoint(PASSIVE)');
    if (!restart) return false;
    const [result] = await this.connection.query<{ busy: number }>('PRAGMA journal.wal_checkpoint(RESTART)');
    return result?.busy === 0;
  }

  /** Forgets segments that end below this sequence, on a file that no decision waits for. */
  async prune(below: number): Promise<void> {
    const segments = await this.connection.query<{ id: number }>('SELECT id FROM segment WHERE last < ?', [below]);
    for (const { id } of segments) await forgetSegment(this.connection, id);
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  #advanceTo(last: number): void {
    this.lastIndexed = last;
    this.#tail = this.#tail.filter((group) => group.last > last);
  }

  async #writeSegment(first: number, last: number, counts: readonly TallyRow[]): Promise<void> {
    await this.connection.query('INSERT INTO segment (first, last) VALUES (?, ?)', [first, last]);
    const [segment] = await this.connection.query<{ id: number }>('SELECT max(id) AS id FROM segment');
    const { id } = segment!;
    await this.connection.query(
      `INSERT INTO segment_key (segment, key, start)
       SELECT ?, substr(j.keys, o.n * ${keyBytes} + 1, ${keyBytes}) AS key, j.first - ? AS start
       FROM journal.journal j CROSS JOIN ordinal o
       WHERE j.first BETWEEN ? AND ? AND o.n < length(j.keys) / ${keyBytes}
       ORDER BY key, start`,
      [id, first, first, last],
    );
    await this.connection.query(
      `INSERT INTO tally (segment, minute, policySet, policyVersion, decision, reason, caller, count)
       SELECT ?, value ->> 'minute', value ->> 'policySet', value ->> 'policyVersion', value ->> 'decision',
         value ->> 'reason', value ->> 'caller', value ->> 'count' FROM json_each(?)`,
      [id, JSON.stringify(counts)],
    );
  }

  /** How many decisions of each kind are in a run of whole groups. */
  async #countsOf(first: number, last: number): Promise<TallyRow[]> {
    const rows = this.#tail.filter((group) => group.last <= last).flatMap((group) => group.rows);
    const recounted = await recount(this.connection, first, Math.min(last, this.inherited));
    return mergeRows([...recounted, ...rows]);
  }
}

/** The counts that are kept with the segments. */
export function tallyRows(connection: SqliteConnection, { from, to }: TallyRange): Promise<TallyRow[]> {
  return connection.query<TallyRow>(
    `SELECT minute, policySet, policyVersion, decision, reason, caller, sum(count) AS count FROM tally
     WHERE minute >= ? AND minute < ? GROUP BY minute, policySet, policyVersion, decision, reason, caller`,
    [from, to],
  );
}

/** A reading connection: the index, with the journal attached as `journal`. */
export function openReader(path: string, journalPath: string): Promise<SqliteConnection> {
  return SqliteConnection.open({ path, setup: [attach(journalPath), 'PRAGMA query_only = ON'], busyTimeoutMs: 5_000 });
}

function openWithJournal(path: string, journalPath: string): Promise<SqliteConnection> {
  return SqliteConnection.open({
    path,
    migrations: [KeyIndex1763700000001, Tally1763700000003],
    setup: [attach(journalPath), 'PRAGMA synchronous = NORMAL', 'PRAGMA cache_size = -16000'],
    busyTimeoutMs: 0,
  });
}

function attach(journalPath: string): string {
  return `ATTACH DATABASE '${journalPath.replaceAll("'", "''")}' AS journal`;
}

async function forgetSegment(connection: SqliteConnection, id: number): Promise<void> {
  await connection.query('DELETE FROM tally WHERE segment = ?', [id]);
  await connection.query('DELETE FROM segment_key WHERE segment = ?', [id]);
  await connection.query('DELETE FROM segment WHERE id = ?', [id]);
}
