import { existsSync, statSync } from 'node:fs';
import { makeSafe } from '../../database/sqlite/database-watch.js';
import { OpenDatabase } from '../../database/sqlite/open-database.js';
import { isDamaged, isWithoutIndex, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type GapCause, gapsWithin, type StoredGap } from '../log-gap.js';
import { keyBytes } from '../record-keys.js';
import { Catalog, type ClosedUnit } from './catalog.js';
import { ClosedIndex } from './closed-index.js';
import { openClosedReader } from './closed-unit.js';
import type { DamagedRange } from './damaged-rows.js';
import type { Group } from './group-commit.js';
import { Journal } from './journal.js';
import { type Beginning, readBeginning } from './journal-format.js';
import { recoverFiles } from './journal-recovery.js';
import { filterSteps, makeBlocks } from './key-filter.js';
import { KeyIndex, openReader } from './key-index.js';
import {
  catalogPathOf,
  closedIndexPathOf,
  closedPathOf,
  indexPathOf,
  removeClosed,
  renameDurably,
  setFilesAside,
} from './log-files.js';
import { type LogView, type UnitView, viewOfClosed } from './log-view.js';
import { DayTurns, isOtherDay, type TurnLimits, utcDayOf } from './turn-limits.js';
import { UnitReaders } from './unit-readers.js';
import { WalBound } from './wal-bound.js';

export interface JournalFilesOptions {
  /** The open file: `data/verdict.decisions.sqlite`. */
  readonly path: string;
  readonly durability: 'NORMAL' | 'FULL';
  readonly limits: TurnLimits;
  /** Hears what was found wrong with the files. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** What became of files that vanished. */
export interface Rescue {
  /** Records that could not be read back. */
  readonly damaged: readonly DamagedRange[];
  /** What lay in their places, by its new names. */
  readonly aside: readonly string[];
}

/** The open file of the journal with its key index. */
interface OpenUnit {
  readonly journal: Journal;
  readonly index: KeyIndex;
}

/**
 * The journal as a row of files. Records are committed into the open one. Now and then it is closed: it gets a name of
 * its own, never changes again, and the next one goes on with the next sequence. A file and the key index beside it are
 * a *unit*, known by its first sequence; what each holds stands in the catalog.
 *
 * Closing is a row of steps, any of which may be the last before a crash; `recoverFiles` goes on from there:
 *
 * 1. the index is brought up to the last record; both files are written back from their WAL and leave WAL mode;
 * 2. the catalog notes which file is open; the first turn of all makes it;
 * 3. the journal's file gets its new name, then the index;
 * 4. the next file is made, and says where it goes on;
 * 5. the catalog notes the closed file, then that the next one is open.
 *
 * Commits wait during these steps, and reads of the open file; that is some tens of milliseconds.
 */
export class JournalFiles {
  private openUnit: OpenUnit;
  private closedUnits: readonly ClosedUnit[];
  private readonly readers: UnitReaders;
  /** The files of the open unit. */
  private files: readonly [journal: OpenDatabase, index: OpenDatabase];
  /** While a turn goes on: what it must not meet waits for it. */
  private turning: Promise<unknown> | undefined;
  private committing: Promise<unknown> | undefined;
  private hasFailed = false;
  /** The index that is being built for a closed file, and those for which that failed. */
  private mending: ClosedIndex | undefined;
  private readonly unmendable = new Set<number>();
  /** The closed file whose key filter is being made, and the next step of it. */
  private filtering: { readonly first: number; readonly step: number } | undefined;
  private walBound: WalBound;
  private readonly dayTurns = new DayTurns();
  /** Closed files, by their first sequence: not there, another one in their place, parts that cannot be read. */
  private readonly absent = new Set<number>();
  private readonly foreign = new Set<number>();
  private readonly damaged = new Set<number>();
  /** An index that is to be made anew. */
  private condemned: string | undefined;
  /** Size of the open file: as it was measured last, and what was committed since. */
  private bytes = 0;
  /** The day of the open file's records; undefined while it has none. */
  private day: number | undefined;

  private constructor(
    private readonly options: JournalFilesOptions,
    private catalog: Catalog | undefined,
    open: OpenUnit,
    closed: readonly ClosedUnit[],
    /** Files that were there once and are gone, by their names; undefined when none is. */
    readonly missing: string | undefined,
  ) {
    this.openUnit = open;
    this.closedUnits = closed;
    this.readers = new UnitReaders((first) => this.openReader(first));
    this.files = this.openFiles();
    this.noteDay();
    const wal = statSync(`${options.path}-wal`, { throwIfNoEntry: false });
    this.walBound = new WalBound(options.limits.walBytes, wal?.size ?? 0);
  }

  /**
   * Opens the files, makes those that are not there, and finishes what a crash interrupted. `cause`: why the open file
   * is not there, if it is not.
   */
  static async open(options: JournalFilesOptions, cause: GapCause = 'file_missing'): Promise<JournalFiles> {
    const { path } = options;
    const { journal, catalog, closed, missing } = await recoverFiles({ ...options, cause });
    try {
      const index = await KeyIndex.open(indexPathOf(path), path, journal.writer, journal.end.sequence);
      const files = new JournalFiles(options, catalog, { journal, index }, closed, missing);
      await files.measure();
      return files;
    } catch (error) {
      await journal.close();
      await catalog?.close();
      throw error;
    }
  }

  /** The writing end. Which file it writes changes with every turn. */
  get journal(): Journal {
    return this.openUnit.journal;
  }

  get index(): KeyIndex {
    return this.openUnit.index;
  }

  /** The journal's name: 128 random bits in hexadecimal. */
  get name(): string {
    return this.journal.beginning.name;
  }

  get closed(): readonly ClosedUnit[] {
    return this.closedUnits;
  }

  /** How often a file was opened for reading. */
  get opened(): number {
    return this.readers.opened;
  }

  /** The WAL of the open file. */
  get wal(): WalBound {
    return this.walBound;
  }

  /** Commits the group into the open file. */
  async commit(group: Group): Promise<void> {
    while (this.turning !== undefined) await this.turning;
    const { journal, index } = this.openUnit;
    const committed = journal.commit(group);
    this.committing = committed.catch(() => undefined);
    const bytes = await committed;
    // The group is committed, whatever becomes of the rest: it may not be committed again.
    index.noteCommit(journal.end.sequence, group.tally);
    this.day ??= utcDayOf(group.until);
    const written = bytes + group.keys.size * keyBytes;
    this.bytes += written;
    this.walBound.grew(written);
    // A failure changes nothing but the time that a look-up takes; the next commit tries again.
    await journal.writeSpan().catch(() => undefined);
  }

  /** Whether the open file should be closed before this group is committed. */
  isDue({ until }: Pick<Group, 'until'>): boolean {
    const { journal } = this.openUnit;
    if (journal.isEmpty) return false;
    const { bytes, records, spanMs } = this.options.limits;
    const { since } = journal.extent;
    return (
      (this.day !== undefined && isOtherDay(until, this.day) && this.dayTurns.areLeft) ||
      this.bytes >= bytes ||
      journal.end.sequence - journal.start + 1 >= records ||
      until - since >= spanMs
    );
  }

  /** Measures the open file. */
  async measure(): Promise<void> {
    this.bytes = await this.journal.size();
  }

  /** Whether a turn failed halfway: then the files have to be opened again. */
  get isBroken(): boolean {
    return this.hasFailed;
  }

  /**
   * Closes the open file and begins the next one. Says whether it did: it does not while another process has the file
   * open, for SQLite would take the WAL of the next file for that of this one. Throws when it cannot go on; then the
   * files have to be opened again.
   */
  async turn(): Promise<boolean> {
    const { start } = this.journal;
    const turn = this.takeTurn();
    const over = turn.then(
      () => undefined,
      () => undefined,
    );
    this.turning = over;
    try {
      return await turn;
    } finally {
      for (const file of this.files) file.noteWal();
      this.turning = undefined;
      this.readers.resume(start);
    }
  }

  /**
   * Why the open unit has to be brought back, for people: one of its files was removed or replaced, or its index is
   * damaged. Undefined when all is well.
   */
  vanished(): string | undefined {
    if (this.turning !== undefined) return undefined;
    const gone = this.files.flatMap((file) => {
      const what = file.vanished();
      return what === undefined ? [] : [what === 'wal' ? `${file.path}-wal` : file.path];
    });
    if (gone.length > 0) return `${gone.join(' and ')} was removed or replaced`;
    return this.condemned === undefined ? undefined : `${this.condemned} is damaged or incomplete`;
  }

  /**
   * Brings back what of the open unit vanished, through the connections that still have it: all that was committed is
   * there again at its place, and what lay there meanwhile has another name. An index that is gone is made anew. Closes
   * the files, which then have to be opened again. If it fails, the journal stays open, and this can be tried again.
   */
  async rescue(): Promise<Rescue> {
    const { path } = this.options;
    const [journalFile, indexFile] = this.files;
    let finish!: () => void;
    this.turning = new Promise<void>((resolve) => {
      finish = resolve;
    });
    try {
      await this.committing;
      const journal = journalFile.vanished();
      const isIndexGone = indexFile.vanished() !== undefined || this.condemned !== undefined;
      await this.readers.close();
      await this.index.close();
      const copy = `${path}.rescued`;
      let damaged: readonly DamagedRange[] = [];
      if (journal === 'database') {
        damaged = await this.journal.copyTo(copy);
        await makeSafe(copy);
      } else if (journal === 'wal') await this.journal.writeBack();
      await this.journal.close();
      await this.catalog?.close();
      const aside: (string | undefined)[] = [];
      if (journal === 'database') {
        aside.push(journalFile.clearPlace());
        renameDurably(copy, path);
      }
      if (isIndexGone) aside.push(indexFile.clearPlace());
      return { damaged, aside: aside.filter((name) => name !== undefined) };
    } finally {
      this.turning = undefined;
      finish();
    }
  }

  private async takeTurn(): Promise<boolean> {
    const { path, durability } = this.options;
    await this.committing;
    // A file that vanished must not be closed, nor may what lies in its place get its name.
    if (this.files.some((file) => file.vanished() !== undefined)) return false;
    const { journal, index } = this.openUnit;
    const { start, end } = journal;
    await this.readers.pause(start);
    while (await index.catchUpStep(end.sequence));
    if (!(await index.leaveWal())) return false;
    // From here on, until the files are open again, a failure leaves them closed.
    this.hasFailed = true;
    await index.close();
    if (!(await journal.leaveWal())) {
      const again = await KeyIndex.open(indexPathOf(path), path, journal.writer, end.sequence);
      this.openUnit = { journal, index: again };
      this.hasFailed = false;
      return false;
    }
    const gaps = await journal.gaps();
    if (this.files.some((file) => file.vanished() === 'database')) {
      const again = await KeyIndex.open(indexPathOf(path), path, journal.writer, end.sequence);
      this.openUnit = { journal, index: again };
      this.hasFailed = false;
      return false;
    }
    await journal.close();
    this.catalog ??= await Catalog.open(catalogPathOf(path));
    await this.catalog.noteBegun(journal.beginning);
    renameDurably(path, closedPathOf(path, start));
    renameDurably(indexPathOf(path), closedIndexPathOf(path, start));
    const { name, writer } = journal.beginning;
    const beginning: Beginning = { name, writer, start: end.sequence + 1, floor: end.idUntil };
    const next = await Journal.open(path, durability, () => beginning);
    const unit: ClosedUnit = {
      name,
      first: start,
      last: end.sequence,
      format: journal.format,
      extent: journal.extent,
      indexedTo: end.sequence,
      gaps,
    };
    await this.catalog.add(unit);
    await this.catalog.noteBegun(beginning);
    this.closedUnits = [...this.closedUnits, unit];
    this.openUnit = {
      journal: next,
      index: await KeyIndex.open(indexPathOf(path), path, writer, next.end.sequence),
    };
    this.files = this.openFiles();
    this.bytes = 0;
    this.day = undefined;
    this.walBound = new WalBound(this.options.limits.walBytes, 0);
    this.dayTurns.spend();
    this.hasFailed = false;
    return true;
  }

  /** The log as it is now. */
  view(): LogView {
    const { journal, index } = this.openUnit;
    const { start: first, format, extent, end } = journal;
    const { indexedTo, uncounted } = index;
    const open: UnitView = { first, last: end.sequence, format, extent, indexedTo, hasCounts: true, uncounted };
    return {
      name: this.name,
      writer: journal.writer,
      end: end.sequence,
      units: [...(journal.isEmpty ? [] : [open]), ...this.closedUnits.map(viewOfClosed).reverse()],
      read: (unit, work) => this.read(unit.first, work),
      without: async (keys) => (await this.catalog?.without(keys)) ?? new Set(),
      gaps: async (range) => {
        const newest = await this.gapsOfOpen();
        const older = this.closedUnits.toReversed().flatMap((unit) => {
          return this.isAbsent(unit.first) ? [gapOf(unit), ...unit.gaps] : unit.gaps;
        });
        return gapsWithin([...newest, ...older], range);
      },
    };
  }

  /** Builds some of the index of a closed file that has none; says whether there may be more to do. */
  async mendStep(): Promise<boolean> {
    const unit = this.closedUnits.findLast(
      ({ first, last, indexedTo }) => indexedTo < last && !this.unmendable.has(first),
    );
    if (unit === undefined) return false;
    const { path, onProblem } = this.options;
    try {
      if (this.mending?.first !== unit.first) {
        await this.mending?.close();
        this.mending = await ClosedIndex.open(path, unit);
      }
      if (await this.mending.step()) return true;
      await this.readers.pause(unit.first);
      const mended = { ...unit, indexedTo: await this.mending.finish() };
      this.mending = undefined;
      this.closedUnits = this.closedUnits.map((closed) => (closed.first === unit.first ? mended : closed));
      await this.catalog?.add(mended);
    } catch (error) {
      this.unmendable.add(unit.first);
      onProblem(`the index of ${closedPathOf(path, unit.first)} cannot be built; it is searched without`, error);
    } finally {
      this.readers.resume(unit.first);
    }
    return true;
  }

  /** Makes some of the key filter of a closed file that has none; says whether there is more to do. */
  async filterStep(): Promise<boolean> {
    const { catalog } = this;
    const unit = this.closedUnits.findLast(
      ({ first, last, indexedTo }) => indexedTo >= last && catalog?.hasFilter(first) === false,
    );
    if (catalog === undefined || unit === undefined) return false;
    if (this.filtering?.first !== unit.first) this.filtering = { first: unit.first, step: 0 };
    const { first, step } = this.filtering;
    const steps = filterSteps(unit.last - first + 1);
    const blocks = await this.read(first, (connection) => makeBlocks(connection, step, steps));
    if (blocks !== undefined) await catalog.addBlocks(first, blocks, step === steps - 1);
    this.filtering = { first, step: step + 1 };
    return true;
  }

  /** Removes the closed files that `keeps` says no to: the journal with its index, whole. */
  async remove(keeps: (unit: ClosedUnit) => boolean): Promise<void> {
    for (const unit of this.closedUnits.filter((closed) => !keeps(closed))) {
      await this.catalog?.markRemoving(unit.first);
      this.closedUnits = this.closedUnits.filter(({ first }) => first !== unit.first);
      await this.readers.retire(unit.first);
      if (this.mending?.first === unit.first) {
        await this.mending.close();
        this.mending = undefined;
      }
      removeClosed(this.options.path, unit.first);
      await this.catalog?.remove(unit.first);
    }
  }

  async close(): Promise<void> {
    await this.readers.close();
    await this.mending?.close();
    await this.index.close();
    await this.journal.close();
    await this.catalog?.close();
  }

  private async read<T>(first: number, work: (connection: SqliteConnection) => Promise<T>): Promise<T | undefined> {
    while (this.turning !== undefined) await this.turning;
    if (!this.holds(first)) return undefined;
    try {
      return await this.readers.use(first, work);
    } catch (error) {
      if (!this.holds(first)) return undefined;
      if (this.isAbsent(first)) return undefined;
      if (isDamaged(error) || isWithoutIndex(error)) this.noteDamage(first, error);
      throw error;
    }
  }

  /** Whether a closed file is not at its place now, or another one is. It may come back. */
  private isAbsent(first: number): boolean {
    if (first === this.journal.start) return false;
    const path = closedPathOf(this.options.path, first);
    const absent = !existsSync(path) || this.foreign.has(first);
    if (absent && !this.absent.has(first)) {
      this.absent.add(first);
      this.options.onProblem(`${path} is not there; its decision records are not found`, undefined);
    } else if (!absent) this.absent.delete(first);
    return absent;
  }

  /** Says once for each file that something in it cannot be read, and has an index that is damaged made anew. */
  private noteDamage(first: number, error: unknown): void {
    if (this.damaged.has(first)) return;
    this.damaged.add(first);
    const { path } = this.options;
    const isOpen = first === this.journal.start;
    const [journal, index] = isOpen
      ? [path, indexPathOf(path)]
      : [closedPathOf(path, first), closedIndexPathOf(path, first)];
    void isIndexSound(index, isOpen).then((isSound) => {
      if (isSound) {
        const what = `${journal} has pages that cannot be read; the records in them are named as gaps`;
        this.options.onProblem(what, error);
        return;
      }
      this.options.onProblem(`${index} is damaged or missing; records are found without it`, error);
      // That of the open file is made anew; it is handled like one that was removed.
      if (isOpen) this.condemned = index;
      else void this.doWithoutIndex(first);
    });
  }

  /** Sets the index of a closed file aside: its records are found by reading them. */
  private async doWithoutIndex(first: number): Promise<void> {
    await this.readers.pause(first);
    try {
      const index = closedIndexPathOf(this.options.path, first);
      if (existsSync(index)) setFilesAside(index);
      this.closedUnits = this.closedUnits.map((unit) => (unit.first === first ? { ...unit, indexedTo: 0 } : unit));
    } finally {
      this.readers.resume(first);
    }
  }

  /** What is wrong with the files, for people; undefined when nothing is known to be. */
  get problem(): string | undefined {
    const { path } = this.options;
    const problems = [
      ...[...this.absent].map((first) => `${closedPathOf(path, first)} is not there`),
      ...[...this.damaged].map((first) => {
        const file = first === this.journal.start ? path : closedPathOf(path, first);
        return `${file} or its index is damaged`;
      }),
    ];
    return problems.length === 0 ? undefined : problems.join('; ');
  }

  private async gapsOfOpen(): Promise<StoredGap[]> {
    try {
      return (await this.read(this.journal.start, readOpenGaps)) ?? [];
    } catch (error) {
      if (isDamaged(error)) return [];
      throw error;
    }
  }

  private holds(first: number): boolean {
    return first === this.journal.start || this.closedUnits.some((unit) => unit.first === first);
  }

  private async openReader(first: number): Promise<SqliteConnection> {
    const { path } = this.options;
    if (first === this.journal.start) {
      // SQLite would put the vanished file's WAL and the file that lies there now together, and spoil both.
      const vanished = this.vanished();
      if (vanished !== undefined) throw new Error(vanished);
      return openReader(indexPathOf(path), path);
    }
    const connection = await openClosedReader(path, first).catch((error: unknown) => {
      if (!isDamaged(error)) throw error;
      // If it is the index that cannot be opened, the records are all there.
      this.noteDamage(first, error);
      return openClosedReader(path, first, false);
    });
    if (await isOfJournal(connection, this.name)) {
      this.foreign.delete(first);
      return connection;
    }
    this.foreign.add(first);
    await connection.close();
    throw new Error(`${closedPathOf(path, first)} is not of this decision log`);
  }

  private openFiles(): [OpenDatabase, OpenDatabase] {
    const { path } = this.options;
    return [new OpenDatabase(path), new OpenDatabase(indexPathOf(path))];
  }

  private noteDay(): void {
    const { journal } = this.openUnit;
    this.day = journal.isEmpty ? undefined : utcDayOf(journal.end.newest);
  }
}

/** False for another database that lies at the place of a file; one that is damaged is taken for what it was. */
async function isOfJournal(connection: SqliteConnection, name: string): Promise<boolean> {
  try {
    const [format] = await connection.query<{ user_version: number }>('PRAGMA journal.user_version');
    const beginning = await readBeginning(connection, format?.user_version === 2 ? 2 : 1, 'journal');
    return beginning === undefined || beginning.name === name;
  } catch (error) {
    return !/no such table/.test(String(error));
  }
}

/** All records of a closed file that is not there. */
function gapOf({ first, last, extent: { since, until } }: ClosedUnit): StoredGap {
  return { after: first - 1, lost: last - first + 1, since, until, cause: 'file_missing' };
}

async function isIndexSound(path: string, isOpen: boolean): Promise<boolean> {
  if (!existsSync(path)) return false;
  try {
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000, ...(!isOpen && { immutable: true }) });
    try {
      const [found] = await connection.query<{ quick_check: string }>('PRAGMA quick_check(1)');
      return found?.quick_check === 'ok';
    } finally {
      await connection.close();
    }
  } catch (error) {
    return !isDamaged(error);
  }
}

function readOpenGaps(connection: SqliteConnection): Promise<StoredGap[]> {
  return connection.query('SELECT after, lost, since, until, cause FROM journal.gap ORDER BY after DESC, id DESC');
}
