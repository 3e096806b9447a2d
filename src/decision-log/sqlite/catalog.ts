import { rmSync } from 'node:fs';
import { isDamaged, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { StoredGap } from '../log-gap.js';
import type { Beginning, Extent, JournalFormat } from './journal-format.js';
import { blockOf, type FilterBlock, filterBlocks, mayHoldKey } from './key-filter.js';
import { Catalog1764300000001 } from './migrations/1764300000001-catalog.js';
import { KeyFilter1764300000004 } from './migrations/1764300000004-key-filter.js';
import { ReturnedFiles1764800000080 } from './migrations/1764800000080-returned-files.js';

/** A closed file of the journal. */
export interface ClosedUnit {
  /** The journal's name. */
  readonly name: string;
  readonly first: number;
  readonly last: number;
  readonly format: JournalFormat;
  readonly extent: Extent;
  readonly indexedTo: number;
  /** Newest first. */
  readonly gaps: readonly StoredGap[];
}

interface UnitRow extends Extent {
  readonly name: string;
  readonly first: number;
  readonly last: number;
  readonly format: JournalFormat;
  readonly indexedTo: number;
  readonly gaps: string;
}

/** Blocks that one statement writes. */
const blocksAtOnce = 256;
/** Rows of a filter are of this size at most, and each should be in one page. */
const pageSize = 32_768;

/** Data about the journal's files, in a file of its own. The migration describes its tables. */
export class Catalog {
  /** Files whose key filter is whole. */
  private readonly filtered = new Set<number>();

  private constructor(private readonly connection: SqliteConnection) {}

  /** One that is damaged, which is said, is begun anew: the files say the same. */
  static async open(path: string, onProblem?: (what: string, error: unknown) => void): Promise<Catalog> {
    try {
      return await new Catalog(await openFile(path)).load();
    } catch (error) {
      if (!isDamaged(error)) throw error;
      onProblem?.(`${path} is damaged and is written anew; no record is lost`, error);
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
      return new Catalog(await openFile(path)).load();
    }
  }

  private async load(): Promise<this> {
    const rows = await this.connection.query<{ unit: number }>('SELECT unit FROM filtered');
    for (const { unit } of rows) this.filtered.add(unit);
    return this;
  }

  /** The open file that was begun last; undefined when none was. */
  async begun(): Promise<Pick<Beginning, 'name' | 'writer' | 'start'> | undefined> {
    const [row] = await this.connection.query<Beginning>('SELECT name, writer, start FROM open');
    return row;
  }

  async noteBegun({ name, writer, start }: Beginning): Promise<void> {
    await this.connection.query('INSERT OR REPLACE INTO open (id, name, writer, start) VALUES (1, ?, ?, ?)', [
      name,
      writer,
      start,
    ]);
  }

  /** The closed files, in order, and of which of them the removal was begun. */
  async units(): Promise<{ readonly units: ClosedUnit[]; readonly removing: number[] }> {
    const rows = await this.connection.query<UnitRow & { removing: number }>('SELECT * FROM unit ORDER BY first');
    const removing = rows.filter((row) => row.removing === 1).map(({ first }) => first);
    return { units: rows.filter((row) => row.removing === 0).map(unitOf), removing };
  }

  async add(unit: ClosedUnit): Promise<void> {
    const { name, first, last, format, indexedTo, gaps } = unit;
    const { since, until, idSince, idUntil } = unit.extent;
    await this.connection.query(
      `INSERT OR REPLACE INTO unit (name, first, last, format, since, until, idSince, idUntil, indexedTo, gaps)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [name, first, last, format, since, until, idSince, idUntil, indexedTo, JSON.stringify(gaps)],
    );
  }

  /** Adds a file that was away, or that nobody knew of. That it was is noted first: a crash in between leaves it to be found again. */
  async addReturned(unit: ClosedUnit): Promise<void> {
    await this.connection.query('INSERT OR IGNORE INTO returned (unit) VALUES (?)', [unit.first]);
    await this.add(unit);
  }

  /** Whether a file returned since `forgetReturned`. */
  async hasReturned(): Promise<boolean> {
    const rows = await this.connection.query('SELECT unit FROM returned LIMIT 1');
    return rows.length > 0;
  }

  async forgetReturned(): Promise<void> {
    await this.connection.query('DELETE FROM returned');
  }

  async markRemoving(first: number): Promise<void> {
    await this.connection.query('UPDATE unit SET removing = 1 WHERE first = ?', [first]);
  }

  hasFilter(first: number): boolean {
    return this.filtered.has(first);
  }

  /** Adds blocks of a file's key filter; with `last` it is whole. */
  async addBlocks(first: number, blocks: readonly FilterBlock[], last: boolean): Promise<void> {
    for (let i = 0; i < blocks.length; i += blocksAtOnce) {
      const some = blocks.slice(i, i + blocksAtOnce);
      await this.connection.query(
        `INSERT OR REPLACE INTO filter (block, unit, bits) VALUES ${some.map(() => '(?, ?, ?)').join(', ')}`,
        some.flatMap(({ block, bits }) => [block, first, bits]),
      );
    }
    if (!last) return;
    await this.connection.query('INSERT OR IGNORE INTO filtered (unit) VALUES (?)', [first]);
    this.filtered.add(first);
  }

  /** The files that do not have all of the keys. Of those that have no filter yet nothing is said. */
  async without(keys: readonly Buffer[]): Promise<ReadonlySet<number>> {
    const without = new Set<number>();
    if (this.filtered.size === 0) return without;
    for (const key of keys) {
      const rows = await this.connection.query<{ unit: number; bits: Buffer }>(
        'SELECT unit, bits FROM filter WHERE block = ?',
        [blockOf(key)],
      );
      const holding = new Set(rows.filter(({ bits }) => mayHoldKey(bits, key)).map(({ unit }) => unit));
      for (const unit of this.filtered) if (!holding.has(unit)) without.add(unit);
    }
    return without;
  }

  async remove(first: number): Promise<void> {
    await this.forgetFilter(first);
    await this.connection.query('DELETE FROM unit WHERE first = ?', [first]);
  }

  /** Removes the key filter of a file. */
  async forgetFilter(first: number): Promise<void> {
    this.filtered.delete(first);
    await this.connection.query('DELETE FROM filtered WHERE unit = ?', [first]);
    // Block by block, by the primary key: the file's rows lie far apart.
    await this.connection.query(
      `WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < ${filterBlocks - 1})
       DELETE FROM filter WHERE block IN (SELECT n FROM number) AND unit = ?`,
      [first],
    );
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

/** The closed files as another process noted them; nothing is written. Empty when they cannot be read. */
export async function readCatalog(path: string): Promise<ClosedUnit[]> {
  const connection = await SqliteConnection.open({ path, setup: ['PRAGMA query_only = ON'], busyTimeoutMs: 1_000 });
  try {
    return (await connection.query<UnitRow>('SELECT * FROM unit WHERE removing = 0')).map(unitOf);
  } catch {
    return [];
  } finally {
    await connection.close();
  }
}

function openFile(path: string): Promise<SqliteConnection> {
  return SqliteConnection.open({
    path,
    pageSize,
    migrations: [Catalog1764300000001, KeyFilter1764300000004, ReturnedFiles1764800000080],
    setup: ['PRAGMA synchronous = FULL'],
    busyTimeoutMs: 5_000,
  });
}

function unitOf({ name, first, last, format, indexedTo, gaps, since, until, idSince, idUntil }: UnitRow): ClosedUnit {
  return { name, first, last, format, indexedTo, extent: { since, until, idSince, idUntil }, gaps: JSON.parse(gaps) };
}
