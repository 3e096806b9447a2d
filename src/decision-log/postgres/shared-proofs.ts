import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { type CheckpointRange, headAgeMs, type ProvedGroup, type StoredProofs } from '../proof/decision-proofs.js';
import { type CertifiedKey, mergedKeys } from '../proof/log-keys.js';
import type { StoredTree } from '../proof/merkle-tree.js';
import type { ProvenRecords } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { utcDayOf } from '../utc-day.js';
import { dayName } from './day-partitions.js';
import { inSnapshot } from './log-snapshot.js';
import { groupsOfRow, type ProofColumns, SharedTree, writerOfTree } from './shared-tree.js';
import { readSharedLog } from './verify-shared.js';

/** Most records of a row (shared-row.ts), about; one group has no more. */
const mostRecords = 256;

/** What the shared log has to prove itself with, of all writers. */
export class SharedProofs implements StoredProofs {
  /**
   * @param readable reads from tables that are there, and says what PostgreSQL cannot do in the log's own words
   * @param ownKeys the keys of this replica, which may not have shipped a checkpoint yet
   */
  constructor(
    private readonly database: PostgresDatabase,
    private readonly readable: <T>(read: () => Promise<T>) => Promise<T>,
    private readonly ownKeys: () => Promise<readonly CertifiedKey[]>,
  ) {}

  checkpoints({ tree, before, limit }: CheckpointRange): Promise<readonly StoredCheckpoint[]> {
    return this.readable(() =>
      this.database.query<StoredCheckpoint>(
        `SELECT tree, entries, sequence, time, note FROM ${this.database.table('decision_checkpoint')}
         WHERE time < $1::int8 AND ($2::text IS NULL OR tree = $2) ORDER BY time DESC, entries DESC LIMIT $3`,
        [before, tree ?? null, limit],
      ),
    );
  }

  heads(): Promise<readonly StoredCheckpoint[]> {
    return this.readable(() =>
      this.database.query<StoredCheckpoint>(
        `SELECT DISTINCT ON (tree) tree, entries, sequence, time, note FROM ${this.database.table('decision_checkpoint')}
         WHERE time > $1::int8 ORDER BY tree, writer DESC, entries DESC, time DESC`,
        [Date.now() - headAgeMs],
      ),
    );
  }

  inTree<T>(name: string, work: (tree: StoredTree | undefined) => Promise<T>): Promise<T> {
    return this.readable(() =>
      inSnapshot(this.database, async (transaction) => {
        const writer = await writerOfTree(transaction.client, transaction.table, name);
        return work(writer === undefined ? undefined : await SharedTree.open(transaction, name, writer));
      }),
    );
  }

  async groupOf(record: {
    readonly writer: number;
    readonly sequence: number;
    readonly time: string;
  }): Promise<ProvedGroup | 'pending' | undefined> {
    const { database } = this;
    const { sequence } = record;
    const day = utcDayOf(Date.parse(record.time));
    // A record of a group that spans midnight is in the row of the next day.
    const rows = await this.readable(() =>
      database.query<ProofColumns & { tree: string | null; entry: number | null }>(
        `SELECT g.first, g.entry, g.nodes, g.leaves, g.salts,
         (SELECT t.tree FROM ${database.table('decision_tree')} t
          WHERE t.writer = g.writer AND t.first <= g.first ORDER BY t.first DESC LIMIT 1) AS tree
       FROM ${database.table('decision_group')} g JOIN ${database.table('decision_writer')} w ON w.writer = g.writer
       WHERE g.day BETWEEN $1::date AND $2::date AND w.id_writer = $3 AND g.first <= $4::int8
         AND g.first > $4::int8 - ${mostRecords} AND g.first + g.count > $4::int8`,
        [dayName(day - 1), dayName(day + 1), record.writer, sequence],
      ),
    );
    if (rows.length === 0) return 'pending';
    const row = rows.find(({ entry, tree }) => entry !== null && tree !== null);
    if (row === undefined) return undefined;
    const group = groupsOfRow(row).find(({ first, count }) => sequence >= first && sequence < first + count);
    return group && { ...group, tree: row.tree!, salts: group.salts! };
  }

  async records(): Promise<ProvenRecords> {
    return {
      keys: mergedKeys(await this.storedKeys()),
      locked: undefined,
      read: (sink, options) => readSharedLog(this.database, sink, options),
    };
  }

  async keys(): Promise<readonly CertifiedKey[]> {
    return mergedKeys([...(await this.storedKeys()), ...(await this.ownKeys())]);
  }

  private async storedKeys(): Promise<readonly CertifiedKey[]> {
    const rows = await this.readable(() =>
      this.database.query<{ key: string; certificates: string }>(
        `SELECT key, certificates FROM ${this.database.table('decision_key')} ORDER BY noted, key`,
      ),
    );
    return rows.map(({ key, certificates }) => ({ key, certificates: JSON.parse(certificates) as string[] }));
  }
}
