/** The key of the fleet is replaced while services run: what it signed is still trusted by it, and what the new one signs, too. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verdict } from '../cli/run.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const newKey = () => String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));

function describeRotation(name: string, databaseOf: () => Promise<string | undefined>): void {
  it(`the first key alone, kept from before, verifies a log of three keys in ${name}`, async () => {
    const directory = serviceFolder();
    const database = await databaseOf();
    const sink = join(directory, 'checkpoints.ndjson');
    const [first, second, third] = [newKey(), newKey(), newKey()];
    const start = (...keys: string[]) =>
      ServiceProcess.start(directory, {
        VERDICT_LOG_SIGNING_KEY: keys.join('\n'),
        VERDICT_CHECKPOINT_SINK: sink,
        ...(database !== undefined && { VERDICT_DATABASE_URL: database }),
      });
    const keysOf = async (service: ServiceProcess) =>
      (await service.get('/v1/decisions/keys')).body.keys as { key: string; certificates: string[] }[];
    const verify = async (keys: string) => {
      const args = ['--database', database ?? 'data/verdict.sqlite', '--keys', keys, '--against', sink];
      return JSON.parse((await verdict(['log', 'verify', ...args], { cwd: directory })).stdout);
    };

    let service = await start(first);
    const fleet = (await keysOf(service)).filter(({ key }) => key.startsWith('verdict-fleet+'));
    expect(fleet).toHaveLength(1);
    // Nothing but the public key of the fleet, as an auditor kept it.
    writeFileSync(join(directory, 'kept.json'), JSON.stringify({ keys: [{ key: fleet[0]!.key, certificates: [] }] }));
    await service.decide();
    await service.stop();
    expect(await verify('kept.json')).toMatchObject({ found: 0, records: 1, fleetCheckpoints: atLeast(1) });

    // The new one stands first, and the old one certifies it. Then the old one goes, and the same again.
    for (const [n, keys] of [[second, first], [second], [third, second], [third]].entries()) {
      service = await start(...keys);
      await service.decide();
      // Also while it runs.
      expect(await verify('kept.json')).toMatchObject({ found: 0 });
      await service.stop();
      expect(await verify('kept.json')).toMatchObject({
        found: 0,
        records: n + 2,
        unsigned: 0,
        fleetCheckpoints: atLeast(n + 2),
      });
    }
    service = await start(third);
    writeFileSync(join(directory, 'now.json'), JSON.stringify({ keys: await keysOf(service) }));
    await service.stop();
    expect(await verify('now.json')).toMatchObject({ found: 0, records: 5 });

    // A key that no other one certified is none.
    service = await start(newKey());
    await service.decide();
    await service.stop();
    const { findings } = await verify('kept.json');
    expect(findings[0]).toMatchObject({
      kind: 'wrong',
      what: expect.stringContaining('not signed by any of these keys'),
    });
  });
}

/** One is made at each stop, and another one before it where the service ran for two seconds. */
function atLeast(count: number): unknown {
  return expect.toSatisfy((found: number) => found >= count, `at least ${count}`);
}

describeRotation('SQLite', async () => undefined);

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  describeRotation('PostgreSQL', () => server().createDatabase());
});
