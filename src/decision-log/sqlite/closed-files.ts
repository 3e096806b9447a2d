import { existsSync } from 'node:fs';
import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import { Catalog, type ClosedUnit } from './catalog.js';
import { ClosedIndex } from './closed-index.js';
import { carryDataKeys } from './file-coding.js';
import { type Beginning, encryptedFormat } from './journal-format.js';
import { filterSteps, makeBlocks } from './key-filter.js';
import {
  catalogPathOf,
  closedIndexPathOf,
  closedPathOf,
  removeClosed,
  removeClosedIndex,
  renameDurably,
  setFilesAside,
} from './log-files.js';
import type { UnitReaders } from './unit-readers.js';

export interface ClosedFilesOptions {
  /** The open file, beside which the closed ones lie. */
  readonly path: string;
  readonly readers: UnitReaders;
  readonly encryption?: EncryptionKeys | undefined;
  /** Called with each failure. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Reads a unit through its connection; returns undefined when the unit was removed. */
type ReadUnit = <T>(first: number, work: (connection: SqliteConnection) => Promise<T>) => Promise<T | undefined>;

/**
 * The closed files of the journal, each known by its first sequence: which there are, what the catalog notes of them, and
 * what is done for them in the background: an index that is missing is built, then a key filter. Retention removes them.
 */
export class ClosedFiles {
  private list: readonly ClosedUnit[];
  /** The index that is being built, and the files for which that failed. */
  private mending: ClosedIndex | undefined;
  private readonly unmendable = new Set<number>();
  /** The file whose key filter is being made, and the next step of it. */
  private filtering: { readonly first: number; readonly step: number } | undefined;

  constructor(
    private readonly options: ClosedFilesOptions,
    /** Undefined until the first file is closed. */
    private catalog: Catalog | undefined,
    units: readonly ClosedUnit[],
  ) {
    this.list = units;
  }

  /** The oldest first. */
  get units(): readonly ClosedUnit[] {
    return this.list;
  }

  isEncrypted(first: number): boolean {
    return this.list.find((unit) => unit.first === first)?.format === encryptedFormat;
  }

  holds(first: number): boolean {
    return this.list.some((unit) => unit.first === first);
  }

  /** The first sequences of files that are known not to have all of the keys (record-keys.ts). */
  async without(keys: readonly Buffer[]): Promise<ReadonlySet<number>> {
    try {
      return (await this.catalog?.without(keys)) ?? new Set();
    } catch (error) {
      if (!isDamaged(error)) throw error;
      const what = `${catalogPathOf(this.options.path)} is damaged; files are opened one by one until the next start`;
      this.options.onProblem(what, error);
      return new Set();
    }
  }

  /** Notes in the catalog which file is open; the first call of all makes the catalog. */
  async noteOpen(beginning: Beginning): Promise<void> {
    this.catalog ??= await Catalog.open(catalogPathOf(this.options.path));
    await this.catalog.noteBegun(beginning);
  }

  /** Takes note of a file that was closed and has its name. */
  async add(unit: ClosedUnit): Promise<void> {
    await this.catalog?.add(unit);
    this.list = [...this.list, unit];
  }

  /** Builds some of the index of a closed file that has none; says whether there may be more to do. */
  async mendStep(): Promise<boolean> {
    const unit = this.list.findLast(({ first, last, indexedTo }) => indexedTo < last && !this.unmendable.has(first));
    if (unit === undefined) return false;
    const { path, encryption, onProblem } = this.options;
    let isPaused = false;
    try {
      if (this.mending?.first !== unit.first) {
        await this.mending?.close();
        this.mending = await ClosedIndex.open(path, unit, encryption);
      }
      if (await this.mending.step()) return true;
      isPaused = true;
      await this.options.readers.pause(unit.first);
      const mended = { ...unit, indexedTo: await this.mending.finish() };
      this.mending = undefined;
      await this.note(mended);
    } catch (error) {
      this.unmendable.add(unit.first);
      onProblem(`the index of ${closedPathOf(path, unit.first)} cannot be built; it is searched without`, error);
    } finally {
      if (isPaused) this.options.readers.resume(unit.first);
    }
    return true;
  }

  /** Makes some of the key filter of a closed file that has none; says whether there is more to do. */
  async filterStep(read: ReadUnit): Promise<boolean> {
    const { catalog } = this;
    const unit = this.list.findLast(
      ({ first, last, indexedTo }) => indexedTo >= last && catalog?.hasFilter(first) === false,
    );
    if (catalog === undefined || unit === undefined) return false;
    if (this.filtering?.first !== unit.first) this.filtering = { first: unit.first, step: 0 };
    const { first, step } = this.filtering;
    const steps = filterSteps(unit.last - first + 1);
    const blocks = await read(first, (connection) => makeBlocks(connection, step, steps));
    if (blocks !== undefined) await catalog.addBlocks(first, blocks, step === steps - 1);
    this.filtering = { first, step: step + 1 };
    return true;
  }

  /** Removes the closed files that `keeps` says no to: the journal with its index, whole. */
  async remove(keeps: (unit: ClosedUnit) => boolean): Promise<void> {
    for (const unit of this.list.filter((closed) => !keeps(closed))) {
      await this.catalog?.markRemoving(unit.first);
      this.list = this.list.filter(({ first }) => first !== unit.first);
      await this.options.readers.retire(unit.first);
      if (this.mending?.first === unit.first) {
        await this.mending.close();
        this.mending = undefined;
      }
      removeClosed(this.options.path, unit.first);
      await this.catalog?.remove(unit.first);
    }
  }

  /**
   * Puts another file in the place of a closed one: the same records, of which some were erased. With it comes its index; without one
   * it has none. Its key filter is made anew. Says whether the file was still there.
   */
  async replace(first: number, journal: string, index: string | undefined): Promise<boolean> {
    const unit = this.list.find((closed) => closed.first === first);
    if (unit === undefined) return false;
    const { path, readers } = this.options;
    await readers.pause(first);
    try {
      if (this.mending?.first === first) {
        await this.mending.close();
        this.mending = undefined;
      }
      if (this.filtering?.first === first) this.filtering = undefined;
      await this.catalog?.forgetFilter(first);
      // The index that knows what was erased goes first: what a crash leaves is found without it.
      removeClosedIndex(path, first);
      await this.note({ ...unit, indexedTo: 0 });
      const place = () => renameDurably(journal, closedPathOf(path, first));
      // They may have been wrapped anew since it was copied.
      if (unit.format === encryptedFormat && existsSync(closedPathOf(path, first)))
        await carryDataKeys(closedPathOf(path, first), journal, place);
      else place();
      if (index === undefined) return true;
      renameDurably(index, closedIndexPathOf(path, first));
      await this.note({ ...unit, indexedTo: unit.last });
      this.unmendable.delete(first);
      return true;
    } finally {
      readers.resume(first);
    }
  }

  private async note(unit: ClosedUnit): Promise<void> {
    this.list = this.list.map((closed) => (closed.first === unit.first ? unit : closed));
    await this.catalog?.add(unit);
  }

  /** Sets the index of a closed file aside: its records are found by reading them. */
  async doWithoutIndex(first: number): Promise<void> {
    await this.options.readers.pause(first);
    try {
      const index = closedIndexPathOf(this.options.path, first);
      if (existsSync(index)) setFilesAside(index);
      this.list = this.list.map((unit) => (unit.first === first ? { ...unit, indexedTo: 0 } : unit));
    } finally {
      this.options.readers.resume(first);
    }
  }

  /** Those that came back are as any other. */
  async forgetReturned(): Promise<void> {
    await this.catalog?.forgetReturned();
  }

  /** Closes the catalog and what is being built; the files themselves are read through the readers. */
  async close(): Promise<void> {
    await this.mending?.close();
    await this.catalog?.close();
  }
}
