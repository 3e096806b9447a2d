import { statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { OpenDatabase } from '../../database/sqlite/open-database.js';
import { isDamaged, isWithoutIndex, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import type { GroupCoding } from '../group-coding.js';
import type { Hold } from '../holds/hold.js';
import { type GapCause, gapsWithin, type StoredGap } from '../log-gap.js';
import type { LogKeys } from '../proof/log-keys.js';
import { keyBytes } from '../record-keys.js';
import type { Catalog, ClosedUnit } from './catalog.js';
import { ClosedCheck } from './closed-check.js';
import { ClosedFiles } from './closed-files.js';
import { openClosedReader } from './closed-unit.js';
import { FileCodings } from './file-coding.js';
import { FileFaults } from './file-faults.js';
import type { Group } from './group-commit.js';
import { HeldRecords } from './held-records.js';
import { type Committed, Journal, type JournalEnd, newTree } from './journal.js';
import { type Beginning, readBeginning, readGaps, type TreeEnd } from './journal-format.js';
import { recoverFiles } from './journal-recovery.js';
import { KeyIndex, openReader } from './key-index.js';
import { closedIndexPathOf, closedPathOf, indexPathOf, removeIndex, renameDurably } from './log-files.js';
import { type LogView, type UnitView, type UnitWork, viewOfClosed } from './log-view.js';
import { OpenFileGrowth } from './open-file-growth.js';
import { type OpenUnit, type Rescue, rescueUnit } from './rescue-unit.js';
import type { TurnLimits } from './turn-limits.js';
import { UnitReaders } from './unit-readers.js';
import { WalBound } from './wal-bound.js';

/** How long a start waits until a file that is not encrypted can be closed. */
const encryptedPatienceMs = 10_000;
const encryptedPauseMs = 50;

export interface JournalFilesOptions {
  /** The open file: `data/verdict.decisions.sqlite`. */
  readonly path: string;
  readonly durability: 'NORMAL' | 'FULL';
  readonly limits: TurnLimits;
  /** They sign checkpoints; without them none are made. */
  readonly keys?: (() => LogKeys | undefined) | undefined;
  /** With keys each file that is begun is encrypted, and those that are encrypted can be read. */
  readonly encryption?: EncryptionKeys | undefined;
  /** True if the journal is shipped elsewhere, where its records are asked for: then it has no key index and no counts here. */
  readonly isShipped?: boolean | undefined;
  /** Milliseconds between two checks of a closed file (a day). */
  readonly checkEveryMs?: number | undefined;
  /** Called with faults of the files. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/**
 * The journal as a row of files. Records are committed into the open one. Now and then it is closed: it gets a name of
 * its own, never changes again, and the next one goes on with the next sequence. A file and the key index beside it are
 * a *unit*, known by its first sequence; what each holds stands in the catalog.
 *
 * Closing is a row of steps, any of which may be the last before a crash; `recoverFiles` goes on from there:
 *
 * 1. the index is brought up to the last record; both files are written back from their WAL and leave WAL mode; an index
 *    that was not brought up, since the journal is shipped, is removed;
 * 2. the catalog notes which file is open; the first turn of all makes it;
 * 3. the journal's file gets its new name, then the index;
 * 4. the next file is made, and says where it goes on;
 * 5. the catalog notes the closed file, then that the next one is open.
 *
 * Commits wait during these steps, and reads of the open file; that is some tens of milliseconds.
 */
export class JournalFiles {
  private openUnit: OpenUnit;
  private readonly closedFiles: ClosedFiles;
  private readonly faults: FileFaults;
  private readonly closedCheck: ClosedCheck;
  private readonly heldRecords = new HeldRecords((first, work) => this.read(first, work));
  private readonly readers: UnitReaders;
  private readonly codings: FileCodings;
  /** Those of closed files that were read, by their first sequences. */
  private readonly knownCodings = new Map<number, GroupCoding>();
  private returned = false;
  /** The files of the open unit. */
  private files: readonly [journal: OpenDatabase, index: OpenDatabase];
  /** While a turn goes on: what it must not meet waits for it. */
  private turning: Promise<unknown> | undefined;
  private committing: Promise<unknown> | undefined;
  private hasFailed = false;
  private walBound: WalBound;
  private readonly growth: OpenFileGrowth;

  private constructor(
    private readonly options: JournalFilesOptions,
    catalog: Catalog | undefined,
    open: OpenUnit,
    closed: readonly ClosedUnit[],
    /** Files that were there once and are gone, by their names; undefined when none is. */
    readonly missing: string | undefined,
    /** What the open file had lost when it was opened, for people. */
    readonly damage: string | undefined,
  ) {
    this.openUnit = open;
    this.readers = new UnitReaders((first) => this.openReader(first));
    const { path, encryption, onProblem } = options;
    this.codings = new FileCodings(encryption);
    this.closedFiles = new ClosedFiles({ path, readers: this.readers, encryption, onProblem }, catalog, closed);
    this.faults = new FileFaults({
      path,
      openStart: () => this.journal.start,
      doWithoutIndex: (first) => this.closedFiles.doWithoutIndex(first),
      onProblem,
    });
    this.closedCheck = new ClosedCheck({
      everyMs: options.checkEveryMs,
      units: () => this.closed,
      forget: async (first) => {
        await this.readers.pause(first);
        this.readers.resume(first);
      },
      read: (first, work) => this.read(first, work),
      damaged: (first, error) => this.faults.noteDamage(first, error),
      sound: (first) => this.faults.noteSound(first),
    });
    this.files = this.openFiles();
    this.growth = new OpenFileGrowth(options.limits, open.journal);
    const wal = statSync(`${options.path}-wal`, { throwIfNoEntry: false });
    this.walBound = new WalBound(options.limits.walBytes, wal?.size ?? 0);
  }

  /**
   * Opens the files, makes those that are not there, and finishes what a crash interrupted. `cause`: why the open file
   * is not there, if it is not.
   */
  static async open(options: JournalFilesOptions, cause: GapCause = 'file_missing'): Promise<JournalFiles> {
    const { path } = options;
    const { journal, catalog, closed, hasReturned, missing, damage } = await recoverFiles({ ...options, cause });
    try {
      const index = await KeyIndex.open(
        indexPathOf(path),
        path,
        journal.writer,
        journal.end.sequence,
        journal.coding,
        options.onProblem,
      );
      const files = new JournalFiles(options, catalog, { journal, index }, closed, missing, damage);
      files.returned = hasReturned;
      await files.measure();
      if (options.encryption !== undefined && !journal.isEncrypted) await files.beginEncrypted();
      return files;
    } catch (error) {
      await journal.close();
      await catalog?.close();
      throw error;
    }
  }

  /** Whether a closed file was found that nobody knew of: nobody can say whether it was there when persons were erased. */
  get hasReturned(): boolean {
    return this.returned;
  }

  /** All erasures are to be carried out again, as was noted where they are. */
  async forgetReturned(): Promise<void> {
    await this.closedFiles.forgetReturned();
    this.returned = false;
  }

  /** Closes the open file, which was begun in clear, so that what comes is encrypted. */
  private async beginEncrypted(): Promise<void> {
    const until = performance.now() + encryptedPatienceMs;
    // A command may have the file open for a statement or two.
    while (!(await this.turn())) {
      if (performance.now() > until)
        throw new Error(
          `${this.options.path} is not encrypted, and cannot be closed while another process has it open`,
        );
      await delay(encryptedPauseMs);
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
    return this.closedFiles.units;
  }

  /** Number of times that a file was opened for reading. */
  get opened(): number {
    return this.readers.opened;
  }

  /** The WAL of the open file. */
  get wal(): WalBound {
    return this.walBound;
  }

  /** Commits the group into the open file; returns where the journal ends then, and the group as it is shipped, if it is. */
  async commit(group: Group): Promise<JournalEnd & Pick<Committed, 'shipped'>> {
    while (this.turning !== undefined) await this.turning;
    const { journal, index } = this.openUnit;
    const committed = journal.commit(group);
    this.committing = committed.catch(() => undefined);
    const { bytes, shipped } = await committed;
    const { end } = journal;
    // The group is committed, whatever becomes of the rest: it may not be committed again.
    if (!this.options.isShipped) index.noteCommit(end.sequence, group.tally);
    const written = bytes + group.keys.size * keyBytes;
    this.growth.committed(written, group.until);
    this.walBound.grew(written);
    // A failure changes nothing but the time that a look-up takes; the next commit tries again.
    await journal.writeSpan().catch(() => undefined);
    return { ...end, shipped };
  }

  /** True if the open file should be closed before this group is committed. */
  isDue({ until }: Pick<Group, 'until'>): boolean {
    return this.journal.hasLostTree || this.growth.isDue(this.journal, until);
  }

  /** Measures the open file. */
  async measure(): Promise<void> {
    this.growth.measured(await this.journal.size());
  }

  /** True if a turn failed halfway. Then the files must be opened again. */
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
      // Until the index was closed nothing was changed: a WAL that is not there vanished, and has to be noticed.
      if (this.hasFailed) for (const file of this.files) file.noteWal();
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
    const { condemnedIndex } = this.faults;
    return condemnedIndex === undefined ? undefined : `${condemnedIndex} is damaged or incomplete`;
  }

  /**
   * Brings back what of the open unit vanished, through the connections that still have it: all that was committed is
   * there again at its place, and what lay there meanwhile has another name. An index that is gone is made anew. Closes
   * the files, which then have to be opened again. If it fails, the journal stays open, and this can be tried again.
   */
  async rescue(): Promise<Rescue> {
    let finish!: () => void;
    this.turning = new Promise<void>((resolve) => {
      finish = resolve;
    });
    try {
      await this.committing;
      const isIndexGone = this.files[1].vanished() !== undefined || this.faults.condemnedIndex !== undefined;
      await this.readers.close();
      const rescued = await rescueUnit(this.openUnit, this.files, isIndexGone);
      await this.closedFiles.close();
      return rescued;
    } finally {
      this.turning = undefined;
      finish();
    }
  }

  private async takeTurn(): Promise<boolean> {
    const { path, durability, isShipped = false, keys, encryption } = this.options;
    await this.committing;
    // A file that vanished must not be closed, nor may what lies in its place get its name.
    if (this.files.some((file) => file.vanished() !== undefined)) return false;
    const { journal, index } = this.openUnit;
    const { start, end } = journal;
    await this.readers.pause(start);
    while (!isShipped && (await index.catchUpStep(end.sequence)));
    // The newest checkpoint would be in a file without a record otherwise, and nobody looks at that. And a file that a hold keeps
    // alone proves itself: the newest checkpoint of later files needs entries that are gone.
    await journal.checkpoint(Date.now());
    if (!(await index.leaveWal())) return false;
    // From here on, until the files are open again, a failure leaves them closed.
    this.hasFailed = true;
    await index.close();
    if (!(await journal.leaveWal())) return this.goOn(journal);
    const gaps = await journal.gaps();
    const signingKeys = await journal.signingKeys();
    if (this.files.some((file) => file.vanished() === 'database')) return this.goOn(journal);
    await journal.close();
    await this.closedFiles.noteOpen(journal.beginning);
    if (isShipped) removeIndex(path);
    renameDurably(path, closedPathOf(path, start));
    if (!isShipped) renameDurably(indexPathOf(path), closedIndexPathOf(path, start));
    const { name, writer } = journal.beginning;
    const tree = journal.treeEnd ?? newTree();
    const { indexKey } = journal;
    const beginning: Beginning = { name, writer, start: end.sequence + 1, floor: end.idUntil, tree, indexKey };
    const next = await Journal.open(path, durability, () => beginning, isShipped, keys?.(), encryption);
    await next.keepKeys(signingKeys);
    const unit: ClosedUnit = {
      name,
      first: start,
      last: end.sequence,
      format: journal.format,
      extent: journal.extent,
      indexedTo: isShipped ? 0 : end.sequence,
      gaps,
    };
    await this.closedFiles.add(unit);
    await this.closedFiles.noteOpen(beginning);
    this.openUnit = {
      journal: next,
      index: await KeyIndex.open(indexPathOf(path), path, writer, next.end.sequence, next.coding),
    };
    this.files = this.openFiles();
    this.growth.begun();
    this.walBound = new WalBound(this.options.limits.walBytes, 0);
    this.hasFailed = false;
    return true;
  }

  /** Goes on with the open file, of which the index was closed already. */
  private async goOn(journal: Journal): Promise<false> {
    const { path } = this.options;
    this.openUnit = {
      journal,
      index: await KeyIndex.open(indexPathOf(path), path, journal.writer, journal.end.sequence, journal.coding),
    };
    this.files[1].noteWal();
    this.hasFailed = false;
    return false;
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
      units: [...(journal.isEmpty ? [] : [open]), ...this.closed.map(viewOfClosed).reverse()],
      read: (unit, work) => this.read(unit.first, work),
      without: (keys) => this.without(keys),
      gaps: async (range) => gapsWithin(await this.storedGaps(), range),
      storedGaps: () => this.storedGaps(),
    };
  }

  /** Newest first. */
  private async storedGaps(): Promise<StoredGap[]> {
    const newest = await this.gapsOfOpen();
    const older = this.closed.toReversed().flatMap((unit) => {
      return this.faults.isAbsent(unit.first) ? [gapOf(unit), ...unit.gaps] : unit.gaps;
    });
    return [...newest, ...older];
  }

  /** Does some of what closed files still lack: an index, then a key filter; says whether there may be more to do. */
  async closedStep(): Promise<boolean> {
    return (await this.closedFiles.mendStep()) || this.closedFiles.filterStep((first, work) => this.read(first, work));
  }

  /** Reads on in the check of the closed files, if one is due at `now` (monotonic clock, ms); says whether it was. */
  checkStep(now: number): Promise<boolean> {
    return this.closedCheck.step(now);
  }

  /** Removes the closed files that `keeps` says no to: the journal with its index, whole. */
  async remove(keeps: (unit: ClosedUnit) => boolean): Promise<void> {
    if (this.closed.every(keeps)) return;
    const next = this.closed[this.closed.findLastIndex((unit) => !keeps(unit)) + 1];
    const tree = next === undefined ? this.journal.beginning.tree : await this.treeOf(next);
    // Where that cannot be read, there is no anchor: what is missing then is missing.
    if (tree !== undefined) await this.journal.anchor(tree, (next?.first ?? this.journal.start) - 1);
    await this.closedFiles.remove(keeps);
  }

  /** Puts a file from which records were erased in the place of a closed one, with its index, if it has one (`ClosedFiles.replace`). */
  replaceClosed(first: number, journal: string, index: string | undefined): Promise<boolean> {
    return this.closedFiles.replace(first, journal, index);
  }

  /** Whether one of the holds keeps a record of a closed file. */
  async isHeld(unit: ClosedUnit, holds: readonly Hold[]): Promise<boolean> {
    return (await this.heldRecords.firstIn(unit, holds)) !== undefined;
  }

  /** Of the open file, the first sequence of the oldest group below `below` with a record that one of the holds keeps. */
  firstHeld(holds: readonly Hold[], below: number): Promise<number | undefined> {
    const { start: first, format, extent } = this.journal;
    return this.heldRecords.firstIn({ first, format, extent }, holds, below);
  }

  /** Forgets what was found of holds that are not in force any more. */
  forgetHolds(inForce: readonly Hold[]): void {
    const files = this.closed.map(({ first }) => first);
    this.heldRecords.keepOnly(inForce, files);
  }

  /** How the tree begins in a closed file; undefined in one without proof, or that cannot be read. */
  private async treeOf({ first, format }: ClosedUnit): Promise<TreeEnd | undefined> {
    try {
      return (await this.read(first, (connection) => readBeginning(connection, format, 'journal')))?.tree;
    } catch (error) {
      if (isDamaged(error)) return undefined;
      throw error;
    }
  }

  /** Commits a checkpoint of all that is committed, at `time` (milliseconds since 1970), if there is a key. */
  async checkpoint(time: number): Promise<string | undefined> {
    while (this.turning !== undefined) await this.turning;
    const note = this.journal.checkpoint(time);
    this.committing = Promise.all([this.committing, note]).catch(() => undefined);
    return note;
  }

  /** Describes the faults of the files for people; undefined if none are known. */
  get problem(): string | undefined {
    return this.faults.problem;
  }

  async close(): Promise<void> {
    await this.readers.close();
    await this.index.close();
    await this.journal.close();
    await this.closedFiles.close();
  }

  private async read<T>(first: number, work: UnitWork<T>): Promise<T | undefined> {
    while (this.turning !== undefined) await this.turning;
    if (!this.holds(first)) return undefined;
    try {
      return await this.readers.use(first, async (connection) =>
        work(connection, await this.codingOf(first, connection)),
      );
    } catch (error) {
      if (!this.holds(first)) return undefined;
      if (this.faults.isAbsent(first)) return undefined;
      if (isDamaged(error) || isWithoutIndex(error)) this.faults.noteDamage(first, error);
      throw error;
    }
  }

  private codingOf(first: number, connection: SqliteConnection): Promise<GroupCoding> | GroupCoding {
    if (first === this.journal.start) return this.journal.coding;
    const isEncrypted = this.closedFiles.isEncrypted(first);
    const coding = this.codings.of(connection, isEncrypted, closedPathOf(this.options.path, first));
    if (!(coding instanceof Promise)) return coding;
    return coding.then((found) => {
      this.knownCodings.set(first, found);
      return found;
    });
  }

  /** The closed files that are known not to have all of the keys; of one whose own keys nobody has read yet nothing is said. */
  private async without(keys: readonly Buffer[]): Promise<ReadonlySet<number>> {
    const plain = await this.closedFiles.without(keys);
    const codings = [...this.knownCodings].filter(([first, coding]) => !coding.isPlain && this.holds(first));
    const without = new Set([...plain].filter((first) => !this.closedFiles.isEncrypted(first)));
    const found = new Map<string | undefined, ReadonlySet<number>>();
    for (const [first, coding] of codings) {
      const { keyedBy } = coding;
      if (!found.has(keyedBy))
        found.set(keyedBy, await this.closedFiles.without(keys.map((key) => coding.maskKeys(key))));
      if (found.get(keyedBy)!.has(first)) without.add(first);
    }
    return without;
  }

  private async gapsOfOpen(): Promise<StoredGap[]> {
    try {
      // With their places in the tree: a log that is shipped proves them elsewhere.
      return (await this.read(this.journal.start, (connection) => readGaps(connection, 'journal'))) ?? [];
    } catch (error) {
      if (isDamaged(error)) return [];
      throw error;
    }
  }

  private holds(first: number): boolean {
    return first === this.journal.start || this.closedFiles.holds(first);
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
      this.faults.noteDamage(first, error);
      return openClosedReader(path, first, false);
    });
    if (await this.faults.isOurs(first, connection, this.name)) return connection;
    await connection.close();
    throw new Error(`${closedPathOf(path, first)} is not of this decision log`);
  }

  private openFiles(): [OpenDatabase, OpenDatabase] {
    const { path } = this.options;
    return [new OpenDatabase(path), new OpenDatabase(indexPathOf(path))];
  }
}

/** All records of a closed file that is not there. */
function gapOf({ first, last, extent: { since, until } }: ClosedUnit): StoredGap {
  return { after: first - 1, lost: last - first + 1, since, until, cause: 'file_missing' };
}
