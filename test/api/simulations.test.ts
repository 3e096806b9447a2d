/** Simulations of a policy set over HTTP: begun, looked at, ended, and by whom. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LiveDataStore } from '../../src/policy-store/data/live-data-store.js';
import { idModel } from '../models.js';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';

const model = idModel;
const rules = 'p, bob, invoice, pay\n';

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService({
    app: 'scopes: [decide]',
    analyst: 'scopes: ["policies:read:invoices", "decisions:read:invoices"]',
    steward: 'scopes: ["policies:read:invoices", "decisions:read:invoices", "data:read:invoices"]',
    blind: 'scopes: ["policies:read", "decisions:read:salaries"]',
    reader: 'scopes: ["decisions:read"]',
    writer: 'scopes: ["policies:write", "policies:read", "decisions:read"]',
  });
  for (const subject of ['ann', 'bob', 'ann', 'eve']) {
    const asked = { subject, action: 'pay', resource: 'invoice', policySet: 'invoices' };
    expect((await keyed.as('app', 'POST', '/v1/decide', asked)).statusCode).toBe(200);
  }
});
afterAll(() => keyed.stop());

const path = '/v1/policy-sets/invoices/simulations';
const candidate = { files: { 'model.conf': model, 'rules.csv': rules } };
const begin = (body: object, by = 'analyst') => keyed.as(by, 'POST', path, body);

async function ended(location: string, by = 'analyst') {
  for (;;) {
    const { statusCode, body } = await keyed.as(by, 'GET', location);
    expect(statusCode, body).toBe(200);
    const simulation = JSON.parse(body);
    if (simulation.state !== 'running') return simulation;
    // Asked without a pause, it would have no turn.
    await delay(10);
  }
}

describe('POST /v1/policy-sets/{set}/simulations', () => {
  it('answers logged decisions on files, and says who gains and who loses', async () => {
    const started = await begin({ candidate });
    expect(started.statusCode, started.body).toBe(202);
    expect(started.json()).toMatchObject({ policySet: 'invoices', state: 'running', by: 'analyst' });
    const location = String(started.headers.location);
    expect(location).toBe(`${path}/${started.json().id}`);
    const simulation = await ended(location);
    expect(simulation).toMatchObject({
      state: 'done',
      answered: 4,
      changed: 3,
      result: {
        complete: true,
        gained: 1,
        lost: 2,
        unchecked: [],
        rules: [
          { kind: 'loss', count: 2, before: { rule: ['p', 'ann', 'invoice', 'pay'], file: 'rules.csv', line: 1 } },
          { kind: 'gain', count: 1, after: { rule: ['p', 'bob', 'invoice', 'pay'] } },
        ],
      },
    });
    expect(Date.parse(simulation.keptUntil)).toBeGreaterThan(Date.now());
    const listed = (await keyed.as('analyst', 'GET', path)).json();
    expect(listed.items[0]).toMatchObject({ id: simulation.id, state: 'done' });
    expect(listed.items[0]).not.toHaveProperty('result');
    expect((await keyed.as('analyst', 'DELETE', location)).statusCode).toBe(204);
    expect((await keyed.as('analyst', 'GET', location)).statusCode).toBe(404);
  });

  it('takes a version that has served, times and a filter', async () => {
    const { version } = (await keyed.as('writer', 'GET', '/v1/policy-sets/invoices')).json();
    const filter = "subject == 'ann' && decision == 'allow'";
    const started = await begin({ candidate: { version }, filter, from: '2020-01-01T00:00:00Z' });
    const { result } = await ended(String(started.headers.location));
    expect(result).toMatchObject({ candidate: version, answered: 2, changed: 0, complete: true });
    const none = await begin({ candidate: { version }, to: '2020-01-01T00:00:00Z' });
    expect((await ended(String(none.headers.location))).result).toMatchObject({ answered: 0, complete: false });
  });

  it('wants data:read too for a candidate that is asked with the live data of the set', async () => {
    const data = keyed.service.app.get(LiveDataStore);
    await data.write('invoices', {
      added: { roles: [], entities: [{ type: 'user', id: 'ann', attributes: { ssn: '078-05-1120' } }] },
      removed: { roles: [], entities: [] },
      after: await data.revisions('invoices'),
      by: 'carol',
      at: Date.now(),
      version: '',
    });
    const withData = { files: { ...candidate.files, 'policy-set.yaml': 'data: { entities: [user] }\n' } };
    const refused = await begin({ candidate: withData });
    expect(refused.statusCode, refused.body).toBe(403);
    expect(refused.json().detail).toContain('"data:read"');
    const { items } = (await keyed.as('reader', 'GET', '/v1/audit-events?type=scope_refused')).json();
    expect(items[0]).toMatchObject({ actor: 'analyst', detail: 'data:read:invoices' });
    expect((await begin({ candidate })).statusCode).toBe(202);
    expect((await begin({ candidate: withData }, 'steward')).statusCode).toBe(202);
  });

  it('leaves an audit event of each read of a result, and none of how far it is', async () => {
    const started = await begin({ candidate });
    const { id } = started.json();
    const reads = async () =>
      (await keyed.as('reader', 'GET', '/v1/audit-events?type=simulation_read'))
        .json()
        .items.filter(({ detail }: { detail: string }) => detail === `GET ${path}/${id}`);
    await ended(`${path}/${id}`);
    expect((await keyed.as('steward', 'GET', `${path}/${id}`)).statusCode).toBe(200);
    expect(await reads()).toMatchObject([
      { actor: 'steward', policySet: 'invoices', count: 1 },
      { actor: 'analyst', policySet: 'invoices', count: 1 },
    ]);
  });

  it('leaves no record of a decision, and an audit event', async () => {
    const before = (await keyed.as('reader', 'GET', '/v1/decisions?limit=1')).json().items[0].id;
    const started = await begin({ candidate });
    await ended(String(started.headers.location));
    expect((await keyed.as('reader', 'GET', '/v1/decisions?limit=1')).json().items[0].id).toBe(before);
    const { items } = (await keyed.as('reader', 'GET', '/v1/audit-events?type=simulation_started')).json();
    expect(items[0]).toMatchObject({ actor: 'analyst', policySet: 'invoices' });
  });

  it.each<[object, number, string]>([
    [{}, 400, 'candidate is required'],
    [{ candidate: {} }, 400, 'candidate must have either version or files'],
    [{ candidate: { version: `sha256:${'0'.repeat(64)}`, ...candidate } }, 400, 'either version or files'],
    [{ candidate: { version: 'v1' } }, 400, 'version'],
    [{ candidate: { version: `sha256:${'0'.repeat(64)}` } }, 404, 'never served version'],
    [{ candidate: { files: {} } }, 400, 'model.conf'],
    [{ candidate: { files: { 'model.conf': model, 'rules.csv': 'p, ann\n' } } }, 400, 'rules.csv:1'],
    [{ candidate: { files: { 'model.conf': 5 } } }, 400, 'must be a string'],
    [{ candidate, from: 'yesterday' }, 400, 'from must be a RFC 3339 time'],
    [{ candidate, from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }, 400, 'to is not after from'],
    [{ candidate, filter: 'subject ==' }, 400, 'filter is no condition'],
    [{ candidate, other: 1 }, 400, 'property other should not exist'],
  ])('refuses %j', async (body, status, why) => {
    const answer = await begin(body);
    expect(answer.statusCode, answer.body).toBe(status);
    expect(answer.body).toContain(why);
  });

  it('wants to read the policies and the decisions of the set', async () => {
    for (const [by, status] of [
      ['app', 403],
      ['reader', 403],
      ['blind', 403],
    ] as const) {
      expect((await begin({ candidate }, by)).statusCode, by).toBe(status);
      expect((await keyed.as(by, 'GET', path)).statusCode, by).toBe(status);
    }
    const other = '/v1/policy-sets/salaries/simulations';
    expect((await keyed.as('analyst', 'POST', other, { candidate })).statusCode).toBe(404);
    expect((await keyed.as('writer', 'POST', '/v1/policy-sets/none/simulations', { candidate })).statusCode).toBe(404);
    const started = await begin({ candidate });
    const { id } = started.json();
    await ended(`${path}/${id}`);
    expect((await keyed.as('writer', 'GET', `${other}/${id}`)).statusCode).toBe(404);
  });

  it('says of an id of another replica that this one cannot know it', async () => {
    const foreign = `7d3a4c52-0b9e-4f6e-9a51-1c2d3e4f5a6b.${Buffer.from('pdp-2').toString('base64url')}`;
    const answer = await keyed.as('analyst', 'GET', `${path}/${foreign}`);
    expect(answer.statusCode).toBe(404);
    expect(answer.json()).toMatchObject({ type: 'urn:verdict:problem:simulation_not_found' });
    expect(answer.json().detail).toContain('another replica');
    const unknown = await keyed.as('analyst', 'GET', `${path}/none`);
    expect(unknown.json().detail).not.toContain('another replica');
  });
});
