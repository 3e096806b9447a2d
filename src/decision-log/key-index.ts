import { rmSync } from 'node:fs';
import { KeyIndex1763700000001 } from './migrations/1763700000001-key-index.js';
import { keyBytes } from './record-keys.js';
import { isDamaged, SqliteConnection } from './sqlite-connection.js';

/** A segment is written when this much waits. Until then look-ups read the keys of the waiting rows themselves. */
const segmentGroups = 8_192;
const segmentRecords = 65_536;

/**
 * What happens behind the writer's back: the key index is built and the journal's WAL is written back into its file.
 * Both are on one connection of their own, the index file with the journal attached to it.
 */
export class KeyIndex {
  private constructor(
    private readonly connection: SqliteConnection,
    private lastIndexed: number,
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
    await connection.query('BEGIN');
    await connection.query('DELETE FROM segment_key WHERE segment IN (SELECT id FROM segment WHERE last > ?)', [valid]);
    await connection.query('DELETE FROM segment WHERE last > ?', [valid]);
    await connection.query('DELETE FROM indexed_log');
    await connection.query('INSERT INTO indexed_log (writer) VALUES (?)', [writer]);
    await connection.query('COMMIT');
    const [row] = await connection.query<{ last: number | null }>('SELECT max(last) AS last FROM segment');
    return new KeyIndex(connection, row?.last ?? 0);
  }

  /** The last sequence that the index covers; what is newer is found by reading the journal's own keys. */
  get indexedTo(): number {
    return this.lastIndexed;
  }

  /** Writes one segment if enough waits, or if anything waits and `force` is set; says whether it did. */
  async indexStep(force = false): Promise<boolean> {
    // Not simply the next sequence: retention may have removed rows that were never indexed.
    const [next] = await this.connection.query<{ first: number }>(
      'SELECT first FROM journal.journal WHERE first > ? ORDER BY first LIMIT 1',
      [this.lastIndexed],
    );
    if (next === undefined) return false;
    const { first } = next;
    const [waiting] = await this.connection.query<{ groups: number; last: number }>(
      `SELECT count(*) AS groups, max(last) AS last FROM (
         SELECT first + count - 1 AS last FROM journal.journal WHERE first BETWEEN ? AND ? ORDER BY first LIMIT ?)`,
      [first, first + segmentRecords - 1, segmentGroups],
    );
    const { groups, last } = waiting!;
    const full = groups === segmentGroups || last - first + 1 >= segmentRecords;
    if (!full && !force) return false;
    await this.connection.query('BEGIN');
    try {
      await this.connection.query('INSERT INTO segment (first, last) VALUES (?, ?)', [first, last]);
      await this.connection.query(
        `INSERT INTO segment_key (segment, key, start)
         SELECT last_insert_rowid(), substr(j.keys, o.n * ${keyBytes} + 1, ${keyBytes}) AS key, j.first - ? AS start
         FROM journal.journal j CROSS JOIN ordinal o
         WHERE j.first BETWEEN ? AND ? AND o.n < length(j.keys) / ${keyBytes}
         ORDER BY key, start`,
        [first, first, last],
      );
      await this.connection.query('COMMIT');
    } catch (error) {
      await this.connection.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
    this.lastIndexed = last;
    return true;
  }

  /**
   * Writes the WAL back into the journal. PASSIVE does the work beside the writer but never starts the WAL anew, since
   * the writer is always a few frames ahead; RESTART then has only those left, holds the lock for that long, and gives
   * up at once where a reader is in the way (`busyTimeoutMs` 0): the next turn will do.
   */
  async checkpoint(): Promise<void> {
    await this.connection.query('PRAGMA journal.wal_checkpoint(PASSIVE)');
    await this.connection.query('PRAGMA journal.wal_checkpoint(RESTART)');
  }

  /** Forgets segments that end below this sequence; one statement each, on a file that no decision waits for. */
  async prune(below: number): Promise<void> {
    const segments = await this.connection.query<{ id: number }>('SELECT id FROM segment WHERE last < ?', [below]);
    for (const { id } of segments) {
      await this.connection.query('DELETE FROM segment_key WHERE segment = ?', [id]);
      await this.connection.query('DELETE FROM segment WHERE id = ?', [id]);
    }
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

/** A reading connection: the index, with the journal attached as `journal`. */
export function openReader(path: string, journalPath: string): Promise<SqliteConnection> {
  return SqliteConnection.open({ path, setup: [attach(journalPath), 'PRAGMA query_only = ON'], busyTimeoutMs: 5_000 });
}

function openWithJournal(path: string, journalPath: string): Promise<SqliteConnection> {
  return SqliteConnection.open({
    path,
    migrations: [KeyIndex1763700000001],
    setup: [attach(journalPath), 'PRAGMA synchronous = NORMAL', 'PRAGMA cache_size = -16000'],
    busyTimeoutMs: 0,
  });
}

function attach(journalPath: string): string {
  return `ATTACH DATABASE '${journalPath.replaceAll("'", "''")}' AS journal`;
}
