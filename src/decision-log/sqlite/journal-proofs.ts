import type { CheckpointRange, ProvedGroup, StoredProofs } from '../proof/decision-proofs.js';
import { type CertifiedKey, mergedKeys } from '../proof/log-keys.js';
import type { StoredTree } from '../proof/merkle-tree.js';
import type { ProvenRecords } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { isProven } from './journal-format.js';
import { JournalFilesTree, provableEntries, readCheckpoints, readSigningKeys } from './journal-trees.js';
import type { LogView } from './log-view.js';
import { provenJournal } from './verify-journal.js';

/** What the files of a journal have to prove it with. */
export class JournalProofs implements StoredProofs {
  /**
   * @param path of the file that is open
   * @param own the keys of this process, which are in no file before its first record
   */
  constructor(
    private readonly path: string,
    private readonly view: () => Promise<LogView>,
    private readonly own: () => readonly CertifiedKey[],
  ) {}

  async checkpoints(range: CheckpointRange): Promise<readonly StoredCheckpoint[]> {
    return readCheckpoints(await this.view(), range);
  }

  /** Of one journal there is one. */
  heads(): Promise<readonly StoredCheckpoint[]> {
    return this.checkpoints({ before: Number.MAX_SAFE_INTEGER, limit: 1 });
  }

  async inTree<T>(name: string, work: (tree: StoredTree | undefined) => Promise<T>, entry?: number): Promise<T> {
    return work(await JournalFilesTree.open(await this.view(), name, entry));
  }

  async groupOf({ sequence }: { readonly sequence: number }): Promise<ProvedGroup | undefined> {
    const view = await this.view();
    const unit = view.units.find(({ first, last }) => sequence >= first && sequence <= last);
    if (unit === undefined || !isProven(unit.format)) return undefined;
    const provable = await provableEntries(view, sequence);
    return view.read(unit, async (connection, coding) => {
      const [row] = await connection.query<
        ProvedGroup & { readonly entry: number | null; readonly records: string | Buffer }
      >(
        `SELECT (SELECT tree FROM journal.log) AS tree, entry, first, count, leaves, salts,
           ${coding.isPlain ? `''` : 'records'} AS records
         FROM journal.journal WHERE first <= ? ORDER BY first DESC LIMIT 1`,
        [sequence],
      );
      if (row === undefined || row.entry === null || sequence >= row.first + row.count) return undefined;
      const { records, ...group } = row;
      const { salts } = coding.decode(row);
      return salts === null ? undefined : { ...group, salts, provable };
    });
  }

  records(): Promise<ProvenRecords> {
    return provenJournal(this.view, this.path);
  }

  async keys(): Promise<readonly CertifiedKey[]> {
    return mergedKeys([...this.own(), ...(await readSigningKeys(await this.view()))]);
  }
}
