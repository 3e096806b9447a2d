/** Each operation of the OpenAPI document is asked; what comes back is what the document says, and nothing beside it. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseRfc3339 } from '../../src/core/rfc3339.js';
import { idModel } from '../models.js';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';

const scopes =
  '[decide, explain, "decisions:read", "decisions:erase", "policies:read", "policies:write", "data:read", "data:write", "bundles:read", "keys:admin", "metrics:read"]';
const ann = { subject: 'ann', action: 'pay', resource: 'invoice', policySet: 'invoices' };
const authzen = {
  subject: { type: 'user', id: 'ann' },
  action: { name: 'pay' },
  resource: { type: 'thing', id: 'invoice' },
};
const tried = { files: { 'model.conf': idModel, 'rules.csv': 'p, eve, invoice, pay\n' }, mode: 'shadow' };
const unknownVersion = `sha256:${'0'.repeat(64)}`;

let keyed: KeyedService;
// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
let document: any;
let ajv: Ajv2020;
let decisionId: string;
let version: string;
let holdId: string;
const asked = new Set<string>();

beforeAll(async () => {
  const authzenSigningKey = generateKeyPairSync('ed25519')
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
  const settings = { publicUrl: 'https://pdp.example', authzenSigningKey };
  keyed = await startKeyedService({ admin: `scopes: ${scopes}` }, settings);
  document = (await keyed.as('admin', 'GET', '/docs-json')).json();
  const isTime = (text: string) => parseRfc3339(text) !== undefined;
  ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': isTime, date: true } });
  ajv.addSchema(document, 'document');
  writeFileSync(join(keyed.service.directory, 'policies/invoices/policy-set.yaml'), 'local: allowed\n');
  await keyed.as('admin', 'POST', '/v1/policy-sets/invoices/reload', {});
  decisionId = (await keyed.as('admin', 'POST', '/v1/decide', ann)).json().decisionId;
  version = (await keyed.as('admin', 'GET', '/v1/policy-sets/invoices')).json().version;
  holdId = (await keyed.as('admin', 'POST', '/v1/holds', { reason: 'case 6' })).json().id;
});
afterAll(() => keyed.stop());

async function expectAsDocumented(
  operation: string,
  status: number,
  url: string,
  body?: object,
  service = keyed,
): Promise<void> {
  const [method, path] = operation.split(' ') as [string, string];
  const answer = await service.as('admin', method.toUpperCase() as 'GET', url, body);
  expect(answer.statusCode, answer.body).toBe(status);
  asked.add(`${operation} ${status}`);
  const response = document.paths[path][method].responses[status];
  expect(response, 'the status is documented').toBeDefined();
  if (status === 204) return;
  const type = String(answer.headers['content-type']).split(';')[0]!;
  expect(Object.keys(response.content ?? {})).toContain(type);
  const pointer = ['paths', path, method, 'responses', status, 'content', type, 'schema']
    .map((step) => encodeURIComponent(String(step).replaceAll('~', '~0').replaceAll('/', '~1')))
    .join('/');
  const validate = ajv.compile({ $ref: `document#/${pointer}` });
  expect(validate(/[/+]json$/.test(type) ? answer.json() : answer.body), JSON.stringify(validate.errors)).toBe(true);
}

/** Records of a client, which are refused. */
const recordsOf = (first: number) => ({
  instance: '0'.repeat(32),
  first,
  sentAt: new Date().toISOString(),
  records: [{}],
});

describe('what is answered is what the OpenAPI document says', () => {
  it.each<[string, number, string | (() => string), (object | (() => object))?]>([
    ['post /v1/decide', 200, '/v1/decide', ann],
    ['post /v1/decide', 200, '/v1/decide', { ...ann, explain: 'none' }],
    ['post /v1/decide', 200, '/v1/decide', { ...ann, explain: 'full', action: 'burn' }],
    ['post /v1/decide', 400, '/v1/decide', {}],
    ['post /v1/decide', 404, '/v1/decide', { ...ann, policySet: 'none' }],
    ['post /decide', 200, '/decide', ann],
    ['post /v1/decide/batch', 200, '/v1/decide/batch', { requests: [ann, {}, 5] }],
    ['post /v1/decide/batch', 400, '/v1/decide/batch', {}],
    ['post /v1/decision-records', 200, '/v1/decision-records', recordsOf(1)],
    ['post /v1/decision-records', 400, '/v1/decision-records', {}],
    ['post /v1/decision-records', 409, '/v1/decision-records', recordsOf(9)],
    ...['evaluation', 'evaluations', 'search/subject', 'search/resource', 'search/action'].flatMap(
      (name): [string, number, string, object][] => [
        [`post /access/v1/${name}`, 200, `/access/v1/${name}`, authzen],
        [`post /access/v1/${name}`, 400, `/access/v1/${name}`, {}],
        [`post /sets/{set}/access/v1/${name}`, 200, `/sets/invoices/access/v1/${name}`, authzen],
        [`post /sets/{set}/access/v1/${name}`, 404, `/sets/none/access/v1/${name}`, authzen],
      ],
    ),
    ['get /.well-known/authzen-configuration', 200, '/.well-known/authzen-configuration'],
    ['get /.well-known/authzen-configuration/sets/{set}', 200, '/.well-known/authzen-configuration/sets/invoices'],
    ['get /.well-known/authzen-configuration/sets/{set}', 404, '/.well-known/authzen-configuration/sets/none'],
    ['get /.well-known/jwks.json', 200, '/.well-known/jwks.json'],
    ['get /v1/decisions', 200, '/v1/decisions?limit=1'],
    ['get /v1/decisions', 200, '/v1/decisions'],
    ['get /v1/decisions', 400, '/v1/decisions?limit=0'],
    ['get /v1/decisions', 200, "/v1/decisions?expand=resolved&filter=decision%20==%20'allow'"],
    ['get /v1/decisions', 200, '/v1/decisions?filter=subject.nothing'],
    ['get /v1/decisions/{id}', 200, () => `/v1/decisions/${decisionId}?expand=resolved`],
    ['get /v1/decisions/{id}', 400, () => `/v1/decisions/${decisionId}?expand=all`],
    ['get /v1/decisions/{id}', 200, () => `/v1/decisions/${decisionId}`],
    ['get /v1/decisions/{id}', 404, '/v1/decisions/none'],
    ['get /v1/decisions/stats', 200, '/v1/decisions/stats?bucket=hour&by=policySet,decision&top=subject'],
    ['get /v1/decisions/stats', 400, '/v1/decisions/stats?bucket=year'],
    ['get /v1/decisions/export', 200, '/v1/decisions/export?format=ndjson'],
    ['get /v1/decisions/export', 200, '/v1/decisions/export?format=csv'],
    ['get /v1/decisions/export', 200, '/v1/decisions/export?proof=true'],
    ['get /v1/decisions/export', 400, '/v1/decisions/export?format=xml'],
    // What a stream answers with is tested over sockets, for it has no end (decision-stream.test.ts).
    ['get /v1/decisions/stream', 400, '/v1/decisions/stream?expand=all'],
    ['get /v1/decisions/writers', 200, '/v1/decisions/writers'],
    ['get /v1/decisions/checkpoints', 200, '/v1/decisions/checkpoints?limit=1'],
    ['get /v1/decisions/checkpoints', 400, '/v1/decisions/checkpoints?limit=0'],
    ['get /v1/decisions/checkpoints/consistency', 404, '/v1/decisions/checkpoints/consistency?from=0&to=0'],
    ['get /v1/decisions/checkpoints/consistency', 400, '/v1/decisions/checkpoints/consistency?from=1'],
    ['get /v1/decisions/keys', 200, '/v1/decisions/keys'],
    ['get /v1/decisions/{id}/proof', 404, () => `/v1/decisions/${decisionId}/proof`],
    ['get /v1/decisions/{id}/proof', 404, '/v1/decisions/none/proof'],
    ['post /v1/decisions/writers/{writer}/retire', 409, '/v1/decisions/writers/1/retire', {}],
    ['post /v1/decisions/writers/{writer}/retire', 404, '/v1/decisions/writers/9/retire', {}],
    ['post /v1/decisions/{id}/replay', 200, () => `/v1/decisions/${decisionId}/replay`, {}],
    ['post /v1/decisions/{id}/replay', 400, () => `/v1/decisions/${decisionId}/replay`, { version: 'new' }],
    ['post /v1/decisions/{id}/replay', 404, '/v1/decisions/none/replay', {}],
    ['get /v1/fleet', 200, '/v1/fleet'],
    ['get /v1/policy-sets', 200, '/v1/policy-sets'],
    ['get /v1/policy-sets/{set}', 200, '/v1/policy-sets/invoices'],
    ['get /v1/policy-sets/{set}', 404, '/v1/policy-sets/none'],
    ['get /v1/policy-sets/{set}/versions', 200, '/v1/policy-sets/invoices/versions?limit=1'],
    ['get /v1/policy-sets/{set}/versions', 400, '/v1/policy-sets/invoices/versions?limit=0'],
    ['get /v1/policy-sets/{set}/versions', 404, '/v1/policy-sets/none/versions'],
    ['get /v1/policy-sets/{set}/versions/{version}', 200, () => `/v1/policy-sets/invoices/versions/${version}`],
    ['get /v1/policy-sets/{set}/versions/{version}', 404, `/v1/policy-sets/invoices/versions/${unknownVersion}`],
    [
      'get /v1/policy-sets/{set}/versions/{version}/files/{path}',
      200,
      () => `/v1/policy-sets/invoices/versions/${version}/files/model.conf`,
    ],
    [
      'get /v1/policy-sets/{set}/versions/{version}/files/{path}',
      404,
      () => `/v1/policy-sets/invoices/versions/${version}/files/none`,
    ],
    ['post /v1/policy-sets/{set}/reload', 200, '/v1/policy-sets/invoices/reload'],
    ['post /v1/policy-sets/{set}/reload', 404, '/v1/policy-sets/none/reload'],
    ['post /v1/policy-sets/{set}/rollback', 200, '/v1/policy-sets/invoices/rollback', () => ({ version })],
    ['post /v1/policy-sets/{set}/rollback', 400, '/v1/policy-sets/invoices/rollback', {}],
    ['post /v1/policy-sets/{set}/rollback', 404, '/v1/policy-sets/invoices/rollback', { version: unknownVersion }],
    ['get /v1/policy-sets/{set}/diff', 200, () => `/v1/policy-sets/invoices/diff?from=${version}`],
    ['get /v1/policy-sets/{set}/bundle', 200, '/v1/policy-sets/invoices/bundle?wait=1'],
    ['get /v1/policy-sets/{set}/bundle', 400, '/v1/policy-sets/invoices/bundle?wait=61'],
    ['get /v1/policy-sets/{set}/bundle', 403, '/v1/policy-sets/salaries/bundle'],
    ['get /v1/policy-sets/{set}/bundle', 404, '/v1/policy-sets/none/bundle'],
    ['get /v1/policy-sets/{set}/diff', 400, '/v1/policy-sets/invoices/diff'],
    ['post /v1/policy-sets/{set}/who-can', 200, '/v1/policy-sets/invoices/who-can', { action: 'pay' }],
    ['post /v1/policy-sets/{set}/who-can', 400, '/v1/policy-sets/invoices/who-can', {}],
    ['post /v1/policy-sets/{set}/who-can', 404, '/v1/policy-sets/none/who-can', { action: 'pay' }],
    ['post /v1/policy-sets/{set}/what-can', 200, '/v1/policy-sets/invoices/what-can', { subject: 'ann' }],
    ['post /v1/policy-sets/{set}/what-can', 400, '/v1/policy-sets/invoices/what-can', {}],
    ['post /v1/policy-sets/{set}/what-can', 404, '/v1/policy-sets/none/what-can', { subject: 'ann' }],
    ['post /v1/policy-sets/{set}/access-review', 200, '/v1/policy-sets/invoices/access-review', () => ({ version })],
    ['post /v1/policy-sets/{set}/access-review', 400, '/v1/policy-sets/invoices/access-review', { limit: 0 }],
    [
      'post /v1/policy-sets/{set}/access-review',
      404,
      '/v1/policy-sets/invoices/access-review',
      { version: unknownVersion },
    ],
    ['get /v1/policy-sets/{set}/diff', 404, `/v1/policy-sets/invoices/diff?from=${unknownVersion}`],
    ['get /v1/policy-sets/{set}/roles', 200, '/v1/policy-sets/invoices/roles'],
    ['get /v1/policy-sets/{set}/roles', 400, '/v1/policy-sets/invoices/roles?limit=0'],
    ['get /v1/policy-sets/{set}/roles', 404, '/v1/policy-sets/none/roles'],
    ['get /v1/policy-sets/{set}/entities', 200, '/v1/policy-sets/invoices/entities'],
    ['get /v1/policy-sets/{set}/entities', 404, '/v1/policy-sets/none/entities'],
    ['post /v1/policy-sets/{set}/changes', 404, '/v1/policy-sets/none/changes', {}],
    ['post /v1/policy-sets/{set}/changes', 409, '/v1/policy-sets/invoices/changes', {}],
    ['get /v1/policy-sets/{set}/candidate', 404, '/v1/policy-sets/invoices/candidate'],
    ['put /v1/policy-sets/{set}/candidate', 200, '/v1/policy-sets/invoices/candidate', tried],
    ['put /v1/policy-sets/{set}/candidate', 400, '/v1/policy-sets/invoices/candidate', { mode: 'shadow' }],
    ['put /v1/policy-sets/{set}/candidate', 404, '/v1/policy-sets/none/candidate', tried],
    ['get /v1/policy-sets/{set}/candidate', 200, '/v1/policy-sets/invoices/candidate'],
    ['delete /v1/policy-sets/{set}/candidate', 204, '/v1/policy-sets/invoices/candidate'],
    ['delete /v1/policy-sets/{set}/candidate', 404, '/v1/policy-sets/invoices/candidate'],
    ['post /v1/policy-sets/{set}/candidate/promote', 404, '/v1/policy-sets/invoices/candidate/promote', {}],
    ['put /v1/policy-sets/{set}/candidate', 200, '/v1/policy-sets/invoices/candidate', tried],
    ['post /v1/policy-sets/{set}/candidate/promote', 200, '/v1/policy-sets/invoices/candidate/promote', {}],
    ['get /v1/policy-sets/{set}/files', 409, '/v1/policy-sets/invoices/files'],
    ['put /v1/policy-sets/{set}', 409, '/v1/policy-sets/invoices', { files: {} }],
    ['delete /v1/policy-sets/{set}', 409, '/v1/policy-sets/invoices'],
    ['post /v1/api-keys', 201, '/v1/api-keys', { name: 'new', scopes: ['decide'], expires: '2099-01-01T00:00:00Z' }],
    ['post /v1/api-keys', 400, '/v1/api-keys', {}],
    ['post /v1/api-keys', 409, '/v1/api-keys', { name: 'new', scopes: ['decide'] }],
    ['get /v1/api-keys', 200, '/v1/api-keys'],
    ['get /v1/api-keys/{name}', 200, '/v1/api-keys/new'],
    ['get /v1/api-keys/{name}', 404, '/v1/api-keys/none'],
    ['post /v1/api-keys/{name}/rotate', 200, '/v1/api-keys/new/rotate', {}],
    ['post /v1/api-keys/{name}/rotate', 404, '/v1/api-keys/none/rotate', {}],
    ['delete /v1/api-keys/{name}', 204, '/v1/api-keys/new'],
    ['delete /v1/api-keys/{name}', 404, '/v1/api-keys/none'],
    [
      'post /v1/policy-sets/{set}/simulations',
      202,
      '/v1/policy-sets/invoices/simulations',
      () => ({ candidate: { version } }),
    ],
    ['post /v1/policy-sets/{set}/simulations', 400, '/v1/policy-sets/invoices/simulations', {}],
    [
      'post /v1/policy-sets/{set}/simulations',
      404,
      '/v1/policy-sets/invoices/simulations',
      { candidate: { version: unknownVersion } },
    ],
    ['get /v1/policy-sets/{set}/simulations', 200, '/v1/policy-sets/invoices/simulations'],
    ['get /v1/policy-sets/{set}/simulations', 404, '/v1/policy-sets/none/simulations'],
    ['get /v1/policy-sets/{set}/simulations/{id}', 404, '/v1/policy-sets/invoices/simulations/none'],
    ['delete /v1/policy-sets/{set}/simulations/{id}', 404, '/v1/policy-sets/invoices/simulations/none'],
    ['post /v1/erasures/preview', 200, '/v1/erasures/preview', { subject: 'nobody' }],
    ['post /v1/erasures/preview', 400, '/v1/erasures/preview', {}],
    ['post /v1/erasures', 202, '/v1/erasures', { subject: 'nobody', reason: 'request 4711' }],
    ['post /v1/erasures', 400, '/v1/erasures', { subject: 'nobody', reason: 'nobody asked' }],
    ['get /v1/erasures', 200, '/v1/erasures?limit=1'],
    ['get /v1/erasures', 400, '/v1/erasures?limit=0'],
    ['get /v1/erasures/{id}', 404, '/v1/erasures/none'],
    ['get /v1/audit-events', 200, '/v1/audit-events?limit=1'],
    ['get /v1/audit-events', 400, '/v1/audit-events?limit=0'],
    [
      'post /v1/holds',
      201,
      '/v1/holds',
      { reason: 'case 7', policySets: ['invoices'], from: '2026-03-01', to: '2026-03-31' },
    ],
    ['post /v1/holds', 400, '/v1/holds', { reason: 'case 7', from: '2026-03-02', to: '2026-03-01' }],
    ['post /v1/holds', 404, '/v1/holds', { reason: 'case 7', policySets: ['none'] }],
    ['get /v1/holds', 200, '/v1/holds?limit=1'],
    ['get /v1/holds', 400, '/v1/holds?limit=0'],
    ['get /v1/holds/{id}', 200, () => `/v1/holds/${holdId}`],
    ['get /v1/holds/{id}', 404, '/v1/holds/none'],
    ['delete /v1/holds/{id}', 200, () => `/v1/holds/${holdId}`],
    ['delete /v1/holds/{id}', 404, () => `/v1/holds/${holdId}`],
    ['get /', 200, '/'],
    ['post /v1/session', 201, '/v1/session'],
    ['get /v1/session', 200, '/v1/session'],
    ['delete /v1/session', 204, '/v1/session'],
    ['get /health', 200, '/health'],
    ['get /health/live', 200, '/health/live'],
    ['get /health/ready', 200, '/health/ready'],
    ['get /metrics', 200, '/metrics'],
    ['get /v1/gateway/forward-auth', 400, '/v1/gateway/forward-auth'],
    ['get /sets/{set}/v1/gateway/forward-auth', 400, '/sets/invoices/v1/gateway/forward-auth'],
    ['get /v1/gateway/envoy', 401, '/v1/gateway/envoy'],
    ['get /sets/{set}/v1/gateway/envoy', 401, '/sets/invoices/v1/gateway/envoy'],
  ])('%s: %i for %s %j', async (operation, status, url, body) => {
    await expectAsDocumented(
      operation,
      status,
      typeof url === 'function' ? url() : url,
      typeof body === 'function' ? (body as () => object)() : body,
    );
  });

  it('is so where sets are written into the database, too', async () => {
    const service = await startKeyedService({ admin: `scopes: ${scopes}` }, { policySource: 'database' });
    const files = { 'model.conf': idModel, 'rules.csv': 'p, ann, doc, read\n' };
    const put = (status: number, body: object) =>
      expectAsDocumented('put /v1/policy-sets/{set}', status, '/v1/policy-sets/acl', body, service);
    await put(400, { files: {} });
    await put(200, { files });
    await put(428, { files });
    await expectAsDocumented('get /v1/policy-sets/{set}/files', 200, '/v1/policy-sets/acl/files', undefined, service);
    await expectAsDocumented('get /v1/policy-sets/{set}', 200, '/v1/policy-sets/acl', undefined, service);
    const ask = { subject: 'ann', action: 'read', resource: 'doc' };
    await expectAsDocumented('post /v1/decide', 200, '/v1/decide', ask, service);
    await expectAsDocumented('delete /v1/policy-sets/{set}', 204, '/v1/policy-sets/acl', undefined, service);
    await expectAsDocumented('delete /v1/policy-sets/{set}', 404, '/v1/policy-sets/acl', undefined, service);
    await service.stop();
  });

  it('is so where a set has live data, too', async () => {
    const service = await startKeyedService({ admin: `scopes: ${scopes}` }, { policySource: 'database' });
    const files = {
      'model.conf': idModel.replace('[policy_effect]', '[role_definition]\ng = _, _\n\n[policy_effect]'),
      'rules.csv': 'p, ann, doc, read\n',
      'policy-set.yaml': 'data: { roles: [g], entities: [user] }\n',
    };
    await expectAsDocumented('put /v1/policy-sets/{set}', 200, '/v1/policy-sets/acl', { files }, service);
    const entities = [
      { type: 'user', id: 'ann', attributes: { level: 3 } },
      { type: 'user', id: 'ben' },
    ];
    const roles = [
      ['g', 'ann', 'editor'],
      ['g', 'ben', 'editor'],
    ];
    const change = (status: number, body: object) =>
      expectAsDocumented('post /v1/policy-sets/{set}/changes', status, '/v1/policy-sets/acl/changes', body, service);
    await change(200, { add: { entities, roles }, remove: { roles: [], entities: [] } });
    await change(409, { add: { roles: [['g', 'editor', 'ann']] } });
    await change(400, { add: { roles: [['g2', 'editor', 'ann']] } });
    for (const list of ['roles', 'entities']) {
      for (const query of ['', '?limit=1']) {
        const path = `/v1/policy-sets/acl/${list}${query}`;
        await expectAsDocumented(`get /v1/policy-sets/{set}/${list}`, 200, path, undefined, service);
      }
    }
    const ask = { subject: 'ann', action: 'read', resource: 'doc' };
    await expectAsDocumented('post /v1/decide', 200, '/v1/decide', ask, service);
    await expectAsDocumented('get /v1/policy-sets/{set}', 200, '/v1/policy-sets/acl', undefined, service);
    await service.stop();
  });

  it('is so for a simulation that has ended, too', async () => {
    const path = '/v1/policy-sets/invoices/simulations';
    const files = { 'model.conf': idModel, 'rules.csv': 'p, ben, invoice, pay\n' };
    const begun = await keyed.as('admin', 'POST', path, { candidate: { files } });
    const url = `${path}/${begun.json().id}`;
    while ((await keyed.as('admin', 'GET', url)).json().state === 'running') await delay(10);
    await expectAsDocumented('get /v1/policy-sets/{set}/simulations/{id}', 200, url);
    expect((await keyed.as('admin', 'GET', url)).json().result.lost).toBeGreaterThan(0);
    await expectAsDocumented('get /v1/policy-sets/{set}/simulations', 200, path);
    await expectAsDocumented('delete /v1/policy-sets/{set}/simulations/{id}', 204, url);
  });

  it('and no operation was left out', () => {
    const documented = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    const reached = [...asked].map((each) => each.slice(0, each.lastIndexOf(' ')));
    expect(documented.filter((operation) => !reached.includes(operation))).toEqual([]);
  });
});
