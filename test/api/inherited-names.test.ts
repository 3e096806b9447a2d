/** Names that every JavaScript object inherits are not members of a request, and a body must be an object. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from '../http/service.js';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const inheritedNames = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'isPrototypeOf', '__defineGetter__'];
const queries = [
  '/v1/decisions',
  '/v1/decisions/stats',
  '/v1/decisions/export',
  '/v1/audit-events',
  '/v1/policy-sets/default/versions',
  '/v1/policy-sets/default/diff',
];
const bodies: readonly (readonly [path: string, good: object])[] = [
  ['/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' }],
  ['/v1/decide/batch', { requests: [] }],
  ['/v1/api-keys', { name: 'shop', scopes: ['decide'] }],
  ['/v1/api-keys/shop/rotate', {}],
  ['/v1/policy-sets/default/rollback', { version: `sha256:${'0'.repeat(64)}` }],
  ['/v1/decisions/019a0000-0000-7000-8000-000000000000/replay', {}],
];

describe('a query', () => {
  it.each(queries)('has no parameter of an inherited name: %s', async (path) => {
    for (const name of [...inheritedNames, '__proto__', 'unknown']) {
      const answer = await service.get(`${path}?${name}=1`);
      expect(answer.status, name).toBe(400);
      expect(answer.body.errors).toContainEqual({ pointer: `/${name}`, detail: `property ${name} should not exist` });
    }
  });
});

describe('a body', () => {
  it.each(bodies)('has no member of an inherited name: %s', async (path, good) => {
    for (const name of [...inheritedNames, 'unknown']) {
      const answer = await service.post(path, { ...good, [name]: 1 });
      expect(answer.status, name).toBe(400);
      expect(answer.body.errors).toContainEqual({ pointer: `/${name}`, detail: `property ${name} should not exist` });
    }
  });

  it.each(bodies)('is not null, a list, a text or a number: %s', async (path) => {
    for (const body of ['null', '[]', '[{}]', '"a"', '5', 'true']) {
      const answer = await service.post(path, body);
      expect(answer.status, body).toBe(400);
      expect(answer.body.errors, body).toContainEqual(expect.objectContaining({ pointer: '' }));
    }
  });

  it('is not null for AuthZEN either', async () => {
    for (const path of ['/access/v1/evaluation', '/access/v1/evaluations', '/access/v1/search/subject']) {
      for (const body of ['null', '[]', '"a"', '5']) expect((await service.post(path, body)).status).toBe(400);
    }
  });

  it('may be left out where nothing needs to be said, and is missing elsewhere', async () => {
    expect((await service.post('/v1/policy-sets/default/reload', '')).status).toBe(200);
    for (const path of ['/v1/decide', '/v1/api-keys', '/v1/policy-sets/default/rollback']) {
      expect((await service.post(path, '')).status, path).toBe(400);
    }
  });
});
