import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { onePolicySet, type Service, startService } from './service.js';

let service: Service;
afterEach(() => service.stop());

describe('health', () => {
  it('is ok with every part of it, while all is well', async () => {
    service = await startService();
    const { status, headers, body } = await service.get('/health');
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(body.status).toBe('ok');
    expect(Object.keys(body.details)).toEqual(['policies', 'database', 'logQueue', 'eventLoop', 'disk']);
    expect(body.details.policies.sets.default).toEqual({ state: 'active', version: expect.stringMatching(/^sha256:/) });
  });

  it('says nothing but its status to probes', async () => {
    service = await startService();
    expect(await service.get('/health/live')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: { status: 'ok' } });
  });

  it('is not ready while a set cannot be served, but live', async () => {
    service = await startService({ ...onePolicySet, 'broken/model.conf': 'not a model' });
    const { status, body } = await service.get('/health/ready');
    expect(status).toBe(503);
    expect(body).toEqual({ status: 'error' });
    expect((await service.get('/health/live')).status).toBe(200);
    expect((await service.get('/health')).body.details.policies.sets.broken).toEqual({ state: 'failed' });
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
