import { setTimeout as delay } from 'node:timers/promises';
import { ErasureCounts } from '../erasure/erase-group.js';
import type { ErasingOrders } from '../erasure/erasures.js';
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

/** Pause after a look whether the open file was closed, in milliseconds. */
const turnPauseMs = 50;

/**
 * Erases persons from the files of a journal, while decisions are recorded. Only closed files are rewritten, each as a copy that then
 * takes its place; an open file that names somebody is closed first. What it has begun when the process ends is done again by
 * the next one: the orders stand until a pass has got to its end.
 */
export class JournalErasure {
  /** Up to this sequence of each file, by its first one, nothing is left to do for these orders. */
  private readonly done = new Map<number, number>();

  constructor(private readonly options: JournalErasureOptions) {}

  /**
   * Erases all that is committed now. A later call looks at what came since alone.
   *
   * @throws where a file cannot be read or written, and when `signal` ends it
   */
  async pass(eraser: JournalEraser, signal: AbortSignal): Promise<ErasureCounts> {
    const sum = new ErasureCounts();
    const open = this.filesNow().journal.start;
    for (const unit of this.units()) {
      let scan = await this.scan(unit, eraser, signal);
      if (isToBeMade(scan) && unit.first === open) {
        await this.close(open, signal);
        scan = joinScans(scan, await this.scanFrom(unit, scan.to, eraser, signal));
      }
      if (await this.erase(unit.first, scan, eraser, signal)) sum.add(scan.counts);
    }
    return sum;
  }

  /** The oldest first. */
  private units(): readonly UnitView[] {
    return this.filesNow().view().units.toReversed();
  }

  private async scan(unit: UnitView, eraser: JournalEraser, signal: AbortSignal): Promise<FileScan> {
    const after = this.done.get(unit.first) ?? unit.first - 1;
    if (after >= unit.last) return { rows: [], to: after, hasRemains: false, counts: new ErasureCounts() };
    const scan = await this.scanFrom(unit, after, eraser, signal);
    if (!isToBeMade(scan)) this.done.set(unit.first, unit.last);
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
      this.done.set(first, unit.last);
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

/** What an erasure of all that is committed would come to. */
export async function scanView(view: LogView, orders: ErasingOrders, signal: AbortSignal): Promise<ErasureCounts> {
  const sum = new ErasureCounts();
  for (const unit of view.units) {
    const { counts } = await scanFile(unit.first, (work) => view.read(unit, work), orders, unit.first - 1, signal);
    sum.add(counts);
  }
  return sum;
}

function joinScans(a: FileScan, b: FileScan): FileScan {
  const counts = new ErasureCounts();
  counts.add(a.counts);
  counts.add(b.counts);
  return { rows: [...a.rows, ...b.rows], to: b.to, hasRemains: a.hasRemains || b.hasRemains, counts };
}
