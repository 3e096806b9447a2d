import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DatabaseTooNew, migrate, type PostgresMigration } from '../../../src/database/postgres/migrations.js';
import { openDatabase, postgresForTests } from './databases.js';
import { hasPostgres } from './postgres-server.js';

const part = 'test';

function makesTable(name: string, more: Partial<PostgresMigration> = {}): PostgresMigration {
  return {
    name,
    up: async (client, table) => {
      await client.query(`CREATE TABLE ${table(name)} (id int8)`);
    },
    ...more,
  };
}

describe.skipIf(!hasPostgres)('migrations of PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  const applied = (url: string, schema = 'verdict') =>
    server().query(`SELECT part, name, works_since FROM "${schema}".migration ORDER BY name`, url);

  it('make the schema, run in their order, and run once', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    await migrate(database, part, [makesTable('1-first')]);
    await migrate(database, part, [makesTable('1-first'), makesTable('2-second')]);
    expect(await applied(url)).toEqual([
      { part, name: '1-first', works_since: '1-first' },
      { part, name: '2-second', works_since: '2-second' },
    ]);
    expect(await database.query(`SELECT * FROM ${database.table('2-second')}`)).toEqual([]);
  });

  it('lie in the schema that the URL names, whatever characters it has', async () => {
    const url = await server().createDatabase('?schema=Log-2');
    await migrate(openDatabase(url), part, [makesTable('1-first')]);
    expect(await applied(url, 'Log-2')).toHaveLength(1);
  });

  it('run once, however many replicas start at the same time', async () => {
    const url = await server().createDatabase();
    const slow = makesTable('1-first', {
      up: async (client, table) => {
        await client.query(`CREATE TABLE ${table('first')} (id int8)`);
        await client.query('SELECT pg_sleep(0.2)');
      },
    });
    await Promise.all(Array.from({ length: 5 }, () => migrate(openDatabase(url), part, [slow])));
    expect(await applied(url)).toHaveLength(1);
  });

  it('killed half-way are rolled back, and begun again at the next start', async () => {
    const url = await server().createDatabase();
    const child = spawn('node', [fileURLToPath(new URL('migration-child.mjs', import.meta.url)), url], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [, signal] = await once(child, 'exit');
    expect(signal).toBe('SIGKILL');
    await expect
      .poll(() => server().query(`SELECT to_regclass('verdict.first') AS found`, url))
      .toEqual([{ found: null }]);
    expect(await applied(url)).toEqual([]);
    await migrate(openDatabase(url), part, [
      makesTable('1-first', {
        up: async (client, table) => void (await client.query(`CREATE TABLE ${table('first')} (id int8)`)),
      }),
    ]);
    expect(await applied(url)).toHaveLength(1);
  });

  it('that the server was killed in are rolled back, and begun again at the next start', async () => {
    const own = await server().createDatabase();
    const killing = makesTable('1-first', {
      up: async (client, table) => {
        await client.query(`CREATE TABLE ${table('1-first')} (id int8)`);
        await server().kill();
        await client.query('SELECT 1');
      },
    });
    await expect(migrate(openDatabase(own), part, [killing])).rejects.toThrow(
      /the migration 1-first of the part test cannot be run/,
    );
    await server().resume();
    await migrate(openDatabase(own), part, [makesTable('1-first')]);
    expect(await applied(own)).toHaveLength(1);
  });

  it('run without a transaction where they ask for it', async () => {
    const url = await server().createDatabase();
    const index = makesTable('2-index', {
      isTransactional: false,
      up: async (client, table) =>
        void (await client.query(`CREATE INDEX CONCURRENTLY IF NOT EXISTS first_id ON ${table('1-first')} (id)`)),
    });
    await migrate(openDatabase(url), part, [makesTable('1-first'), index]);
    expect(await server().query(`SELECT to_regclass('verdict.first_id')::text AS found`, url)).toEqual([
      { found: 'verdict.first_id' },
    ]);
  });

  it('of a newer release are worked with where they only add, and refused by name where they take away', async () => {
    const url = await server().createDatabase();
    const first = makesTable('1-first');
    const adds = makesTable('2-adds', { worksSince: '1-first' });
    const takesAway = makesTable('3-takes-away', { worksSince: '2-adds' });
    await migrate(openDatabase(url), part, [first, adds]);
    await migrate(openDatabase(url), part, [first]);
    await migrate(openDatabase(url), part, [first, adds, takesAway]);
    await migrate(openDatabase(url), part, [first, adds]);
    const refusal = migrate(openDatabase(url), part, [first]);
    await expect(refusal).rejects.toThrow(DatabaseTooNew);
    await expect(refusal).rejects.toThrow(
      /migration 3-takes-away of a newer release, which works with releases that know 2-adds/,
    );
  });

  it('of another part are none of its business', async () => {
    const url = await server().createDatabase();
    await migrate(openDatabase(url), 'other', [makesTable('9-other')]);
    await migrate(openDatabase(url), part, [makesTable('1-first')]);
    expect(await applied(url)).toHaveLength(2);
  });

  it('that are all there need no right to change anything', async () => {
    const url = await server().createDatabase();
    await migrate(openDatabase(url), part, [makesTable('1-first')]);
    await server().query(
      'CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA verdict TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA verdict TO reader',
      url,
    );
    const reader = url.replace('postgres@', 'reader@');
    await migrate(openDatabase(reader), part, [makesTable('1-first')]);
    await expect(migrate(openDatabase(reader), part, [makesTable('1-first'), makesTable('2-second')])).rejects.toThrow(
      /^42501: permission denied for schema verdict: the migration 2-second of the part test cannot be run$/,
    );
  });

  it('say that the schema cannot be made', async () => {
    const url = await server().createDatabase();
    await server().query('CREATE ROLE stranger LOGIN', url);
    await expect(
      migrate(openDatabase(url.replace('postgres@', 'stranger@')), part, [makesTable('1-first')]),
    ).rejects.toThrow(/^42501: permission denied for database test_\d+: the schema verdict cannot be made$/);
  });
});
