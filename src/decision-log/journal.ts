import { randomInt } from 'node:crypto';
import { completeText } from './decision-record.js';
import type { Group } from './group-commit.js';
import { Journal1763700000000 } from './migrations/1763700000000-journal.js';
import { encodeKeys } from './record-keys.js';
import { SqliteConnection } from './sqlite-connection.js';

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
  #uncertain = false;

  private constructor(
    private readonly connection: SqliteConnection,
    readonly writer: number,
    private lastEnd: JournalEnd,
  ) {}

  static async open(path: string, durability: 'NORMAL' | 'FULL'): Promise<Journal> {
    const connection = await SqliteConnection.open({
      path,
      migrations: [Journal1763700000000],
      // A checkpoint takes 10 to 20 ms and would be part of some commit, so another connection makes them.
      setup: [`PRAGMA synchronous = ${durability}`, 'PRAGMA wal_autocheckpoint = 0'],
      busyTimeoutMs: 5_000,
    });
    return new Journal(connection, await readWriter(connection), await readEnd(connection));
  }

  get end(): JournalEnd {
    return this.lastEnd;
  }

  /** Commits the group as one row; returns how many bytes it holds. When this resolves, the records are durable. */
  async commit(group: Group): Promise<number> {
    // A commit that failed may still be on the disk; the file says where it ends, not memory.
    if (this.#uncertain) this.lastEnd = await readEnd(this.connection);
    const { sequence, until, lag } = this.lastEnd;
    const first = sequence + 1;
    const records = group.texts.map((text, i) => completeText(text, this.writer, first + i)).join('\n');
    const end: JournalEnd = {
      sequence: sequence + group.texts.length,
      until: Math.max(until, group.until),
      lag: Math.max(lag, until - group.since),
    };
    this.#uncertain = true;
    await this.connection.query(
      'INSERT INTO journal (first, count, since, until, lag, keys, records) VALUES (?, ?, ?, ?, ?, ?, ?)',
      [first, group.texts.length, group.since, end.until, end.lag, encodeKeys(group.keys), records],
    );
    this.#uncertain = false;
    this.lastEnd = end;
    return records.length;
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

async function readEnd(connection: SqliteConnection): Promise<JournalEnd> {
  const [row] = await connection.query<JournalEnd>(
    'SELECT first + count - 1 AS sequence, until, lag FROM journal ORDER BY first DESC LIMIT 1',
  );
  return row ?? { sequence: 0, until: 0, lag: 0 };
}
