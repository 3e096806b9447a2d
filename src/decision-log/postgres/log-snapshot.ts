import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { KeyedIndex } from '../keyed-index.js';
import { incompleteOf, type LogWriter } from '../log-writers.js';
import type { LogTransaction } from './row-walk.js';
import { indexKeyColumns, SharedKeys } from './shared-keys.js';
import { readWriters } from './writers.js';

/** The state of the shared log, of the moment at which its transaction began. Times in milliseconds since 1970. */
export interface LogSnapshot {
  /** The log's own name. */
  readonly name: string;
  /** Nothing before this time will be shipped any more; undefined while there is no writer. */
  readonly completeTo: number | undefined;
  /** Key pages cover every row that ends before this; undefined: all rows. */
  readonly unindexedSince: number | undefined;
  /** The highest sequence of the own writer that is here; 0 when there is none. */
  readonly shipped: number;
  /** The writers that hold `completeTo` back and may not come back. */
  readonly incomplete: readonly LogWriter[];
  /** What masks the keys of encrypted rows; undefined where there can be none. */
  readonly index: KeyedIndex | undefined;
}

/** What a snapshot is taken of. */
export interface SnapshotSource {
  readonly database: PostgresDatabase;
  /** What decrypts texts; left out where none is encrypted. */
  readonly keys?: SharedKeys | undefined;
}

/** Runs `work` in one snapshot, which nothing that is committed meanwhile changes. */
export function inSnapshot<Result>(
  { database, keys = SharedKeys.none }: SnapshotSource,
  work: (transaction: LogTransaction) => Promise<Result>,
): Promise<Result> {
  const table = (name: string) => database.table(name);
  return database.transaction((client) => work({ client, table, keys }), { snapshot: true, readOnly: true });
}

/**
 * @param own the number of the own writer
 * @throws MissingEncryptionKey
 * @throws LostIndexKey
 */
export async function readSnapshot(
  { client, table, keys }: LogTransaction,
  own: number | undefined,
): Promise<LogSnapshot> {
  const [row] = await client.query<SnapshotRow>(
    `SELECT (SELECT name FROM ${table('decision_log')}) AS name,
       ${indexKeyColumns(table)},
       coalesce(min(complete_to) FILTER (WHERE state = 'running'), max(complete_to)) AS complete_to,
       min(open_since) AS unindexed_since,
       coalesce(max(shipped) FILTER (WHERE writer = $1::int4), 0)::int8 AS shipped,
       count(*) FILTER (WHERE state = 'running' AND beat < clock_timestamp() - interval '10 seconds') AS silent
     FROM ${table('decision_writer')}`,
    [own ?? null],
  );
  const { name, wrapped, is_encrypted, complete_to, unindexed_since, shipped, silent } = row!;
  return {
    name,
    completeTo: complete_to ?? undefined,
    unindexedSince: unindexed_since ?? undefined,
    shipped,
    incomplete: silent === 0 ? [] : incompleteOf(await readWriters({ table }, client)),
    index: keys.indexIn(name, wrapped, is_encrypted),
  };
}

interface SnapshotRow {
  readonly name: string;
  readonly wrapped: Buffer | null;
  readonly is_encrypted: boolean;
  readonly complete_to: number | null;
  readonly unindexed_since: number | null;
  readonly shipped: number;
  readonly silent: number;
}
