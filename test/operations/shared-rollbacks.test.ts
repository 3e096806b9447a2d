/** P8: a rollback on one replica holds on all, where their sets come from directories or bundles and PostgreSQL is the database. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Service, startService, writePolicies } from '../http/service.js';
import { idModel } from '../models.js';
import { bundleFolder, publicationOf, setOf } from '../policy-store/bundle/published.js';
import { newKey } from '../policy-store/bundle/signing-keys.js';
import { serviceFolder } from './processes.js';

const boundMs = 1_000;

describe.skipIf(!hasPostgres)('rollbacks of replicas (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();
  const rules = (subject: string) => `p, ${subject}, data1, read\n`;

  async function startReplica(databaseUrl: string, policyDir: string): Promise<Service> {
    const service = await startService(
      {},
      { databaseUrl, spoolDir: join(serviceFolder(), 'spool'), policyDir, auth: 'none' },
    );
    onTestFinished(() => service.stop());
    return service;
  }
  const folder = (subject: string): string => {
    const policies = join(serviceFolder(), 'policies');
    writePolicies(policies, { 'acl/model.conf': idModel, 'acl/rules.csv': rules(subject) });
    return policies;
  };
  const write = (policies: string, subject: string) => writeFileSync(join(policies, 'acl/rules.csv'), rules(subject));
  const statusOf = async (service: Service) => (await service.get('/v1/policy-sets/acl')).body;
  const serves = (service: Service, version: string, pinned: boolean, timeout = boundMs) =>
    expect
      .poll(async () => statusOf(service), { timeout, interval: 5 })
      .toMatchObject({ version, pinned, state: 'active' });
  const rollBack = async (service: Service, version: string) =>
    expect((await service.post('/v1/policy-sets/acl/rollback', { version })).status).toBe(200);

  it('are followed within a second, and ended on all by rolling back to what the folders hold', async () => {
    const url = server().newSchema();
    const [here, there] = [folder('alice'), folder('alice')];
    const [one, two] = [await startReplica(url, here), await startReplica(url, there)];
    const { version: alices } = await statusOf(one);
    write(here, 'bob');
    write(there, 'bob');
    await one.post('/v1/policy-sets/acl/reload', {});
    await two.post('/v1/policy-sets/acl/reload', {});
    const { version: bobs } = await statusOf(one);
    await rollBack(one, alices);
    await serves(two, alices, true);
    // A replica that is started meanwhile knows it, too.
    const three = await startReplica(url, folder('bob'));
    await serves(three, alices, true);
    await rollBack(two, bobs);
    await Promise.all([serves(one, bobs, false), serves(three, bobs, false)]);
  });

  it('are followed by a replica that was started while PostgreSQL was away, when it is back', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const here = folder('alice');
    const one = await startReplica(url, here);
    const { version: alices } = await statusOf(one);
    write(here, 'bob');
    const { version: bobs } = (await one.post('/v1/policy-sets/acl/reload', {})).body;
    await rollBack(one, alices);
    link.cut();
    const two = await startReplica(link.through(url), folder('bob'));
    expect(await statusOf(two)).toMatchObject({ version: bobs, pinned: false });
    link.open();
    await serves(two, alices, true, 10_000);
    expect(await statusOf(one)).toMatchObject({ version: alices, pinned: true });
  }, 60_000);

  it('hold on a replica until its own files change, also where those of others have', async () => {
    const url = server().newSchema();
    const [here, there] = [folder('alice'), folder('alice')];
    const [one, two] = [await startReplica(url, here), await startReplica(url, there)];
    const { version: alices } = await statusOf(one);
    for (const [service, policies] of [
      [one, here],
      [two, there],
    ] as const) {
      write(policies, 'bob');
      await service.post('/v1/policy-sets/acl/reload', {});
    }
    await rollBack(one, alices);
    await serves(two, alices, true);
    write(here, 'carol');
    const { version: carols } = (await one.post('/v1/policy-sets/acl/reload', {})).body;
    expect(await statusOf(one)).toMatchObject({ version: carols, pinned: false });
    // What was rolled back from is what its files hold still: it must not come back by the change of another replica.
    await new Promise((resolve) => setTimeout(resolve, boundMs));
    expect(await statusOf(two)).toMatchObject({ version: alices, pinned: true });
    write(there, 'carol');
    await two.post('/v1/policy-sets/acl/reload', {});
    expect(await statusOf(two)).toMatchObject({ version: carols, pinned: false });
  });

  it('of bundles are followed within a second, and ended on all by rolling back to what is published', async () => {
    const databaseUrl = server().newSchema();
    const { publicPem, signing } = await newKey();
    const published = bundleFolder({ signing });
    const bundleKeys = join(serviceFolder(), 'keys.pem');
    writeFileSync(bundleKeys, publicPem);
    const start = async () => {
      const service = await startService(
        {},
        {
          ...{ databaseUrl, spoolDir: join(serviceFolder(), 'spool'), auth: 'none', policySource: 'bundle' },
          ...{ bundleUrl: pathToFileURL(published.path).href, bundleKeys },
        },
      );
      onTestFinished(() => service.stop());
      return service;
    };
    const push = (subject: string) => published.publisher().push([publicationOf(setOf(subject))]);
    await push('alice');
    const [one, two] = [await start(), await start()];
    const { version: alices } = await statusOf(one);
    await push('bob');
    for (const service of [one, two]) await service.post('/v1/policy-sets/acl/reload', {});
    const { version: bobs } = await statusOf(one);
    await rollBack(one, alices);
    await serves(two, alices, true);
    const three = await start();
    expect(await statusOf(three)).toMatchObject({ version: alices, pinned: true, revision: 2 });
    await rollBack(three, bobs);
    await Promise.all([serves(one, bobs, false), serves(two, bobs, false)]);
  });
});
