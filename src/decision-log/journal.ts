import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Group } from './group-commit.js';
import { groupText } from './group-text.js';
import type { GapCause, Loss } from './log-gap.js';
import { Journal1763700000000 } from './migrations/1763700000000-journal.js';
import { Gaps1763700000002 } from './migrations/1763700000002-gaps.js';
import { encodeKeys } from './record-keys.js';
import { SqliteConnection } from './sqlite-connection.js';

/** A delete of so many records takes a millisecond or two. */
const recordsPerDelete = 2_048;
const deletePauseMs = 5;

/** Where the journal ends. */
export interface JournalEnd {
  /** Sequence of the newest record; 0 when there is none. */
  readonly sequence: number;
  /** The highest time of any record, in milliseconds; 0 when there is none. */
  readonly until: number;
  /** How far a later record may lie before an earlier one, in milliseconds. */
  readonly lag: number;
}

/** The writing end of the journal (its table is described in the migration). One process writes one file. */
export class Journal {
  /** The group whose commit failed last. It may be on the disk all the same. */
  #uncertain: Group | undefined;

  private constructor(
    private readonly connection: SqliteConnection,
    readonly writer: number,
    private lastEnd: JournalEnd,
  ) {}

  static async open(path: string, durability: 'NORMAL' | 'FULL'): Promise<Journal> {
    const connection = await SqliteConnection.open({
      path,
      migrations: [Journal1763700000000, Gaps1763700000002],
      // A checkpoint takes 10 to 20 ms and would be part of some commit, so another connection makes them.
      setup: [`PRAGMA synchronous = ${durability}`, 'PRAGMA wal_autocheckpoint = 0'],
      busyTimeoutMs: 2_000,
    });
    return new Journal(connection, await readWriter(connection), await readEnd(connection));
  }

  get end(): JournalEnd {
    return this.lastEnd;
  }

  /** Commits the group as one row; returns how many bytes it holds. When this resolves, the records are durable. */
  async commit(group: Group): Promise<number> {
    if (this.#uncertain === group && (await this.#holds(group))) {
      this.lastEnd = await readEnd(this.connection);
      return 0;
    }
    const records = groupText(group.common, this.writer, group.lines);
    for (;;) {
      const { sequence, until, lag } = this.lastEnd;
      const first = sequence + 1;
      const end: JournalEnd = {
        sequence: sequence + group.lines.length,
        until: Math.max(until, group.until),
        lag: Math.max(lag, until - group.since),
      };
      try {
        await this.connection.query(
          'INSERT INTO journal (first, count, since, until, lag, keys, records) VALUES (?, ?, ?, ?, ?, ?, ?)',
          [first, group.lines.length, group.since, end.until, end.lag, encodeKeys(group.keys), records],
        );
        this.#uncertain = undefined;
        this.lastEnd = end;
        return records.length;
      } catch (error) {
        // The numbers are taken: by a commit that failed and was written all the same, or by another process, while one
        // version of the service takes over from another. The file says where it ends.
        if (!/UNIQUE constraint failed: journal.first/.test(String(error))) {
          this.#uncertain = group;
          throw error;
        }
        this.lastEnd = await readEnd(this.connection);
      }
    }
  }

  /** Whether the group follows the last row that is known to be committed. */
  async #holds(group: Group): Promise<boolean> {
    const text = groupText(group.common, this.writer, group.lines.slice(0, 1));
    const rows = await this.connection.query('SELECT 1 FROM journal WHERE first = ? AND substr(records, 1, ?) = ?', [
      this.lastEnd.sequence + 1,
      text.length,
      text,
    ]);
    return rows.length > 0;
  }

  /** Commits a note of what is missing. */
  async noteGap(loss: Loss, cause: GapCause): Promise<void> {
    await this.connection.query('INSERT INTO gap (after, lost, since, until, cause) VALUES (?, ?, ?, ?, ?)', [
      loss.after,
      loss.lost,
      loss.since,
      loss.until,
      cause,
    ]);
  }

  /** Whether the process that had the file before could not flush what it had promised to write. */
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

  /**
   * Where a retention begins that keeps records from `time` on (milliseconds) and from `sequence` on: the sequence of
   * the first row that it keeps. The newest row is always kept, for it says where the journal ends.
   */
  async retentionStart(time: number, sequence: number): Promise<number> {
    const [row] = await this.connection.query<{ first: number }>(
      `SELECT min(coalesce((SELECT max(first) FROM journal), 0), max(
         coalesce((SELECT first FROM journal WHERE until >= ? ORDER BY until, first LIMIT 1), ?),
         coalesce((SELECT first FROM journal WHERE first <= ? ORDER BY first DESC LIMIT 1), 0))) AS first`,
      [time, this.lastEnd.sequence, sequence],
    );
    return row!.first;
  }

  /**
   * Deletes the rows below a row's first sequence, the oldest first: some at a time, with pauses, so that a commit seldom
   * meets one and never waits for more than one. Ends early when `signal` says so.
   */
  async deleteBelow(first: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const [oldest] = await this.connection.query<{ first: number | null }>('SELECT min(first) AS first FROM journal');
      if (oldest?.first == null || oldest.first >= first) return;
      const below = Math.min(first, oldest.first + recordsPerDelete);
      await this.connection.query('DELETE FROM journal WHERE first < ?', [below]);
      await delay(deletePauseMs);
    }
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

async function readWriter(connection: SqliteConnection): Promise<number> {
  await connection.query('INSERT INTO log (writer) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM log)', [
    randomInt(1, 2 ** 30),
  ]);
  const [row] = await connection.query<{ writer: number }>('SELECT writer FROM log');
  return row!.writer;
}

/** Where the journal ends by what is committed. */
export async function readEnd(connection: SqliteConnection): Promise<JournalEnd> {
  const [row] = await connection.query<JournalEnd>(
    'SELECT first + count - 1 AS sequence, until, lag FROM journal ORDER BY first DESC LIMIT 1',
  );
  return row ?? { sequence: 0, until: 0, lag: 0 };
}
