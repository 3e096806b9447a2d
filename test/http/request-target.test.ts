/** P10: a path or query that names no text is refused by its parameter, whatever the route. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from './service.js';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const noText = ['%FF', '%C3', '%ED%A0%80', '%ED%BF%BF', '%C0%AF', '%F5%80%80%80', '%zz', '%', '%4', 'a%FFb'];
const controls = ['%00', '%0A', 'a%1Fb', '%7F', '%C2%80', '%C2%9F'];

const question = { subject: 'ann', action: 'read', resource: 'doc' };
const authzenQuestion = {
  subject: { type: 'user', id: 'ann' },
  action: { name: 'read' },
  resource: { type: 'doc', id: 'doc' },
};
const id = '019a0000-0000-7000-8000-000000000000';
const version = `sha256:${'0'.repeat(64)}`;
const gets = [
  '/',
  '/health',
  '/metrics',
  '/v1/decisions',
  '/v1/decisions/stats',
  '/v1/decisions/export',
  `/v1/decisions/${id}`,
  '/v1/audit-events',
  '/v1/api-keys',
  '/v1/policy-sets',
  '/v1/policy-sets/default',
  '/v1/policy-sets/default/versions',
  `/v1/policy-sets/default/diff`,
  '/.well-known/authzen-configuration',
  '/v1/gateway/forward-auth',
];
const posts: readonly (readonly [path: string, body: object])[] = [
  ['/v1/decide', question],
  ['/decide', question],
  ['/v1/decide/batch', { requests: [question] }],
  ['/access/v1/evaluation', authzenQuestion],
  ['/sets/default/access/v1/evaluations', { ...authzenQuestion, evaluations: [{}] }],
  ['/access/v1/search/action', { subject: authzenQuestion.subject, resource: authzenQuestion.resource }],
];

function expectRefused({ status, body }: { status: number; body: unknown }, name: string): void {
  expect({ status, body }, name).toMatchObject({
    status: 400,
    body: {
      type: 'urn:verdict:problem:invalid_request',
      detail: expect.stringContaining(name),
      errors: [{ pointer: `/${name}` }],
    },
  });
}

describe('a query that is no text', () => {
  it.each(gets)('is refused by its parameter: GET %s', async (path) => {
    for (const text of noText) expectRefused(await service.get(`${path}?a=1&subject=${text}`), 'subject');
    expectRefused(await service.get(`${path}?subject=a%00b`), 'subject');
    expectRefused(await service.get(`${path}?%FF=1`), '%FF');
  });

  it.each(posts)('is refused by its parameter: POST %s', async (path, body) => {
    expect((await service.post(path, body)).status).toBe(200);
    for (const text of noText) expectRefused(await service.post(`${path}?tenant=${text}`, body), 'tenant');
  });

  it('is none of what an encoding can say', async () => {
    for (const text of ['%C3%A9', '%F0%9F%98%80', 'a+b', '100%25', '%2F%3F%26']) {
      expect((await service.get(`/v1/decisions?subject=${text}`)).status, text).toBe(200);
    }
  });
});

describe('a path that is no text', () => {
  it.each([
    ['id', '/v1/decisions/X'],
    ['set', '/v1/policy-sets/X'],
    ['set', '/v1/policy-sets/X/versions'],
    ['version', '/v1/policy-sets/default/versions/X'],
    ['path', `/v1/policy-sets/default/versions/${version}/files/X`],
    ['name', '/v1/api-keys/X'],
    ['set', '/.well-known/authzen-configuration/sets/X'],
    ['set', '/sets/X/v1/gateway/forward-auth'],
  ])('is refused by its parameter %s: GET %s', async (name, path) => {
    for (const text of noText) expectRefused(await service.get(path.replace('X', text)), name);
    if (name === 'path') return;
    for (const text of controls) expectRefused(await service.get(path.replace('X', text)), name);
  });

  it('is refused by its parameter set where a set is asked', async () => {
    for (const text of [...noText, ...controls]) {
      expectRefused(await service.post(`/sets/${text}/access/v1/evaluation`, authzenQuestion), 'set');
      expectRefused(await service.post(`/v1/policy-sets/${text}/reload`, ''), 'set');
    }
  });
});

describe('a filter', () => {
  const names = ['caller', 'policySet', 'policyVersion', 'reason', 'instance'];

  it('with a control character is refused where ids and names are meant: none has one', async () => {
    for (const name of names) {
      for (const text of controls) expectRefused(await service.get(`/v1/decisions?${name}=${text}`), name);
    }
    expectRefused(await service.get('/v1/decisions/stats?caller=%0A'), 'caller');
    expectRefused(await service.get('/v1/decisions/export?caller=%0A'), 'caller');
    expectRefused(await service.get('/v1/audit-events?policySet=%0A'), 'policySet');
  });

  it('by subject, action or resource may have one: records of version 0.1 do', async () => {
    for (const name of ['subject', 'action', 'resource']) {
      expect(await service.get(`/v1/decisions?${name}=a%0A`)).toMatchObject({ status: 200, body: { items: [] } });
    }
  });

  it('may hold one where a text within attributes is meant', async () => {
    expect((await service.get('/v1/decisions?q=%0A')).status).toBe(200);
  });
});
