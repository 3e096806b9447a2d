import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { type CheckpointRange, headAgeMs, type ProvedGroup, type StoredProofs } from '../proof/decision-proofs.js';
import { type CertifiedKey, mergedKeys } from '../proof/log-keys.js';
import type { StoredTree } from '../proof/merkle-tree.js';
import type { ProvenRecords } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { utcDayOf } from '../utc-day.js';
import { dayName } from './day-partitions.js';
import { inSnapshot } from './log-snapshot.js';
import { type CodedText, indexKeyColumns, SharedKeys } from './shared-keys.js';
import { groupsOfRow, type ProofColumns, SharedTree, writerOfTree } from './shared-tree.js';
import { readSharedLog } from './verify-shared.js';

/** Most records of a row (shared-row.ts), about; one group has no more. */
const mostRecords = 256;

interface RowWithProof extends CodedText, Omit<ProofColumns, 'entry' | 'salts' | 'first'> {
  readonly tree: string | null;
  readonly entry: number | null;
}

/** What the shared log has to prove itself with, of all writers. */
export class SharedProofs implements StoredProofs {
  /**
   * @param readable reads from tables that are there, and says what PostgreSQL cannot do in the log's own words
   * @param ownKeys the keys of this replica, which may not have shipped a checkpoint yet
   * @param keysOfTexts what decrypts salts
   */
  constructor(
    private readonly database: PostgresDatabase,
    private readonly readable: <T>(read: () => Promise<T>) => Promise<T>,
    private readonly ownKeys: () => Promise<readonly CertifiedKey[]>,
    private readonly keysOfTexts?: SharedKeys,
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
      inSnapshot({ database: this.database }, async (transaction) => {
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
      inSnapshot({ database, keys: this.keysOfTexts }, async (transaction) => {
        const found = await transaction.client.query<RowWithProof>(
          `SELECT g.writer, g.first, g.count, g.entry, g.nodes, g.leaves, g.salts, '' AS records, g.sealed, g.data_key,
         (SELECT t.tree FROM ${database.table('decision_tree')} t
          WHERE t.writer = g.writer AND t.first <= g.first ORDER BY t.first DESC LIMIT 1) AS tree
       FROM ${database.table('decision_group')} g JOIN ${database.table('decision_writer')} w ON w.writer = g.writer
       WHERE g.day BETWEEN $1::date AND $2::date AND w.id_writer = $3 AND g.first <= $4::int8
         AND g.first > $4::int8 - ${mostRecords} AND g.first + g.count > $4::int8`,
          [dayName(day - 1), dayName(day + 1), record.writer, sequence],
        );
        return transaction.keys.decoded(transaction, found);
      }),
    );
    if (rows.length === 0) return 'pending';
    const row = rows.find(({ entry, tree }) => entry !== null && tree !== null);
    if (row === undefined) return undefined;
    const group = groupsOfRow({ ...row, entry: row.entry! }).find(
      ({ first, count }) => sequence >= first && sequence < first + count,
    );
    if (row.isUndecryptable) throw new Error(`the record ${sequence} cannot be decrypted: it was changed`);
    return group && { ...group, tree: row.tree!, salts: group.salts! };
  }

  async records(): Promise<ProvenRecords> {
    const { database } = this;
    return {
      keys: mergedKeys(await this.storedKeys()),
      locked: await this.missingKey(),
      ...(await this.lostKey()),
      read: (sink, options) => readSharedLog(database, sink, options, this.keysOfTexts),
    };
  }

  async keys(): Promise<readonly CertifiedKey[]> {
    return mergedKeys([...(await this.storedKeys()), ...(await this.ownKeys())]);
  }

  private async missingKey(): Promise<MissingEncryptionKey | undefined> {
    const { database } = this;
    // An earlier release made the tables where it is not there.
    if (!(await database.hasTable('decision_data_key'))) return undefined;
    const table = (name: string) => database.table(name);
    return (this.keysOfTexts ?? SharedKeys.none).missing({ client: database, table });
  }

  /** The key that masks what finds and counts the records. Nobody makes another one, since the records have what it made of them. */
  private async lostKey(): Promise<Pick<ProvenRecords, 'lost'>> {
    const { database } = this;
    if (!(await database.hasTable('decision_data_key'))) return {};
    const [row] = await database.query<{ wrapped: Buffer | null; is_encrypted: boolean }>(
      `SELECT ${indexKeyColumns((name) => database.table(name))}`,
    );
    if (row!.wrapped !== null || !row!.is_encrypted) return {};
    return { lost: { place: 'decision_data_key', what: 'the key that finds the records is not there' } };
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
