import { closeSync, fdatasync, openSync, type Stats, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import { Turns } from '../../turns/turns.js';
import { groupText, recordsOf, type StoredGroup } from '../group-text.js';
import { groupBeyond, groupOfText, type JournalGroup } from '../journal-group.js';
import type { StoredGap } from '../log-gap.js';
import type { JournalPosition, MissingRange, ShippedJournal, Stretch } from '../shipped-journal.js';
import { readAround } from './damaged-rows.js';
import type { Group } from './group-commit.js';
import type { LogView, UnitView } from './log-view.js';

const sync = promisify(fdatasync);

/** Most of what was committed last that is kept in memory, in characters of text and in groups. */
const mostLength = 16 * 1024 * 1024;
const mostGroups = 8_192;
/** Rows that one statement reads; each can be of a megabyte. */
const rowsAtOnce = 16;
/** Sequences that are looked at around a damaged page. */
const aroundDamage = 2_048;

/**
 * The newest part of a replica's journal, read in the order in which it was written. What was committed a moment ago comes
 * from memory, as it was appended; anything older is read from the journal's files and looked through again.
 */
export class JournalTail implements ShippedJournal {
  /** Groups that follow on each other up to the journal's end. */
  private recent: { readonly first: number; readonly group: Group }[] = [];
  private length = 0;
  /** Sequence of the record that was committed last; 0 before the first. */
  private last = 0;
  /** The WAL as it was written through last. It stays open: closing a file that is being written takes half a millisecond. */
  private wal: { readonly file: number; readonly stats: Stats } | undefined;

  /**
   * @param view the journal as it is now
   * @param oldestPending the lowest time of a record that waits for its commit
   * @param newest the sequence of the newest record; 0 when there is none
   * @param openPath the journal's open file
   */
  constructor(
    private readonly view: () => Promise<LogView>,
    private readonly oldestPending: () => number | undefined,
    private readonly newest: () => number,
    private readonly openPath: string,
  ) {}

  get end(): number {
    // While the files are being opened again, what was committed last is still the end.
    return this.newest() || this.last;
  }

  async position(): Promise<JournalPosition> {
    const oldestPending = this.oldestPending();
    const { name, writer, end } = await this.view();
    if (name === undefined || writer === undefined) throw new Error('the journal is being opened again');
    return { journal: name, idWriter: writer, end, oldestPending };
  }

  /** Takes note of a group that was committed. */
  committed(first: number, group: Group): void {
    const last = this.recent.at(-1);
    const follows = last !== undefined && last.first + last.group.lines.length === first;
    if (!follows || this.length > mostLength || this.recent.length >= mostGroups) this.forget();
    this.recent.push({ first, group });
    this.length += lengthOf(group);
    this.last = first + group.lines.length - 1;
  }

  shipped(sequence: number): void {
    let count = 0;
    for (const { first, group } of this.recent) {
      if (first + group.lines.length - 1 > sequence) break;
      this.length -= lengthOf(group);
      count++;
    }
    this.recent.splice(0, count);
  }

  async read(after: number, most: number): Promise<Stretch> {
    const known = this.recent.findIndex(({ first }) => first === after + 1);
    if (known !== -1) return this.readRecent(known, most);
    return this.readFiles(after, most);
  }

  async gaps(from: number): Promise<readonly StoredGap[]> {
    const view = await this.view();
    const range = { from, before: Number.MAX_SAFE_INTEGER, times: { from: undefined, to: undefined } };
    return (await view.gaps(range)).map(({ after, lost, from: since, to, cause }) => {
      return { after, lost, since: Date.parse(since), until: Date.parse(to), cause };
    });
  }

  async first(): Promise<number> {
    const view = await this.view();
    for (const unit of view.units.toReversed()) {
      const rows = await view.read(unit, (connection) =>
        connection.query<{ first: number | null }>('SELECT min(first) AS first FROM journal.journal'),
      );
      if (rows?.[0]?.first != null) return rows[0].first;
    }
    return view.end + 1;
  }

  async idAt(sequence: number): Promise<string | undefined> {
    const { groups } = await this.readFiles(sequence - 1, 1);
    const [group] = groups;
    if (group === undefined || group.first !== sequence) return undefined;
    for (const record of recordsOf(group, [], () => undefined)) if (record.sequence === sequence) return record.id;
    return undefined;
  }

  // Closed files survive it already.
  async harden(): Promise<void> {
    const path = `${this.openPath}-wal`;
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.ino !== this.wal?.stats.ino || stats?.dev !== this.wal?.stats.dev) this.close();
    if (stats === undefined) return;
    this.wal ??= { file: openSync(path, 'r+'), stats };
    await sync(this.wal.file);
  }

  /** Lets go of the file that `harden` keeps open. Nothing may be hardened meanwhile. */
  close(): void {
    if (this.wal !== undefined) closeSync(this.wal.file);
    this.wal = undefined;
  }

  private forget(): void {
    this.recent = [];
    this.length = 0;
  }

  private async readRecent(from: number, most: number): Promise<Stretch> {
    // Taken now: what is shipped meanwhile is let go of.
    const recent = this.recent.slice(from);
    const { writer } = await this.view();
    const groups: JournalGroup[] = [];
    let records = 0;
    for (const { first, group } of recent) {
      const count = group.lines.length;
      if (records > 0 && records + count > most) break;
      const { common, lines, since, until, idSince, idUntil, keys } = group;
      const tally = group.tally.rows();
      groups.push({
        first,
        count,
        since,
        until,
        idSince,
        idUntil,
        keys,
        tally,
        records: groupText(common, writer!, lines),
      });
      records += count;
    }
    const last = groups.at(-1)!;
    return { groups, missing: [], to: last.first + last.count - 1 };
  }

  private async readFiles(after: number, most: number): Promise<Stretch> {
    const view = await this.view();
    const groups: JournalGroup[] = [];
    const missing: MissingRange[] = [];
    const turns = new Turns();
    let to = after;
    let records = 0;
    for (const unit of view.units.toReversed()) {
      while (to < unit.last && records < most) {
        if (unit.first > to + 1) {
          missing.push(missingBetween(to, unit.first - 1, unit, 'file_missing'));
          to = unit.first - 1;
        }
        const stored = await rowsOf(view, unit, to);
        // The retention has just removed the file.
        if (stored === undefined) break;
        for (const row of stored) {
          if (turns.isOver) await turns.next();
          const whole = groupOfText(row.first, row.records);
          const group = whole.first > to ? whole : groupBeyond(whole, to);
          if (group.first > to + 1) missing.push(missingBetween(to, group.first - 1, unit, 'file_damaged'));
          if (group.until === 0) missing.push(missingBetween(group.first - 1, lastOf(group), unit, 'file_damaged'));
          else groups.push(group);
          to = lastOf(group);
          records += group.count;
          if (records >= most) break;
        }
        if (stored.length === 0) {
          missing.push(missingBetween(to, unit.last, unit, 'file_damaged'));
          to = unit.last;
        }
      }
    }
    return { groups, missing, to };
  }
}

function lengthOf(group: Group): number {
  return group.lines.reduce((sum, line) => sum + line.length, 0);
}

function lastOf({ first, count }: JournalGroup): number {
  return first + count - 1;
}

/** The next rows behind the record `after`, or the row in which it is; none where all up to the end is damaged. */
async function rowsOf(view: LogView, unit: UnitView, after: number): Promise<StoredGroup[] | undefined> {
  try {
    return await view.read(unit, (connection) =>
      connection.query<StoredGroup>(
        `SELECT first, records FROM journal.journal
         WHERE first >= coalesce((SELECT first FROM journal.journal
           WHERE first <= ?1 AND first + count > ?1 ORDER BY first DESC LIMIT 1), ?1)
         ORDER BY first LIMIT ${rowsAtOnce}`,
        [after + 1],
      ),
    );
  } catch (error) {
    if (!isDamaged(error)) throw error;
  }
  for (let from = after + 1; from <= unit.last; from += aroundDamage) {
    const beyond = Math.min(from + aroundDamage, unit.last + 1);
    const read = await view
      .read(unit, (connection) => readAround(connection, from, beyond))
      .catch((error: unknown) => {
        // Not even its first page can be read.
        if (isDamaged(error)) return { groups: [] };
        throw error;
      });
    if (read === undefined) return undefined;
    if (read.groups.length > 0) return read.groups;
  }
  return [];
}

function missingBetween(after: number, last: number, unit: UnitView, cause: MissingRange['cause']): MissingRange {
  const { since = 0, until = Date.now() } = unit.extent ?? {};
  return { after, lost: last - after, since, until, cause };
}
