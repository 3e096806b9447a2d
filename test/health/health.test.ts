import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ServiceDatabase } from '../../src/database/service-database.js';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import { PolicyArchive } from '../../src/policy-store/archive/policy-archive.js';
import type { SqlitePolicyArchive } from '../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { PolicyStore } from '../../src/policy-store/policy-store.js';
import { onePolicySet, type PolicyFiles, type Service, startService, writePolicies } from '../http/service.js';

/** The one set of `onePolicySet` under another name. */
function policySet(name: string): PolicyFiles {
  return Object.fromEntries(
    Object.entries(onePolicySet).map(([path, text]) => [path.replace('default/', `${name}/`), text]),
  );
}

let service: Service;
afterEach(() => service.stop());

describe('health', () => {
  it('is ok with every part of it, while all is well', async () => {
    service = await startService();
    const { status, headers, body } = await service.get('/health');
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(body.status).toBe('ok');
    expect(Object.keys(body.details)).toEqual([
      'policies',
      'database',
      'keys',
      'fleet',
      'logQueue',
      'checkpoints',
      'eventLoop',
      'disk',
    ]);
    expect(body.details.policies.sets.default).toEqual({ state: 'active', version: expect.stringMatching(/^sha256:/) });
  });

  it('says nothing but its status to probes', async () => {
    service = await startService();
    expect(await service.get('/health/live')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'ok' } });
  });

  it('is not ready while the default set cannot be served, but live', async () => {
    service = await startService({ ...policySet('invoices'), 'default/model.conf': 'not a model' });
    const { status, body } = await service.get('/health/ready');
    expect(status).toBe(503);
    expect(body).toEqual({ status: 'error' });
    expect((await service.get('/health/live')).status).toBe(200);
    expect((await service.get('/health')).body.details.policies.sets.default).toEqual({ state: 'failed' });
  });

  it('is not ready while no set can be served, or the configured default is not there', async () => {
    service = await startService({ 'a/model.conf': 'not a model', 'b/model.conf': 'not a model' });
    expect((await service.get('/health/ready')).status).toBe(503);
    await service.stop();
    service = await startService(onePolicySet, { defaultPolicySet: 'another' });
    expect((await service.get('/health/ready')).status).toBe(503);
  });

  it('is degraded, and ready, while a set that is not the default cannot be served', async () => {
    service = await startService({ ...onePolicySet, 'broken/model.conf': 'not a model' });
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'degraded' } });
    expect((await service.get('/health')).body.details.policies.sets.broken).toEqual({ state: 'failed' });
  });

  it.each(['broken', 'default'])(
    'a folder %s that appears and is broken changes nothing for requests',
    async (name) => {
      service = await startService(policySet('invoices'));
      const ask = () => service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
      expect(await ask()).toMatchObject({ status: 200, body: { policySet: 'invoices' } });
      writePolicies(join(service.directory, 'policies'), { [`${name}/model.conf`]: 'not a model' });
      await service.app.get(PolicyStore).reload();
      expect((await service.get('/health')).body.details.policies.sets[name]).toEqual({ state: 'failed' });
      expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'degraded' } });
      expect(await ask()).toMatchObject({ status: 200, body: { policySet: 'invoices' } });
      // Once it serves, it counts.
      writePolicies(join(service.directory, 'policies'), policySet(name));
      await service.app.get(PolicyStore).reload();
      expect((await service.get('/health/ready')).body).toEqual({ status: 'ok' });
      expect((await ask()).body.policySet).toBe(name === 'default' ? 'default' : undefined);
    },
  );

  it('is not ready from the first decision that the log refuses, and ready again when it has taken them for a while', async () => {
    service = await startService();
    const ask = () => service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
    const other = await SqliteConnection.open({
      path: join(service.directory, 'data/verdict.decisions.sqlite'),
      busyTimeoutMs: 0,
    });
    await other.query('BEGIN IMMEDIATE');
    expect((await ask()).status).toBe(503);
    expect(await service.get('/health/ready')).toMatchObject({ status: 503, body: { status: 'error' } });
    const { logQueue } = (await service.get('/health')).body.details;
    expect(logQueue).toMatchObject({
      status: 'down',
      state: 'failing',
      mode: 'sync',
      problem: expect.stringContaining('SQLITE_BUSY'),
    });
    await other.query('ROLLBACK');
    await other.close();
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(200);
    // Decisions are answered; that it stays so is not known yet.
    expect((await service.get('/health/ready')).status).toBe(503);
    await expect.poll(async () => (await service.get('/health/ready')).status, { timeout: 15_000 }).toBe(200);
  });

  it('is ready, and degraded, while mode async answers and cannot write', async () => {
    service = await startService(onePolicySet, { decisionLog: 'async' });
    const other = await SqliteConnection.open({
      path: join(service.directory, 'data/verdict.decisions.sqlite'),
      busyTimeoutMs: 0,
    });
    await other.query('BEGIN IMMEDIATE');
    expect((await service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' })).status).toBe(200);
    await expect.poll(() => service.log.status.state, { timeout: 10_000 }).toBe('failing');
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'degraded' } });
    await other.query('ROLLBACK');
    await other.close();
  });

  it('waits for no read of the log', async () => {
    service = await startService();
    for (const read of ['search', 'find', 'stats', 'export'] as const) {
      vi.spyOn(service.log, read).mockImplementation(() => {
        throw new Error('health reads the log');
      });
    }
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await service.get('/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
  });

  it('is degraded while the database of keys is damaged; what needs it gets 503, and decisions are answered', async () => {
    service = await startService();
    await service.app.get<SqlitePolicyArchive>(PolicyArchive).connection.query('PRAGMA wal_checkpoint(TRUNCATE)');
    const path = join(service.directory, 'data/verdict.sqlite');
    writeFileSync(path, Buffer.alloc(100_000, 0xa5));
    const database = service.app.get(ServiceDatabase);
    await expect.poll(() => database.problem, { timeout: 15_000 }).toContain('SQLITE_');
    expect((await service.get('/health')).body).toMatchObject({
      status: 'degraded',
      details: { database: { status: 'degraded', problem: expect.stringContaining('SQLITE_') } },
    });
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect((await service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' })).status).toBe(200);
    expect(await service.get('/v1/audit-events')).toMatchObject({
      status: 503,
      body: { type: 'urn:verdict:problem:database_unavailable' },
    });
  });

  it('is not ready without any set', async () => {
    service = await startService({ 'README.md': 'nothing here yet' });
    expect((await service.get('/health/ready')).status).toBe(503);
  });

  it('is degraded, and ready, while an older version stands in for a broken folder', async () => {
    service = await startService();
    writeFileSync(join(service.directory, 'policies/default/rules.csv'), 'p, too, few\n');
    await service.post('/v1/policy-sets/default/reload', {});
    expect((await service.get('/health')).body).toMatchObject({
      status: 'degraded',
      details: { policies: { sets: { default: { state: 'stale' } } } },
    });
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'degraded' } });
    rmSync(join(service.directory, 'policies'), { recursive: true });
    mkdirSync(join(service.directory, 'policies'));
  });
});
