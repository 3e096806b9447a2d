import { isDamaged, isWithoutIndex, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { dayMs } from '../../query/time-zone.js';
import type { ClosedUnit } from './catalog.js';
import type { UnitWork } from './log-view.js';
import { unreadableTexts } from './recount.js';

export interface ClosedCheckOptions {
  /** Milliseconds between two checks of a file (a day). */
  readonly everyMs: number | undefined;
  readonly units: () => readonly ClosedUnit[];
  /** Has the next read of a file open it anew: a connection that is open may show what it remembers. */
  readonly forget: (first: number) => Promise<void>;
  /** Reads a file, and takes note of damage that it comes across; undefined when the file is not there. */
  readonly read: <T>(first: number, work: UnitWork<T>) => Promise<T | undefined>;
  /** Takes note of texts that are damaged, though their pages can be read. */
  readonly damaged: (first: number, error: unknown) => void;
  /** Hears of a file of which all could be read. */
  readonly sound: (first: number) => void;
}

/** Groups that one step reads: a quarter of a megabyte, as a rule; a group has little more than a megabyte at most. */
const groupsAtOnce = 8;
/** Entries of the index that one step reads: some tens of pages. */
const entriesAtOnce = 4_096;

/** Where the check of a file goes on. */
interface Position {
  readonly first: number;
  /** The next sequence; undefined when all groups are read. */
  readonly sequence: number | undefined;
  /** The last entry of the index that was read. */
  readonly entry: Entry;
  /** False once a text was damaged. */
  readonly isSound: boolean;
}

interface Entry {
  readonly segment: number;
  readonly key: Buffer;
  readonly start: number;
}

const beforeAll: Entry = { segment: -1, key: Buffer.alloc(0), start: 0 };

/**
 * Reads closed files through, one at a time and a few pages a step, so that damage is known before somebody asks for
 * what it hit: nobody reads most of them for months.
 */
export class ClosedCheck {
  /** When a file was checked last, by the monotonic clock, in milliseconds. */
  private readonly checked = new Map<number, number>();
  private position: Position | undefined;

  constructor(private readonly options: ClosedCheckOptions) {}

  /** Does a step of the check that is due at `now` (monotonic clock, in milliseconds); says whether there was one. */
  async step(now: number): Promise<boolean> {
    const unit = this.next(now);
    if (unit === undefined) return false;
    const { first } = unit;
    if (this.position?.first !== first) {
      this.position = { first, sequence: first, entry: beforeAll, isSound: true };
      await this.options.forget(first);
    }
    const { position } = this;
    try {
      const after = await this.options.read(first, (...file) => this.readOn(file, unit, position));
      if (after !== undefined && after !== 'end') {
        this.position = after;
        return true;
      }
      if (after === 'end' && position.isSound) this.options.sound(first);
    } catch (error) {
      // Reading it took note of damage.
      if (!isDamaged(error) && !isWithoutIndex(error)) throw error;
    } finally {
      if (this.position === position) {
        this.checked.set(first, now);
        this.position = undefined;
      }
    }
    return true;
  }

  /** The file whose check was begun, else the one that was checked longest ago, if its time has come. */
  private next(now: number): ClosedUnit | undefined {
    const units = this.options.units();
    if (this.checked.size > units.length) this.forgetRemoved();
    const begun = units.find(({ first }) => first === this.position?.first);
    if (begun !== undefined) return begun;
    const at = ({ first }: ClosedUnit) => this.checked.get(first) ?? Number.NEGATIVE_INFINITY;
    const due = units.filter((unit) => now - at(unit) >= (this.options.everyMs ?? dayMs));
    return due.reduce<ClosedUnit | undefined>((oldest, unit) => {
      return oldest === undefined || at(unit) < at(oldest) ? unit : oldest;
    }, undefined);
  }

  private forgetRemoved(): void {
    const there = new Set(this.options.units().map(({ first }) => first));
    for (const first of this.checked.keys()) if (!there.has(first)) this.checked.delete(first);
  }

  private async readOn(
    file: Parameters<UnitWork<never>>,
    unit: ClosedUnit,
    position: Position,
  ): Promise<Position | 'end'> {
    if (position.sequence !== undefined) {
      const { next, isSound } = await this.readGroups(file, unit, position.sequence);
      return { ...position, sequence: next, isSound: position.isSound && isSound };
    }
    if (unit.indexedTo < unit.last) return 'end';
    const entry = await readEntries(file[0], position.entry);
    return entry === undefined ? 'end' : { ...position, entry };
  }

  /** Reads some groups whole, pages and texts; `next` is the sequence behind them, undefined at the end. */
  private async readGroups(
    [connection, coding]: Parameters<UnitWork<never>>,
    { first, last }: ClosedUnit,
    from: number,
  ): Promise<{ readonly next: number | undefined; readonly isSound: boolean }> {
    // Small tables: they are read with the first groups.
    if (from === first) await connection.query('SELECT count(*), (SELECT sum(lost) FROM journal.gap) FROM journal.log');
    const [row] = await connection.query<{ end: number | null; bytes: number | null }>(
      `SELECT max(first + count - 1) AS end, sum(length(keys)) AS bytes FROM (
         SELECT first, count, keys FROM journal.journal WHERE first >= ? ORDER BY first LIMIT ${groupsAtOnce})`,
      [from],
    );
    if (row?.end == null) return { next: undefined, isSound: true };
    // Whose key is not there is not damaged.
    const unreadable = coding.locked ? [] : await unreadableTexts(connection, coding, from - 1, row.end);
    const isSound = unreadable.length === 0;
    if (!isSound) this.options.damaged(first, new Error('the texts of records are damaged'));
    return { next: row.end < last ? row.end + 1 : undefined, isSound };
  }
}

/** Reads some entries of the index; with the last of them its counts. Returns where it ended, undefined at the end. */
async function readEntries(connection: SqliteConnection, after: Entry): Promise<Entry | undefined> {
  const [entry] = await connection.query<Entry>(
    `SELECT segment, key, start FROM segment_key WHERE (segment, key, start) > (?, ?, ?)
     ORDER BY segment, key, start LIMIT 1 OFFSET ${entriesAtOnce - 1}`,
    [after.segment, after.key, after.start],
  );
  if (entry === undefined) await connection.query('SELECT sum(count), (SELECT count(name) FROM tally_name) FROM tally');
  return entry;
}
