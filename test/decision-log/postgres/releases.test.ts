/** P4: a release and the one before it work side by side, each reads what the other ships. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { migrate, type PostgresMigration } from '../../../src/database/postgres/migrations.js';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import { sharedLogMigrations } from '../../../src/decision-log/postgres/shared-migrations.js';
import { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { EarlierReplica, newestMigration, schema, statements } from './release-1764400000003.js';
import { startReplica } from './shared-home.js';

const toCome: PostgresMigration = {
  name: '1999999999999-test',
  worksSince: newestMigration,
  up: async (client, table) => {
    await client.query(`ALTER TABLE ${table('decision_writer')} ADD note text`);
    await client.query(`ALTER TABLE ${table('decision_group')} ADD note text NOT NULL DEFAULT 'none'`);
    await client.query(`ALTER TABLE ${table('tally_delta')} ADD note text NOT NULL DEFAULT 'none'`);
  },
};

async function append(log: DecisionLog, count: number, subject: string): Promise<string[]> {
  const records = Array.from({ length: count }, () => exampleRecord(log, { subject, now: Date.now() }));
  await Promise.all(records.map((record) => log.append(record)));
  return records.map(({ id }) => id);
}

/** All records of a question, newest first. */
async function idsOf(log: DecisionLog, subject?: string): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await log.search({
      limit: 100,
      ...(subject !== undefined && { subject }),
      ...(cursor !== undefined && { cursor }),
    });
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
    if (cursor === undefined) return ids;
  }
}

describe.skipIf(!hasPostgres)('an update of the shared log (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it('P4: the release before ships and reads beside this one, on the tables that this one makes of its own', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    for (const statement of schema) await database.query(statement);
    const journal = new SqliteDecisionLog({
      databasePath: join(temporaryDirectory(), 'verdict.sqlite'),
      mode: 'sync',
      isShipped: true,
    });
    await journal.start();
    onTestFinished(() => journal.stop());
    const earlier = new EarlierReplica(database, journal.journal);

    // This release brings the tables up to date; the partitions are made by either.
    const replica = await startReplica(url, temporaryDirectory(), { instance: 'later' });
    const later = await append(replica, 50, 'later');
    await replica.shipped();
    await earlier.start();
    const before: string[] = [];
    for (let round = 0; round < 4; round++) {
      before.push(...(await append(journal, 30, 'before')));
      await earlier.ship();
      later.push(...(await append(replica, 20, 'later')));
      await replica.shipped();
      // A release to come adds to the tables while both ship.
      if (round === 2) await migrate(database, 'decision-log', [...sharedLogMigrations, toCome]);
      // Rows that have key pages, and those that have none yet; counts that are folded, and those that wait.
      if (round === 1) await replica.settle();
    }

    const all = [...before, ...later].sort();
    expect((await earlier.ids()).sort()).toEqual(all);
    expect(await earlier.total()).toBe(all.length);
    expect((await idsOf(replica)).sort()).toEqual(all);
    expect(await idsOf(replica, 'before')).toEqual(before.toReversed());
    expect(await idsOf(replica, 'later')).toEqual(later.toReversed());
    expect((await replica.stats({})).total).toBe(all.length);
    expect((await replica.find(before[0]!))?.request.subject.id).toBe('before');
    const states = async () =>
      (await replica.writers()).writers.map(({ instance, state, missing }) => [instance, state, missing]).sort();
    expect(await states()).toEqual([
      ['earlier', 'running', 0],
      ['later', 'running', 0],
    ]);
    await earlier.stop();
    expect(await states()).toEqual([
      ['earlier', 'stopped', 0],
      ['later', 'running', 0],
    ]);
  });

  it('the migrations that were released make the tables that they made', async () => {
    const [made, kept] = [openDatabase(await server().createDatabase()), openDatabase(await server().createDatabase())];
    const released = sharedLogMigrations.filter(({ name }) => name <= newestMigration);
    expect(released.at(-1)!.name).toBe(newestMigration);
    await migrate(made, 'decision-log', released);
    for (const statement of schema) await kept.query(statement);
    const shape = async (database: typeof made) => ({
      migrations: await database.query(`SELECT part, name, works_since FROM verdict.migration ORDER BY name`),
      columns: await database.query(
        `SELECT c.relname, c.relkind, c.reloptions, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
           a.attidentity, a.attstorage, pg_get_expr(d.adbin, d.adrelid) AS value
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
           LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'verdict'::regnamespace ORDER BY c.relname, a.attnum`,
      ),
      constraints: await database.query(
        `SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
         WHERE connamespace = 'verdict'::regnamespace ORDER BY conname`,
      ),
      indexes: await database.query(`SELECT indexdef FROM pg_indexes WHERE schemaname = 'verdict' ORDER BY indexdef`),
    });
    expect(await shape(kept)).toEqual(await shape(made));
  });

  it.runIf(sharedLogMigrations.at(-1)!.name === newestMigration)(
    'the release that is kept says what this one says, while their tables are the same',
    async () => {
      const logging = await PostgresServer.start({ settings: { log_statement: 'all', log_line_prefix: '%p|' } });
      onTestFinished(() => logging.remove());
      const replica = await startReplica(await logging.createDatabase());
      await append(replica, 30, 'alice');
      await replica.shipped();
      await replica.search({ limit: 10 });
      await replica.stats({ by: ['decision'] });
      const compact = (text: string) =>
        text
          .replaceAll(/\s+/g, ' ')
          .replaceAll(/ ?([()]) ?/g, '$1')
          .trim();
      const said = () => compact(readFileSync(join(logging.folder, 'log'), 'utf8'));
      await expect.poll(said, { timeout: 10_000 }).toContain(compact(statements.beat));
      await replica.stop();
      const all = said();
      expect(Object.entries(statements).filter(([, statement]) => !all.includes(compact(statement)))).toEqual([]);
    },
  );
});
