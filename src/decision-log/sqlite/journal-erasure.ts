import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import { MissingEncryptionKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import { ErasureCounts } from '../erasure/erase-group.js';
import type { ErasingOrders, OnErased } from '../erasure/erasures.js';
import { eraseFile, type FileScan, indexErasedFile, type JournalEraser, scanFile } from './erase-file.js';
import type { JournalFiles } from './journal-files.js';
import { closedIndexPathOf, closedPathOf, removeErasureDrafts } from './log-files.js';
import type { LogUpkeep } from './log-upkeep.js';
import { type LogView, type UnitView, viewOfClosed } from './log-view.js';

export interface JournalErasureOptions {
  readonly files: () => JournalFiles | undefined;
  readonly upkeep: Pick<LogUpkeep, 'turn' | 'inTurn'>;
  /** The open file. */
  readonly path: string;
  /** False if the journal is shipped, so that its files have no index. */
  readonly isIndexed: boolean;
}

interface UnreadFile {
  /** Names the file. */
  readonly why: string;
  readonly records: number;
  /** In milliseconds since 1970. */
  readonly retryAt: number;
}

/** How far orders were carried out; each map by the first sequence of a file. */
export class ErasureProgress {
  /** Up to this sequence of the file nothing is left to do. */
  readonly done = new Map<number, number>();
  /** Closed files that could not be read. */
  readonly failed = new Map<number, UnreadFile>();
}

/** Time after which a file that could not be read is tried again, in milliseconds. */
const retryMs = 60_000;
/** Pause after a look whether the open file was closed, in milliseconds. */
const turnPauseMs = 50;

/**
 * Erases persons from the files of a journal, while decisions are recorded. Only closed files are rewritten, each as a copy that then
 * takes its place; an open file that names somebody is closed first. What it has begun when the process ends is done again by
 * the next one: the orders stand until a pass has got to its end. A closed file that cannot be read now keeps no other from being
 * erased from.
 */
export class JournalErasure {
  constructor(
    private readonly options: JournalErasureOptions,
    /** That of the same orders. */
    private readonly progress: ErasureProgress,
  ) {}

  /**
   * Erases all that is committed now. A later call looks at what came since alone.
   *
   * @param onErased hears of each file when it is done
   * @throws UnerasedFiles where closed files are not there or cannot be read, when all others are done; where something cannot
   * be written, and when `signal` ends it
   */
  async pass(eraser: JournalEraser, signal: AbortSignal, onErased?: OnErased): Promise<ErasureCounts> {
    const sum = new ErasureCounts();
    const open = this.filesNow().journal.start;
    const units = this.units();
    for (const unit of units) {
      const counts = await this.passUnit(unit, open, eraser, signal);
      sum.add(counts);
      if (!counts.isEmpty) await onErased?.(counts);
    }
    const unread = units.filter(({ first }) => this.progress.failed.has(first) && this.isClosed(first));
    if (unread.length > 0) throw new UnerasedFiles(unread.map(({ first }) => this.progress.failed.get(first)!.why));
    return sum;
  }

  /** Erases from a file; one that cannot be read now counts as unreadable until it can. */
  private async passUnit(
    unit: UnitView,
    open: number,
    eraser: JournalEraser,
    signal: AbortSignal,
  ): Promise<ErasureCounts> {
    const { first } = unit;
    const failure = this.progress.failed.get(first);
    const path = closedPathOf(this.options.path, first);
    if (failure !== undefined && (Date.now() < failure.retryAt || !existsSync(path))) return new ErasureCounts();
    let why = 'is not there';
    let retryAt = 0;
    try {
      let scan = await this.scan(unit, eraser, signal);
      if (isToBeMade(scan) && first === open) {
        await this.close(open, signal);
        scan = joinScans(scan, await this.scanFrom(unit, scan.to, eraser, signal));
      }
      const isErased = scan.isThere && (await this.erase(first, scan, eraser, signal));
      if (isErased || !this.isClosed(first)) {
        this.progress.failed.delete(first);
        const counts = new ErasureCounts();
        if (isErased) counts.add(scan.counts);
        counts.unreadable -= failure?.records ?? 0;
        return counts;
      }
    } catch (error) {
      signal.throwIfAborted();
      // The retention has removed it, with what was made of it.
      if (this.isGone(first)) {
        this.progress.failed.delete(first);
        const counts = new ErasureCounts();
        counts.unreadable -= failure?.records ?? 0;
        return counts;
      }
      const isThere = existsSync(path);
      if (!this.isClosed(first) || (isThere && !isUnreadable(error))) throw error;
      if (isThere) {
        why = `cannot be read: ${(error as Error).message}`;
        retryAt = Date.now() + retryMs;
      }
    }
    const records = failure?.records ?? unit.last - first + 1;
    this.progress.failed.set(first, { why: `${path} ${why}`, records, retryAt });
    const counts = new ErasureCounts();
    if (failure === undefined) counts.unreadable += records;
    return counts;
  }

  private isClosed(first: number): boolean {
    return this.filesNow().closed.some((closed) => closed.first === first);
  }

  private isGone(first: number): boolean {
    return !this.isClosed(first) && this.filesNow().journal.start !== first;
  }

  /** The oldest first. */
  private units(): readonly UnitView[] {
    return this.filesNow().view().units.toReversed();
  }

  private async scan(unit: UnitView, eraser: JournalEraser, signal: AbortSignal): Promise<FileScan> {
    const after = this.progress.done.get(unit.first) ?? unit.first - 1;
    if (after >= unit.last)
      return { rows: [], to: after, hasRemains: false, counts: new ErasureCounts(), isThere: true };
    const scan = await this.scanFrom(unit, after, eraser, signal);
    if (scan.isThere && !isToBeMade(scan)) this.progress.done.set(unit.first, unit.last);
    return scan;
  }

  private scanFrom(unit: UnitView, after: number, eraser: JournalEraser, signal: AbortSignal): Promise<FileScan> {
    return scanFile(unit.first, (work) => this.filesNow().view().read(unit, work), eraser, after, signal);
  }

  /** Has the open file closed and the next one begun. */
  private async close(start: number, signal: AbortSignal): Promise<void> {
    while (this.filesNow().journal.start === start) {
      await this.options.upkeep.turn();
      if (this.filesNow().journal.start === start) await delay(turnPauseMs, undefined, { signal });
    }
  }

  /** Says whether the file was still there, and not removed by the retention. */
  private async erase(first: number, scan: FileScan, eraser: JournalEraser, signal: AbortSignal): Promise<boolean> {
    if (!isToBeMade(scan)) return true;
    const unit = this.filesNow().closed.find((closed) => closed.first === first);
    if (unit === undefined) return false;
    const { path, isIndexed } = this.options;
    const closedPath = closedPathOf(path, first);
    const indexPath = closedIndexPathOf(path, first);
    try {
      const coding = await this.filesNow()
        .view()
        .read(viewOfClosed(unit), async (_, ofFile) => ofFile);
      if (coding === undefined) return false;
      const form = { format: unit.format, coding };
      const made = await eraseFile(closedPath, form, scan.rows, eraser, signal);
      const index = isIndexed ? await indexErasedFile(made, coding, indexPath, unit.last, signal) : undefined;
      signal.throwIfAborted();
      let isThere = false;
      const replace = () =>
        this.options.upkeep.inTurn(async (files) => {
          isThere = await files.replaceClosed(first, made, index);
        });
      await (eraser.place === undefined ? replace() : eraser.place(replace));
      this.progress.done.set(first, unit.last);
      return isThere;
    } finally {
      removeErasureDrafts(closedPath);
      removeErasureDrafts(indexPath);
    }
  }

  private filesNow(): JournalFiles {
    const files = this.options.files();
    if (files === undefined) throw new Error('the files of the decision log are being opened again');
    return files;
  }
}

function isToBeMade({ rows, hasRemains }: FileScan): boolean {
  return rows.length > 0 || hasRemains;
}

/** Closed files from which nobody could be erased; all others are done. */
export class UnerasedFiles extends Error {
  override readonly name = 'UnerasedFiles';

  constructor(why: readonly string[]) {
    super(why.join('; '));
  }
}

/** A damaged file, and one of which the key is not there. */
function isUnreadable(error: unknown): boolean {
  return isDamaged(error) || error instanceof MissingEncryptionKey || error instanceof WrongWrappedKey;
}

/**
 * What an erasure of all that is committed would come to. The records of files that cannot be read count as unreadable.
 *
 * @throws where no file can be read at all
 */
export async function scanView(view: LogView, orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts> {
  const sum = new ErasureCounts();
  let unread = 0;
  for (const unit of view.units) {
    try {
      const { counts } = await scanFile(unit.first, (work) => view.read(unit, work), orders, unit.first - 1, signal);
      sum.add(counts);
    } catch (error) {
      if (!isUnreadable(error) || ++unread === view.units.length) throw error;
      sum.unreadable += unit.last - unit.first + 1;
    }
  }
  return sum;
}

function joinScans(a: FileScan, b: FileScan): FileScan {
  const counts = new ErasureCounts();
  counts.add(a.counts);
  counts.add(b.counts);
  const hasRemains = a.hasRemains || b.hasRemains;
  return { rows: [...a.rows, ...b.rows], to: b.to, hasRemains, counts, isThere: b.isThere };
}
