import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import type { ClosedUnit } from './catalog.js';
import { openClosedReader } from './closed-unit.js';
import { codingOf } from './file-coding.js';
import { KeyIndex } from './key-index.js';
import { closedIndexPathOf, closedPathOf, draftOf, renameDurably } from './log-files.js';

/**
 * The index of a closed file that has none, while it is built. It has another name until it is whole, since readers take
 * the index of a closed file for one that does not change; what a stop or a crash leaves is gone on with.
 */
export class ClosedIndex {
  private constructor(
    private readonly index: KeyIndex,
    private readonly path: string,
    private readonly unit: ClosedUnit,
  ) {}

  /** `path` is that of the open file. */
  static async open(path: string, unit: ClosedUnit, encryption?: EncryptionKeys): Promise<ClosedIndex> {
    const reader = await openClosedReader(path, unit.first);
    const [[log], coding] = await Promise.all([
      reader.query<{ writer: number }>('SELECT writer FROM journal.log'),
      codingOf(reader, encryption, 'journal', closedPathOf(path, unit.first)),
    ]).finally(() => reader.close());
    const draft = draftOf(closedIndexPathOf(path, unit.first));
    const index = await KeyIndex.open(draft, closedPathOf(path, unit.first), log!.writer, unit.last, coding);
    return new ClosedIndex(index, path, unit);
  }

  get first(): number {
    return this.unit.first;
  }

  /** Builds some of it; says whether there was anything to do. */
  async step(): Promise<boolean> {
    return (await this.index.catchUpStep(this.unit.last)) || this.index.mergeAllStep();
  }

  /** Gives it its name, once no step has anything to do; returns the last sequence that it covers. */
  async finish(): Promise<number> {
    await this.index.leaveWal();
    await this.index.close();
    const path = closedIndexPathOf(this.path, this.first);
    renameDurably(draftOf(path), path);
    // The file may end with records that were lost.
    return this.unit.last;
  }

  close(): Promise<void> {
    return this.index.close();
  }
}
