/** Through PgBouncer in transaction mode: each transaction may be on another session of the server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresAuditLog } from '../../../src/audit/postgres/postgres-audit-log.js';
import { PostgresManagedKeys } from '../../../src/auth/postgres/postgres-managed-keys.js';
import { PostgresPolicyArchive } from '../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { versionOf } from '../../../src/policy-store/policy-set-files.js';
import { auditOptions } from '../../audit/audit-log-suite.js';
import { setOf } from '../../policy-store/archive/policy-archive-suite.js';
import { openDatabase, postgresForTests } from './databases.js';
import { hasPgBouncer, type PgBouncer, startPgBouncer } from './pgbouncer.js';

describe.skipIf(!hasPgBouncer)('through PgBouncer (skipped where it or PostgreSQL is not installed)', () => {
  const server = postgresForTests();
  let bouncer: PgBouncer | undefined;

  beforeAll(async () => {
    bouncer = await startPgBouncer(server(), 2);
  });
  afterAll(() => bouncer?.stop());

  const through = (url: string) => bouncer!.through(url);

  it('ten replicas migrate, write and read on two sessions of the server, and leave nothing set in them', async () => {
    const url = through(server().newSchema());
    await expect.poll(() => server().query('SELECT 1 AS n', through(server().url('postgres')))).toEqual([{ n: 1 }]);
    const first = openDatabase(url);
    await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        const database = openDatabase(url);
        const keys = await PostgresManagedKeys.open(database);
        const audit = await PostgresAuditLog.open(database, auditOptions());
        const archive = await PostgresPolicyArchive.open(database);
        await keys.create({ name: `key-${n}`, scopes: ['decide'] }, 'test', 'me', n);
        await audit.record({ type: 'api_key_created', detail: `key-${n}` });
        await archive.keep(setOf('p, alice, data1, read\n'), n);
        expect((await archive.files('acl', versionOf(setOf('p, alice, data1, read\n').files)))?.files).toHaveLength(2);
      }),
    );
    expect(await (await PostgresManagedKeys.open(first)).list()).toHaveLength(10);
    const sessions = await server().query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
    expect(sessions[0].n).toBeLessThanOrEqual(2);
    for (const name of ['statement_timeout', 'lock_timeout']) {
      expect(await first.query(`SELECT current_setting('${name}') AS v`)).toEqual([{ v: '0' }]);
    }
    expect(await first.query('SELECT * FROM pg_prepared_statements')).toEqual([]);
    expect(await first.query(`SELECT * FROM pg_locks WHERE locktype = 'advisory'`)).toEqual([]);
  });

  it('a statement that the server should keep is run once, whichever session it meets', async () => {
    const url = through(server().newSchema());
    const database = openDatabase(url);
    await database.query('CREATE TABLE public.prepared (n int)');
    const clients = await Promise.all(Array.from({ length: 4 }, () => database.connect()));
    await Promise.all(
      clients.map(async (client, i) => {
        for (let n = 0; n < 25; n++) {
          expect(await client.writePrepared('INSERT INTO public.prepared VALUES ($1)', [i * 25 + n])).toBe(1);
        }
      }),
    );
    await Promise.all(clients.map((client) => client.close()));
    const [row] = await database.query('SELECT count(*) AS all, count(DISTINCT n) AS different FROM public.prepared');
    expect(row).toEqual({ all: 100, different: 100 });
  });
});
