/** `verdict log verify` on what is beside the records in a database: the versions of policy sets, the live data that they served with,
 * the checkpoints of the fleet, and whether any of it was taken away. */

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AuditLog } from '../../src/audit/audit-log.js';
import { verifyLog } from '../../src/cli/sources/verified-log.js';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import { FleetCheckpoints } from '../../src/fleet/checkpoints/fleet-checkpoints.js';
import { liveSets } from '../api/live-data-sets.js';
import { openDatabase, postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { startService } from '../http/service.js';
import { temporaryDirectory } from '../policy-store/folders.js';

type Change = (statement: (table: (name: string) => string) => string, values?: Buffer[]) => Promise<void>;

function describeArchive(
  name: string,
  place: () => Promise<{
    settings: object;
    database: (directory: string) => string;
    change: (database: string) => Change;
  }>,
): void {
  it(`finds versions that were changed or are missing, and no others, in ${name}`, async () => {
    const { settings, database: databaseIn, change: changeIn } = await place();
    const service = await startService(liveSets, settings);
    onTestFinished(() => service.stop());
    const database = databaseIn(service.directory);
    const change = changeIn(database);
    const grant = async (user: string) => {
      const body = { add: { roles: [['g', user, 'editor']] } };
      return (await service.post('/v1/policy-sets/desk/changes', body)).body as { revision: number; version: string };
    };
    const decide = async (atLeast?: number) => {
      const subject = { type: 'user', id: 'ana' };
      const question = { subject, action: 'edit', resource: 'article', policySet: 'desk' };
      return (await service.post('/v1/decide', { ...question, ...(atLeast !== undefined && { atLeast }) })).body
        .policyVersion as string;
    };
    const plain = await decide();
    const first = await grant('user:ana');
    const version = await decide(first.revision);
    expect(version).toBe(first.version);
    const second = await grant('user:bo');
    await decide(second.revision);
    await service.log.checkpoint();
    const { keys } = (await service.get('/v1/decisions/keys')).body;
    const verified = () => verifyLog({ database, keys, against: [], depth: 'content' });
    const whatOf = async () => (await verified()).findings.map(({ kind, what }) => `${kind}: ${what}`);
    const whole = await verified();
    expect(whole.findings).toEqual([]);
    expect(whole.archivedVersions).toBeGreaterThanOrEqual(3);
    expect(await verifyLog({ database, keys, against: [], depth: 'structure' })).not.toHaveProperty('archivedVersions');

    // The live data of the versions between: a link that was never given, under the first one.
    await change((table) => `UPDATE ${table('data_role')} SET role = 'owner' WHERE name = 'user:ana'`);
    const others = 'the live data that it served with, or its changes, are others';
    expect(await whatOf()).toEqual([
      `wrong: desk ${first.version}: ${others}`,
      `wrong: desk ${second.version}: ${others}`,
    ]);
    await change((table) => `UPDATE ${table('data_role')} SET role = 'editor' WHERE name = 'user:ana'`);
    expect(await whatOf()).toEqual([]);

    await change((table) => `DELETE FROM ${table('policy_version')} WHERE version = '${version}'`);
    expect(await whatOf()).toEqual([
      expect.stringMatching(`^missing: desk ${version} is not there, and the record with the sequence 2 `),
    ]);
    // Every file gets another content, also one that cannot be unpacked.
    for (const content of [gzipSync('p, eve, article, edit\n'), Buffer.from('no gzip')]) {
      await change((table) => `UPDATE ${table('policy_file')} SET content = @`, [content]);
      expect(await whatOf()).toContainEqual(
        expect.stringMatching(`^wrong: desk ${plain}: its files are not those of the version: `),
      );
    }
  });

  it(`finds that tables were taken away, and what was changed beside a checkpoint of the fleet, in ${name}`, async () => {
    const { settings, database: databaseIn, change: changeIn } = await place();
    const service = await startService(liveSets, settings);
    onTestFinished(() => service.stop());
    const database = databaseIn(service.directory);
    const change = changeIn(database);
    const subject = { type: 'user', id: 'ana' };
    await service.post('/v1/decide', { subject, action: 'edit', resource: 'article', policySet: 'desk' });
    await service.app.get(AuditLog).record({ type: 'api_key_created', actor: 'ana' });
    await service.app.get(FleetCheckpoints).make();
    const { keys } = (await service.get('/v1/decisions/keys')).body;
    const whatOf = async () => {
      const { findings } = await verifyLog({ database, keys, against: [], depth: 'content' });
      return findings.map(({ kind, place, what }) => `${kind}: ${place}: ${what}`);
    };
    expect(await whatOf()).toEqual([]);
    await change((table) => `UPDATE ${table('fleet_checkpoint')} SET time = time + 1`);
    expect(await whatOf()).toEqual([
      'wrong: the database: what is kept beside checkpoint 1 of the fleet is not what it says',
    ]);
    await change((table) => `UPDATE ${table('fleet_checkpoint')} SET time = time - 1`);
    await change((table) => `ALTER TABLE ${table('policy_version')} RENAME TO hidden_version`);
    const archive = expect.stringMatching(
      /^missing: the archive of versions: its tables are not there, and the record with the sequence 1 .* names desk /,
    );
    expect(await whatOf()).toEqual([archive]);
    for (const gone of ['audit_chain', 'audit_event']) {
      await change((table) => `ALTER TABLE ${table(gone)} RENAME TO hidden_${gone}`);
      expect(await whatOf()).toEqual([
        expect.stringMatching(
          /^missing: the audit events: their tables are not there, and a checkpoint signs \d+ of them \(the database, checkpoint 1\)$/,
        ),
        archive,
      ]);
    }
  });
}

describeArchive('SQLite', async () => ({
  settings: {},
  database: (directory) => join(directory, 'data/verdict.sqlite'),
  change:
    (path) =>
    async (statement, values = []) => {
      const connection = await SqliteConnection.open({ path, busyTimeoutMs: 5_000 });
      await connection.query(statement((table) => table).replace('@', '?'), values);
      await connection.close();
    },
}));

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  describeArchive('PostgreSQL', async () => {
    const url = await server().createDatabase();
    return {
      settings: { databaseUrl: url, spoolDir: temporaryDirectory() },
      database: () => url,
      change: () => async (statement, values) => {
        const database = openDatabase(url);
        await database.query(statement((table) => database.table(table)).replace('@', '$1'), values);
      },
    };
  });
});
