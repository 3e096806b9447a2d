import { DatabaseError } from '../database-error.js';
import type { PostgresClient } from './postgres-client.js';
import type { PostgresDatabase } from './postgres-database.js';
import { quoteIdentifier } from './quote-identifier.js';

/** One change of the schema. A migration that was released stays as it is. */
export interface PostgresMigration {
  /** Unique in its part, and its place in the order: `1764400000000-audit-events`. */
  readonly name: string;
  /**
   * The name of the oldest migration of the part whose releases go on working beside this one. A migration that only adds
   * names the one before the release before it; one that takes away names the one that made it needless. Left out:
   * only releases that have this migration itself.
   */
  readonly worksSince?: string;
  /**
   * False for what PostgreSQL runs in no transaction (`CREATE INDEX CONCURRENTLY`): a start that is killed in the middle
   * runs it again, so it must find its own traces.
   */
  readonly isTransactional?: boolean;
  /** @param table the qualified name of a table of the service (`PostgresDatabase.table`) */
  readonly up: (client: PostgresClient, table: (name: string) => string) => Promise<void>;
}

/** A database that a newer release has changed so that this one cannot work with it. */
export class DatabaseTooNew extends Error {
  override readonly name = 'DatabaseTooNew';
}

/** Nobody can say how long an index takes to be built. */
const noTimeout = { statementTimeoutMs: 0 };
/** Each replica that starts waits for the one that migrates. */
const lockWaitMs = 600_000;

/**
 * Brings the tables of a part up to date. Replicas that start at once take turns, under one lock; each migration runs
 * once, in a transaction with the row that says so: a start that is killed leaves nothing of it, and the next one begins it
 * again.
 *
 * Old and new replicas run side by side while a release is rolled out, so the database may know migrations that this
 * release does not. It goes on if each of them says that it may (`worksSince`).
 *
 * @param part the store that the tables belong to, such as `audit`
 * @param migrations all that there are, in their order
 * @throws DatabaseTooNew
 * @throws DatabaseError also when the role may not change the schema, and there is something to change
 */
export async function migrate(
  database: PostgresDatabase,
  part: string,
  migrations: readonly PostgresMigration[],
): Promise<void> {
  // A role that can only read and insert gets by without the lock.
  if ((await pendingIn(database, part, migrations)).length === 0) return;
  await database.transaction(async (client) => {
    await lock(client, database);
    if (await hasTable(client, database)) return;
    // PostgreSQL asks for the right to make a schema even if it is there.
    if (!(await hasSchema(client, database))) {
      await explained(`the schema ${database.schema} cannot be made`, async () => {
        await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(database.schema)}`);
      });
    }
    await explained('the table of migrations cannot be made', async () => {
      await client.query(`CREATE TABLE ${database.table('migration')} (
        part text NOT NULL,
        name text NOT NULL,
        works_since text NOT NULL,     -- releases that know this migration of the part work with the database, and newer ones
        applied timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (part, name)
      )`);
    });
  }, noTimeout);
  for (const migration of migrations) {
    await explained(`the migration ${migration.name} of the part ${part} cannot be run`, () =>
      run(database, part, migration),
    );
  }
  // A newer release may have come in between.
  await pendingIn(database, part, migrations);
}

async function pendingIn(
  database: PostgresDatabase,
  part: string,
  migrations: readonly PostgresMigration[],
): Promise<readonly PostgresMigration[]> {
  if (!(await hasTable(database, database))) return migrations;
  const rows = await database.query<{ name: string; works_since: string }>(
    `SELECT name, works_since FROM ${database.table('migration')} WHERE part = $1 ORDER BY name COLLATE "C"`,
    [part],
  );
  const known = new Set(migrations.map(({ name }) => name));
  const breaking = rows.find(({ name, works_since }) => !known.has(name) && !known.has(works_since));
  if (breaking !== undefined) {
    throw new DatabaseTooNew(
      `the database has the migration ${breaking.name} of a newer release, which works with releases that know ` +
        `${breaking.works_since}: this one does not, so start the newer release`,
    );
  }
  const applied = new Set(rows.map(({ name }) => name));
  return migrations.filter(({ name }) => !applied.has(name));
}

/** Runs it unless another replica did so while this one waited for the lock. */
async function run(database: PostgresDatabase, part: string, migration: PostgresMigration): Promise<void> {
  const { name, worksSince = name, isTransactional = true, up } = migration;
  const table = (each: string) => database.table(each);
  await database.transaction(async (client) => {
    await lock(client, database);
    const found = await client.query(`SELECT 1 FROM ${table('migration')} WHERE part = $1 AND name = $2`, [part, name]);
    if (found.length > 0) return;
    if (isTransactional) await up(client, table);
    else {
      // This transaction is idle meanwhile. The statement also ends its snapshot, which an index built beside would wait for.
      await client.query('SET LOCAL idle_in_transaction_session_timeout = 0');
      await outside(database, (other) => up(other, table));
    }
    await client.query(`INSERT INTO ${table('migration')} (part, name, works_since) VALUES ($1, $2, $3)`, [
      part,
      name,
      worksSince,
    ]);
  }, noTimeout);
}

/** On a second connection: the first holds the lock in its transaction. */
async function outside(database: PostgresDatabase, work: (client: PostgresClient) => Promise<void>): Promise<void> {
  const client = await database.connect({ answerTimeoutMs: 0 });
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

/** Until the transaction ends; PgBouncer would hand a session's lock to others. */
async function lock(client: PostgresClient, { schema }: PostgresDatabase): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = ${lockWaitMs}`);
  await client.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [`verdict migrations of ${schema}`]);
  await client.query('SET LOCAL lock_timeout = 10000');
}

type Asked = Pick<PostgresDatabase, 'query'>;

async function hasTable(asked: Asked, { schema }: PostgresDatabase): Promise<boolean> {
  const [row] = await asked.query<{ found: boolean }>(
    'SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2) AS found',
    [schema, 'migration'],
  );
  return row!.found;
}

async function hasSchema(asked: Asked, { schema }: PostgresDatabase): Promise<boolean> {
  const [row] = await asked.query<{ found: boolean }>(
    'SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS found',
    [schema],
  );
  return row!.found;
}

async function explained(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    throw new DatabaseError(`${error.message}: ${what}`, error.code, error.isUnavailable, error.isAway);
  }
}
