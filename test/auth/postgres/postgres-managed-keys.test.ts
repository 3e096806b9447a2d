import { describe, expect, it } from 'vitest';
import { PostgresManagedKeys } from '../../../src/auth/postgres/postgres-managed-keys.js';
import { PostgresServiceSecrets } from '../../../src/auth/postgres/postgres-service-secrets.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { describeManagedKeys } from '../managed-keys-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeManagedKeys('PostgreSQL', () => {
    const url = server().newSchema();
    return { open: () => PostgresManagedKeys.open(openDatabase(url)) };
  });

  it('two replicas that rotate a key at once leave two secrets that are good, and no third', async () => {
    const url = server().newSchema();
    const replicas = await Promise.all([0, 1].map(() => PostgresManagedKeys.open(openDatabase(url))));
    await replicas[0]!.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', 1_000);
    await Promise.all(replicas.map((keys) => keys.rotate('shop', 'test', 500, 2_000)));
    const { secrets } = (await replicas[0]!.find('shop'))!;
    expect(secrets.map(({ expires }) => expires)).toEqual([2_000, 2_500, undefined]);
  });

  it('replicas that ask for a secret at once get the same one, and another under another name', async () => {
    const url = server().newSchema();
    const replicas = [0, 1, 2].map(() => new PostgresServiceSecrets(openDatabase(url)));
    const secrets = await Promise.all(replicas.map((each) => each.get('cursors')));
    expect(secrets[0]).toHaveLength(32);
    expect(secrets[1]).toEqual(secrets[0]);
    expect(secrets[2]).toEqual(secrets[0]);
    expect(await replicas[0]!.get('pages')).not.toEqual(secrets[0]);
  });
});
