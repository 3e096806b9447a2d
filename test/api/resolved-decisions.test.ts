import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Service, startService } from '../http/service.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = department, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub.department == p.department && r.act == p.act
`;

let service: Service;
let first: string;

const filtered = (filter: string, more = '') => `/v1/decisions?filter=${encodeURIComponent(filter)}${more}`;

beforeAll(async () => {
  service = await startService({
    'invoices/model.conf': model,
    'invoices/rules.csv': 'p, finance, approve\n',
    'invoices/entities.yaml': '- {type: user, id: ann, attributes: {department: finance, salary: 9000}}\n',
    'invoices/policy-set.yaml': 'decisionLog: { mask: [/subject/attributes/salary] }\n',
    'other/model.conf': model,
    'other/rules.csv': 'p, finance, approve\n',
  });
  const ask = async (policySet: string, amount?: number) => {
    const resource = { type: 'invoice', id: '42', ...(amount !== undefined && { attributes: { amount } }) };
    const { body } = await service.post('/v1/decide', {
      policySet,
      subject: { type: 'user', id: 'ann' },
      action: 'approve',
      resource,
    });
    return body;
  };
  const answer = await ask('invoices', 12_000);
  expect(answer.allowed).toBe(true);
  first = answer.decisionId;
  const moved = '- {type: user, id: ann, attributes: {department: sales, salary: 9500}}\n';
  await writeFile(join(service.directory, 'policies/invoices/entities.yaml'), moved);
  await service.post('/v1/policy-sets/invoices/reload', {});
  expect((await ask('invoices', 13_000)).allowed).toBe(false);
  await ask('other');
});

afterAll(() => service.stop());

const annWas = (department: string) => ({
  subject: { type: 'user', id: 'ann', attributes: { department, salary: '[masked]' } },
  action: { name: 'approve' },
});

it('shows what the evaluation saw, of the version of that time, in the list and by id', async () => {
  const { body } = await service.get('/v1/decisions?policySet=invoices&expand=resolved');
  expect(body.items.map(({ resolved }: { resolved: unknown }) => resolved)).toMatchObject([
    { ...annWas('sales'), resource: { attributes: { amount: 13_000 } } },
    { ...annWas('finance'), resource: { attributes: { amount: 12_000 } } },
  ]);
  const byId = await service.get(`/v1/decisions/${first}?expand=resolved`);
  expect(byId.body).toEqual(body.items[1]);
  expect((await service.get(`/v1/decisions/${first}`)).body).not.toHaveProperty('resolved');
  for (const path of [
    `/v1/decisions/${first}?expand=all`,
    '/v1/decisions?expand=all',
    '/v1/decisions/export?expand=all',
  ]) {
    const { status, body: problem } = await service.get(path);
    expect({ status, pointer: problem.errors[0].pointer }, path).toEqual({ status: 400, pointer: '/expand' });
  }
});

it('chooses decisions by a condition over what the evaluation saw', async () => {
  const { body } = await service.get(filtered("subject.department == 'finance' && resource.amount > 10000"));
  expect(body.items.map(({ id }: { id: string }) => id)).toEqual([first]);
  // Nothing is stored of anybody in the other set.
  expect(body.erred).toBe(1);
  expect(
    (await service.get(filtered("subject.department == 'finance'", '&policySet=invoices'))).body,
  ).not.toHaveProperty('erred');
  const salary = (await service.get(filtered('subject.salary > 0'))).body;
  expect(salary).toMatchObject({ items: [], erred: 3 });
  const exported = await service.get(`/v1/decisions/export?filter=${encodeURIComponent('subject.salary > 0')}`);
  expect(exported.body).toBe('{"erred":3}\n');
});

it('refuses a text that is no condition, and says where', async () => {
  for (const path of ['/v1/decisions', '/v1/decisions/export']) {
    const { status, body } = await service.get(`${path}?filter=${encodeURIComponent('subject.level >')}`);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      type: 'urn:verdict:problem:invalid_request',
      errors: [{ pointer: '/filter', detail: expect.stringContaining('character 16: ') }],
    });
  }
  expect((await service.get('/v1/decisions/stats?filter=true')).status).toBe(400);
});
