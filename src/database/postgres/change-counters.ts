import { createHash } from 'node:crypto';
import { changeCounterTable } from './migrations/1764400000040-change-counters.js';
import type { PostgresStatements } from './postgres-client.js';
import type { PostgresDatabase } from './postgres-database.js';
import { PostgresTables } from './postgres-tables.js';

/** What replicas tell each other of: API keys, what is to be served, and who serves. */
export const changeTopics = ['keys', 'policies', 'fleet'] as const;
export type ChangeTopic = (typeof changeTopics)[number];

/**
 * One number a topic, which rises with each change that is committed.
 *
 * A change counts in its own transaction. It holds the lock of the topic's row from then until its end, so changes of a
 * topic are committed one after another, in the order of their numbers: a reader of a number sees every change up to
 * it, and none of a lower number is committed later. Topics have rows of their own, so they do not wait for each other.
 */
export class ChangeCounters {
  /** Tables whose changes are counted name it as what they need. */
  readonly tables: PostgresTables;
  private readonly table: string;

  constructor(private readonly database: PostgresDatabase) {
    this.tables = new PostgresTables(database, 'changes', [changeCounterTable]);
    this.table = this.tables.name('change_counter');
  }

  /**
   * Counts a change in the transaction that makes it, best as its first statement: other changes of the topic wait from
   * here on. Listeners are told when it is committed.
   */
  async count(transaction: PostgresStatements, topic: ChangeTopic): Promise<void> {
    await transaction.query(
      `WITH counted AS (
         INSERT INTO ${this.table} AS counter (topic, n) VALUES ($1, 1) ON CONFLICT (topic) DO UPDATE SET n = counter.n + 1
         RETURNING 1
       ) SELECT pg_notify($2, '') FROM counted`,
      [topic, this.channel(topic)],
    );
  }

  /** The numbers of all topics; one without a number has had no change. */
  async read(statements: PostgresStatements): Promise<ReadonlyMap<string, number>> {
    const rows = await statements.query<{ topic: string; n: number }>(`SELECT topic, n FROM ${this.table}`);
    return new Map(rows.map(({ topic, n }) => [topic, n]));
  }

  /** Channels are those of a whole database, and a name has 63 bytes at most: the schema is in it by its digest. */
  channel(topic: ChangeTopic): string {
    const schema = createHash('sha256').update(this.database.schema).digest('hex').slice(0, 16);
    return `verdict_${topic}_${schema}`;
  }
}
