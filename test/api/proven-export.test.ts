import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { type Service, startService } from '../http/service.js';

let service: Service;

beforeAll(async () => {
  service = await startService();
  for (const subject of ['ann', 'bob', 'carl'])
    await service.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
});

afterAll(() => service.stop());

it('exports records with what proves them, the oldest first, and hashes of what the filters leave out', async () => {
  await (service.log as SqliteDecisionLog).checkpoint();
  const { statusCode, headers, rawPayload } = await service.app.inject({
    url: '/v1/decisions/export?proof=true&subject=ann',
    headers: { 'accept-encoding': 'gzip' },
  });
  expect(statusCode).toBe(200);
  expect(headers['content-type']).toBe('application/x-ndjson');
  const lines = gunzipSync(rawPayload).toString().trimEnd().split('\n');
  const records = lines.flatMap((line) => JSON.parse(line).records ?? []);
  expect(records).toEqual([
    { salt: expect.any(String), record: expect.anything() },
    expect.any(String),
    expect.any(String),
  ]);
  expect(records[0].record).toEqual((await service.get('/v1/decisions?subject=ann')).body.items[0]);
  expect(lines.at(-1)).toBe('{"end":true}');
});

it('refuses what does not go with a proof, before anything is sent', async () => {
  for (const [path, pointer] of [
    ['/v1/decisions/export?proof=yes', '/proof'],
    ['/v1/decisions/export?proof=true&format=csv', '/format'],
    ['/v1/decisions/export?proof=true&expand=resolved', '/expand'],
    ['/v1/decisions/export?proof=true&filter=decision+%3D%3D+%27deny%27', '/filter'],
    ['/v1/decisions/export?proof=true&from=yesterday', '/from'],
  ] as const) {
    const { status, body } = await service.get(path);
    expect(status, path).toBe(400);
    expect(body.errors[0].pointer).toBe(pointer);
  }
});
