/** "This person": the orders of `/v1/erasures`, as a service carries them out, alone and on three replicas. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { verifyLog } from '../../src/cli/sources/verified-log.js';
import { type BuiltService, startBuilt } from '../built-service.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { onePolicySet, type Service, startService, writePolicies } from '../http/service.js';
import { serviceFolder } from './processes.js';

const name = 'planted-dana';
const reason = 'request 4711';
const ask = (subject: string, more: object = {}) => ({ subject, action: 'read', resource: 'doc', ...more });

/** Questions about the person, by others that name it, and by others. */
const questions = [
  ask(name, { attributes: { level: 3 } }),
  { subject: 'ann', action: 'read', resource: { type: 'person', id: name } },
  ask('ann', { attributes: { manager: name } }),
  ask('bob'),
];

const filesWith = (directory: string) =>
  readdirSync(directory, { withFileTypes: true })
    .filter((file) => file.isFile() && readFileSync(join(directory, file.name)).includes(name))
    .map((file) => file.name);

const settings = { maxBatchSeconds: 1 };

async function start(more: object = {}): Promise<Service> {
  const service = await startService(onePolicySet, { ...settings, ...more });
  onTestFinished(() => service.stop());
  return service;
}

const finished = (service: Service, id: string) =>
  expect
    .poll(async () => (await service.get(`/v1/erasures/${id}`)).body.state, { timeout: 60_000, interval: 200 })
    .toBe('finished');

describe('an order to erase a person', () => {
  it('is previewed, taken, carried out while decisions go on, listed, and audited without the person in it', async () => {
    const service = await start();
    for (const question of questions) await service.post('/v1/decide', question);
    const preview = await service.post('/v1/erasures/preview', { subject: name });
    expect(preview).toMatchObject({ status: 200, body: { records: { about: 2, named: 1, held: 0, unreadable: 0 } } });
    const places = preview.body.untouched.map(({ place }: { place: string }) => place);
    expect(places).toEqual(expect.arrayContaining(['policy_files', 'archived_versions', 'backups', 'live_data']));
    const ann = await service.post('/v1/erasures/preview', { subject: 'ann' });
    expect(ann.body.untouched).toContainEqual(expect.objectContaining({ place: 'policy_files', found: ['default'] }));

    const ordered = await service.post('/v1/erasures', { subject: name, reason });
    expect(ordered).toMatchObject({ status: 202, body: { kind: 'subject', reason, state: 'running' } });
    const { id } = ordered.body;
    await service.post('/v1/decide', ask('carl'));
    await finished(service, id);
    const erasure = (await service.get(`/v1/erasures/${id}`)).body;
    expect(erasure).toMatchObject({ state: 'finished', records: { about: 2, named: 1, held: 0, unreadable: 0 } });
    const second = await service.post('/v1/erasures', { resource: 'nobody', reason });
    const page = (await service.get('/v1/erasures?limit=1')).body;
    expect(page.items).toEqual([expect.objectContaining({ id: second.body.id, kind: 'resource' })]);
    expect((await service.get(`/v1/erasures?cursor=${page.nextCursor}`)).body.items).toEqual([erasure]);
    expect((await service.get('/v1/erasures/none')).status).toBe(404);
    expect((await service.get('/v1/erasures?cursor=x')).status).toBe(400);

    expect((await service.get(`/v1/decisions?subject=${name}`)).body.items).toEqual([]);
    const records = (await service.get('/v1/decisions')).body.items;
    expect(records).toHaveLength(5);
    expect(JSON.stringify(records)).not.toContain(name);
    const marked = records.filter((record: { erased?: object }) => record.erased !== undefined);
    expect(marked).toHaveLength(3);
    const replay = await service.post(`/v1/decisions/${marked[0].id}/replay`, {});
    expect(replay).toMatchObject({ status: 409, body: { type: 'urn:verdict:problem:not_replayable' } });
    const events = (await service.get('/v1/audit-events?type=erasure_ordered')).body.items;
    expect(events).toHaveLength(2);
    expect(events[1].detail).toBe(`erasure ${id} of a subject`);
  }, 120_000);

  it('is refused without exactly one person, without a reason, and with a reason that names the person', async () => {
    const service = await start();
    for (const body of [
      { reason },
      { subject: 'a', resource: 'b', reason },
      { subject: name },
      { subject: name, reason: '' },
      { subject: '', reason },
      { subject: name, reason: `for ${name}` },
    ]) {
      const answer = await service.post('/v1/erasures', body);
      expect(answer, JSON.stringify(body)).toMatchObject({ status: 400 });
    }
    expect((await service.get('/v1/erasures')).body.items).toEqual([]);
  });

  it('stands through kill -9 at any moment: the next start finishes it, and no byte of the files has the name', async () => {
    const folder = serviceFolder();
    rmSync(join(folder, 'policies'), { recursive: true, force: true });
    writePolicies(join(folder, 'policies'), onePolicySet);
    const env = {
      VERDICT_MAX_BATCH_SECONDS: '1',
      VERDICT_LOG_LEVEL: 'error',
      VERDICT_RATE_LIMIT: 'off',
    };
    const call = async (service: BuiltService, path: string, body?: object) => {
      const response = await fetch(`${service.url}${path}`, {
        ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
        headers: { 'content-type': 'application/json' },
      });
      expect(response.status).toBeLessThan(300);
      // biome-ignore lint/suspicious/noExplicitAny: the body is whatever the service answered
      return (await response.json()) as any;
    };
    let service = await startBuilt(folder, env);
    const requests = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? questions[i % 4]! : ask(`s${i}`)));
    for (let i = 0; i < 4; i++) await call(service, '/v1/decide/batch', { requests });
    const { id } = await call(service, '/v1/erasures', { subject: name, reason });
    // At once, then a little later each time.
    for (const ms of [0, 20, 80, 300]) {
      await new Promise((resolve) => setTimeout(resolve, ms));
      await service.kill();
      service = await startBuilt(folder, env);
    }
    await expect
      .poll(async () => (await call(service, `/v1/erasures/${id}`)).state, { timeout: 60_000, interval: 200 })
      .toBe('finished');
    const items = (await call(service, '/v1/decisions?limit=1000')).items;
    expect(JSON.stringify(items)).not.toContain(name);
    const keys = (await call(service, '/v1/decisions/keys')).keys;
    await service.stop();
    const data = join(folder, 'data');
    expect(filesWith(data)).toEqual([]);
    expect(readdirSync(data).filter((file) => /\.(erasing|erased)/.test(file))).toEqual([]);
    const report = await verifyLog({ database: join(data, 'verdict.sqlite'), keys, against: [], depth: 'content' });
    expect(report).toMatchObject({ findings: [], records: 1_200 });
    expect(report.erasures).toEqual([expect.objectContaining({ id })]);
  }, 180_000);
});

describe.skipIf(!hasPostgres)(
  'an order to erase a person, on replicas (skipped where PostgreSQL is not installed)',
  () => {
    const server = postgresForTests();

    it('is carried out by all three, under load, and each says so', async () => {
      const databaseUrl = server().newSchema();
      const folders = ['a', 'b', 'c'].map(() => serviceFolder());
      const services = await Promise.all(
        folders.map((folder, i) => start({ databaseUrl, spoolDir: join(folder, 'spool'), instance: `pdp-${i}` })),
      );
      const decide = async (service: Service) => {
        for (const question of questions) expect((await service.post('/v1/decide', question)).status).toBe(200);
      };
      for (let i = 0; i < 20; i++) await Promise.all(services.map(decide));
      let isOver = false;
      let decided = 0;
      const deciding = services.map(async (service) => {
        while (!isOver) {
          expect((await service.post('/v1/decide', ask('bob'))).status).toBe(200);
          decided++;
        }
      });
      const { id } = (await services[0]!.post('/v1/erasures', { resource: name, reason })).body;
      await finished(services[2]!, id);
      isOver = true;
      await Promise.all(deciding);
      expect(decided).toBeGreaterThan(100);
      for (const service of services) {
        expect((await service.get(`/v1/erasures/${id}`)).body).toMatchObject({ state: 'finished' });
        expect((await service.get(`/v1/decisions?subject=${name}`)).body.items).toEqual([]);
        const exported = await service.get('/v1/decisions/export');
        expect(exported.body).not.toContain(name);
        expect(String(exported.body)).toContain(id);
      }
      expect((await services[1]!.get(`/v1/erasures/${id}`)).body.records).toMatchObject({ about: 120, named: 60 });
      for (const folder of folders) expect(filesWith(join(folder, 'spool'))).toEqual([]);
    }, 180_000);
  },
);
