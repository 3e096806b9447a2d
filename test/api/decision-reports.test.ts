import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Service, startService } from '../http/service.js';

let service: Service;

beforeAll(async () => {
  service = await startService();
  for (const subject of ['ann', 'bob', '=cmd|calc']) {
    await service.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
  }
});

afterAll(() => service.stop());

it('counts decisions by what is asked for', async () => {
  const { status, body } = await service.get('/v1/decisions/stats?by=decision,policySet');
  expect(status).toBe(200);
  expect(body).toEqual({
    items: [
      { decision: 'deny', policySet: 'default', count: 2 },
      { decision: 'allow', policySet: 'default', count: 1 },
    ],
    total: 3,
  });
  const byHour = await service.get('/v1/decisions/stats?bucket=hour&decision=deny');
  expect(byHour.body.items.every(({ time }: { time: string }) => /:00:00\.000Z$/.test(time))).toBe(true);
  expect(byHour.body.total).toBe(2);
});

it('exports NDJSON, each line the record that the list has', async () => {
  const { statusCode, headers, payload } = await service.app.inject({ url: '/v1/decisions/export' });
  expect(statusCode).toBe(200);
  expect(headers['content-type']).toBe('application/x-ndjson');
  expect(headers['content-disposition']).toBe('attachment; filename="decisions.ndjson"');
  const { items } = (await service.get('/v1/decisions')).body;
  const lines = payload.trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual(items);
});

it('exports CSV whose cells are no formulas', async () => {
  const { headers, body } = await service.get('/v1/decisions/export?format=csv&subject=%3Dcmd%7Ccalc');
  expect(headers['content-type']).toBe('text/csv; charset=utf-8');
  const [header, row, rest] = body.split('\r\n');
  expect(header).toMatch(/^time,id,decision,reason,subjectType,subject,/);
  expect(row).toContain(",'=cmd|calc,");
  expect(rest).toBe('');
});

it('zips what it exports only where the caller accepts it', async () => {
  const zipped = await service.app.inject({ url: '/v1/decisions/export', headers: { 'accept-encoding': 'br, gzip' } });
  expect(zipped.headers['content-encoding']).toBe('gzip');
  const plain = await service.app.inject({ url: '/v1/decisions/export', headers: { 'accept-encoding': 'gzip;q=0' } });
  expect(plain.headers['content-encoding']).toBeUndefined();
  expect(gunzipSync(zipped.rawPayload).toString()).toBe(plain.payload);
});

it('refuses what it does not know, before anything is sent', async () => {
  for (const [path, pointer] of [
    ['/v1/decisions/export?format=xml', '/format'],
    ['/v1/decisions/export?limit=5', '/limit'],
    ['/v1/decisions/export?from=yesterday', '/from'],
    ['/v1/decisions/stats?by=subject', '/by'],
    ['/v1/decisions/stats?bucket=week', '/bucket'],
    ['/v1/decisions/stats?colour=red', '/colour'],
  ] as const) {
    const { status, headers, body } = await service.get(path);
    expect(status, path).toBe(400);
    expect(headers['content-type']).toMatch(/^application\/problem\+json\b/);
    expect(body.errors[0].pointer).toBe(pointer);
  }
});

it.each(['/v1/decisions', '/v1/decisions/stats', '/v1/decisions/export', '/v1/audit-events'])(
  '%s takes days, those of a zone too, and refuses what is no day or zone',
  async (path) => {
    const today = new Date().toISOString().slice(0, 10);
    // However late it is: the day before, today and the day after have all of it in any zone.
    const [before, after] = [-1, 1].map((days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10));
    const countOf = async (query: string) => {
      const { status, body } = await service.get(`${path}?${query}`);
      expect(status, query).toBe(200);
      if (typeof body === 'string') return body.trimEnd().split('\n').length;
      return body.total ?? body.items.length;
    };
    expect(await countOf(`from=${today}&to=${today}`)).toBeGreaterThan(0);
    expect(await countOf(`from=${before}&to=${after}&tz=Pacific/Kiritimati`)).toBeGreaterThan(0);
    for (const [query, pointer] of [
      ['from=2026-02-30', '/from'],
      ['to=2026-13-01', '/to'],
      ['from=2026-03-03T10:00:00', '/from'],
      ['tz=Europe/Zuerich', '/tz'],
      ['from=2026-03-03&tz=', '/tz'],
      ['tz=UTC&tz=UTC', '/tz'],
    ]) {
      const { status, body } = await service.get(`${path}?${query}`);
      expect(status, query).toBe(400);
      expect(body).toMatchObject({
        type: 'urn:verdict:problem:invalid_request',
        errors: expect.arrayContaining([expect.objectContaining({ pointer })]),
      });
    }
  },
);
