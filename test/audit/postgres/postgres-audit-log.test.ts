import { describe, expect, it } from 'vitest';
import { PostgresAuditChain } from '../../../src/audit/postgres/postgres-audit-chain.js';
import { PostgresAuditLog } from '../../../src/audit/postgres/postgres-audit-log.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { describeAuditChain } from '../audit-chain-suite.js';
import { auditOptions, describeAuditLog } from '../audit-log-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeAuditLog('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      open: (options) => PostgresAuditLog.open(openDatabase(url), options),
      end: () => undefined,
    };
  });

  describeAuditChain('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      isShared: true,
      open: (options) => PostgresAuditLog.open(openDatabase(url), options),
      chain: async () => {
        const database = openDatabase(url);
        return new PostgresAuditChain(database, (name) => database.table(name));
      },
      change: async (statement) => {
        const database = openDatabase(url);
        await database.query(statement((name) => database.table(name)).replace('SET id = 99', 'SET id = DEFAULT'));
      },
    };
  });

  it('events of two replicas are one list', async () => {
    const url = server().newSchema();
    const replicas = [
      await PostgresAuditLog.open(openDatabase(url), auditOptions()),
      await PostgresAuditLog.open(openDatabase(url), auditOptions()),
    ] as const;
    await replicas[0].record({ type: 'api_key_created', actor: 'first' });
    await replicas[1].record({ type: 'api_key_created', actor: 'second' });
    for (const replica of replicas) {
      expect((await replica.search({})).items.map(({ actor }) => actor)).toEqual(['second', 'first']);
    }
  });

  it('what PostgreSQL keeps no text of is replaced', async () => {
    const audit = await PostgresAuditLog.open(openDatabase(server().newSchema()), auditOptions());
    await audit.record({ type: 'authentication_failed', actor: 'a\0\0b\ud800 \\u0000 \u{1f600}' });
    expect((await audit.search({})).items[0]!.actor).toBe('a\ufffd\ufffdb\ufffd \\u0000 \u{1f600}');
  });

  it('what is noted while the server is away is written when it is back; what must be committed fails', async () => {
    const audit = await PostgresAuditLog.open(openDatabase(server().newSchema()), auditOptions());
    await server().stop();
    for (let n = 0; n < 3; n++) audit.note({ type: 'authentication_failed', actor: 'ann' });
    await expect(audit.search({})).rejects.toMatchObject({ isAway: true });
    audit.note({ type: 'authentication_failed', actor: 'ann' });
    audit.note({ type: 'authentication_failed', actor: 'bob' });
    await expect(audit.record({ type: 'api_key_created' })).rejects.toMatchObject({ isAway: true });
    await server().resume();
    const { items } = await audit.search({});
    expect(items.map(({ actor, count }) => [actor, count])).toEqual([
      ['bob', 1],
      ['ann', 4],
    ]);
  });

  it('a log that is opened while the server is away works when it is back', async () => {
    const url = server().newSchema();
    await server().stop();
    const audit = await PostgresAuditLog.open(openDatabase(url), auditOptions());
    audit.note({ type: 'policy_set_changed', policySet: 'acl' });
    await server().resume();
    expect((await audit.search({})).items).toMatchObject([{ policySet: 'acl' }]);
  });
});
