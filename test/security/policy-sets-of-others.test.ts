/** A caller who is limited to one policy set cannot decide on, list, read the records of, or learn of any other. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KeyedService, startKeyedService } from './keyed-service.js';

const allSets = 'decide, explain, decisions:read, policies:read, policies:write, keys:admin';
let keyed: KeyedService;

beforeAll(async () => {
  keyed = await startKeyedService({
    admin: `scopes: [${allSets}]`,
    clerk: `scopes: [${allSets}]\nsets: [invoices]`,
    auditor: 'scopes: ["decisions:read:invoices", "decisions:read:default"]',
    pair: 'scopes: ["decide:invoices", "decide:salaries"]',
    plain: 'scopes: [decide]',
    meter: 'scopes: ["metrics:read:invoices", "metrics:read:default"]',
    prometheus: 'scopes: ["metrics:read"]',
    edge: 'scopes: [decide]\ncertificate: CN=Edge',
  });
  const ask = (subject: string, action: string, resource: string, policySet: string) =>
    keyed.as('admin', 'POST', '/v1/decide', { subject, action, resource, policySet });
  for (let n = 0; n < 5; n++) {
    await ask('ann', 'pay', 'invoice', 'invoices');
    await ask('eve', 'read', 'salary', 'salaries');
    await ask('ann', 'read', 'doc', 'default');
  }
});
afterAll(() => keyed.stop());

const question = { subject: 'ann', action: 'pay', resource: 'invoice' };

describe('a caller who is limited to invoices', () => {
  it('decides there, and by default there', async () => {
    const named = await keyed.as('clerk', 'POST', '/v1/decide', { ...question, policySet: 'invoices' });
    expect(named.json()).toMatchObject({ allowed: true, policySet: 'invoices' });
    const unnamed = await keyed.as('clerk', 'POST', '/decide', question);
    expect(unnamed.json()).toMatchObject({ allowed: true, policySet: 'invoices' });
  });

  it('gets for another set what he gets for one that is not there, to the letter', async () => {
    const answers = await Promise.all(
      ['salaries', 'no-such-set'].map((policySet) =>
        keyed.as('clerk', 'POST', '/v1/decide', { ...question, policySet }, { 'x-request-id': 'same' }),
      ),
    );
    const [hidden, missing] = answers.map((answer) => answer.body.replaceAll(/salaries|no-such-set/g, '<set>'));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([404, 404]);
    expect(hidden).toBe(missing);
  });

  it.each([
    ['GET', '/v1/policy-sets/<set>'],
    ['GET', '/v1/policy-sets/<set>/versions'],
    ['GET', `/v1/policy-sets/<set>/versions/sha256:${'0'.repeat(64)}/files/rules.csv`],
    ['POST', '/v1/policy-sets/<set>/reload'],
  ] as const)('cannot tell a hidden set from a missing one at %s %s', async (method, url) => {
    const answers = await Promise.all(
      ['salaries', 'no-such-set'].map((set) =>
        keyed.as('clerk', method, url.replace('<set>', set), undefined, { 'x-request-id': 'same' }),
      ),
    );
    const [hidden, missing] = answers.map((answer) => answer.body.replaceAll(/salaries|no-such-set/g, '<set>'));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([404, 404]);
    expect(hidden).toBe(missing);
  });

  it('reads the files of his sets and of no other', async () => {
    const url = async (set: string) => {
      const { version } = (await keyed.as('admin', 'GET', `/v1/policy-sets/${set}`)).json();
      return `/v1/policy-sets/${set}/versions/${version}/files/rules.csv`;
    };
    expect((await keyed.as('clerk', 'GET', await url('invoices'))).statusCode).toBe(200);
    expect((await keyed.as('admin', 'GET', await url('salaries'))).body).toMatch(/^p, /);
    const hidden = await keyed.as('clerk', 'GET', await url('salaries'));
    expect(hidden.statusCode).toBe(404);
    expect(hidden.json().type).toBe('urn:verdict:problem:policy_set_not_found');
  });

  it('gets a problem for each item of a batch that is about another set, and answers for the rest', async () => {
    const answer = await keyed.as('clerk', 'POST', '/v1/decide/batch', {
      requests: [{ ...question }, { ...question, policySet: 'salaries' }, { ...question, policySet: 'invoices' }],
    });
    const { decisions } = answer.json();
    expect(decisions[0]).toMatchObject({ allowed: true });
    expect(decisions[1]).toMatchObject({ problem: { type: 'urn:verdict:problem:policy_set_not_found' } });
    expect(decisions[2]).toMatchObject({ allowed: true });
  });

  it('lists his sets and no other', async () => {
    const answer = await keyed.as('clerk', 'GET', '/v1/policy-sets');
    expect(answer.json().items.map(({ name }: { name: string }) => name)).toEqual(['invoices']);
    expect(answer.body).not.toMatch(/salaries|default/);
  });

  it.each([
    '/v1/decisions?limit=1000',
    '/v1/decisions?policySet=salaries',
    '/v1/decisions?subject=eve',
    '/v1/decisions?q=salary',
    '/v1/decisions?caller=admin&decision=allow',
  ])('reads no record of another set by %s', async (url) => {
    const answer = await keyed.as('clerk', 'GET', url);
    expect(answer.statusCode).toBe(200);
    for (const { policySet } of answer.json().items) expect(policySet).toBe('invoices');
    expect(answer.body).not.toMatch(/salar|eve/);
  });

  it('pages through his records without gaps where those of others were', async () => {
    const ids: string[] = [];
    let url = '/v1/decisions?limit=2&decision=allow&subject=ann';
    for (let pages = 0; url !== '' && pages < 50; pages++) {
      const { items, nextCursor } = (await keyed.as('clerk', 'GET', url)).json();
      ids.push(...items.map(({ id }: { id: string }) => id));
      url = nextCursor === undefined ? '' : `/v1/decisions?limit=2&decision=allow&subject=ann&cursor=${nextCursor}`;
    }
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(5);
  });

  it('does not find a record of another set by its id', async () => {
    const { items } = (await keyed.as('admin', 'GET', '/v1/decisions?policySet=salaries&limit=1')).json();
    const hidden = await keyed.as('clerk', 'GET', `/v1/decisions/${items[0].id}`);
    expect(hidden.statusCode).toBe(404);
    expect(hidden.body).not.toContain('eve');
    expect((await keyed.as('admin', 'GET', `/v1/decisions/${items[0].id}`)).statusCode).toBe(200);
  });

  it('counts no decision of another set', async () => {
    const answer = await keyed.as('clerk', 'GET', '/v1/decisions/stats');
    expect(answer.statusCode).toBe(200);
    expect(answer.body).not.toMatch(/salaries|"default"/);
  });

  it('exports no decision of another set', async () => {
    const answer = await keyed.as('clerk', 'GET', '/v1/decisions/export?format=ndjson');
    expect(answer.statusCode).toBe(200);
    expect(answer.body).toContain('invoices');
    expect(answer.body).not.toMatch(/salar|eve/);
  });

  it('does not see by the sequence of records how many there are of all sets', async () => {
    const [mine, all] = await Promise.all(
      ['clerk', 'admin'].map(async (name) => (await keyed.as(name, 'GET', '/v1/decisions?policySet=invoices')).json()),
    );
    expect(all.items[0].sequence).toEqual(expect.any(Number));
    expect(mine.items.map(({ id }: { id: string }) => id)).toEqual(all.items.map(({ id }: { id: string }) => id));
    for (const item of mine.items) expect(item).not.toHaveProperty('sequence');
    const one = await keyed.as('clerk', 'GET', `/v1/decisions/${mine.items[0].id}`);
    expect(one.json()).not.toHaveProperty('sequence');
    expect((await keyed.as('admin', 'GET', `/v1/decisions/${mine.items[0].id}`)).json()).toHaveProperty('sequence');
    const lines = (await keyed.as('clerk', 'GET', '/v1/decisions/export?format=ndjson')).body.trim().split('\n');
    for (const line of lines) expect(JSON.parse(line)).not.toHaveProperty('sequence');
    const [head, ...rows] = (await keyed.as('clerk', 'GET', '/v1/decisions/export?format=csv')).body
      .trim()
      .split('\r\n');
    expect(head).toMatch(/,sequence,localInstance,localNumber,decidedAt,disputed$/);
    for (const row of rows) expect(row).toMatch(/,{5}$/);
  });

  it('does not see it by cursors either, which say nothing and cannot be made up', async () => {
    for (const path of ['/v1/decisions', '/v1/audit-events']) {
      const { nextCursor } = (await keyed.as('clerk', 'GET', `${path}?limit=1`)).json();
      const again = (await keyed.as('clerk', 'GET', `${path}?limit=1`)).json();
      expect(nextCursor).not.toBe(again.nextCursor);
      // Of one length, however many digits there are in it.
      expect((Buffer.from(nextCursor, 'base64url').length - 12 - 16) % 64).toBe(0);
      const second = await keyed.as('clerk', 'GET', `${path}?limit=1&cursor=${nextCursor}`);
      expect(second.json().items).toHaveLength(1);
      const ofAdmin = (await keyed.as('admin', 'GET', `${path}?limit=1`)).json().nextCursor;
      for (const cursor of [ofAdmin, '7', 'x', nextCursor.slice(4), `${nextCursor.slice(0, -4)}AAAA`]) {
        const refused = await keyed.as('clerk', 'GET', `${path}?limit=1&cursor=${cursor}`);
        expect(refused.statusCode).toBe(400);
        expect(refused.json().errors).toEqual([{ pointer: '/cursor', detail: 'is not a cursor of this service' }]);
      }
    }
  });

  it('does not see by the ids of audit events how many there are', async () => {
    const { items } = (await keyed.as('clerk', 'GET', '/v1/audit-events')).json();
    expect(items.length).toBeGreaterThan(0);
    for (const item of items) expect(item).not.toHaveProperty('id');
  });

  it.each(['/metrics', '/health'])('does not see what shows all sets: %s', async (url) => {
    const answer = await keyed.as('meter', 'GET', url);
    expect(answer.statusCode).toBe(403);
    expect(answer.json().detail).toContain('for all policy sets');
    expect((await keyed.as('prometheus', 'GET', url)).body).toContain('salaries');
  });

  it('gets no export that proves the log, since it shows how much all sets decide', async () => {
    const refused = await keyed.as('clerk', 'GET', '/v1/decisions/export?proof=true');
    expect(refused.statusCode).toBe(403);
    expect(refused.json().detail).toContain('for all policy sets');
    const given = await keyed.as('clerk', 'GET', '/v1/decisions/export?proof=');
    expect(given.statusCode).toBe(403);
    expect((await keyed.as('admin', 'GET', '/v1/decisions/export?proof=true')).body).toMatch(/\{"end":true\}\n$/);
    expect((await keyed.as('clerk', 'GET', '/v1/decisions/export')).statusCode).toBe(200);
  });

  it('reads no audit event about another set, or about the service', async () => {
    await keyed.as('admin', 'GET', '/v1/decisions?policySet=salaries');
    await keyed.inject({ method: 'GET', url: '/v1/decisions' });
    const { items } = (await keyed.as('clerk', 'GET', '/v1/audit-events?limit=1000')).json();
    for (const { policySet } of items) expect(policySet).toBe('invoices');
    const all = (await keyed.as('admin', 'GET', '/v1/audit-events?limit=1000')).json().items;
    expect(all.map(({ type }: { type: string }) => type)).toEqual(expect.arrayContaining(['authentication_failed']));
  });

  it('makes no key that reaches further, and sees no key that does', async () => {
    const refused = await keyed.as('clerk', 'POST', '/v1/api-keys', { name: 'mine', scopes: ['decide'] });
    expect(refused.statusCode).toBe(403);
    const other = await keyed.as('clerk', 'POST', '/v1/api-keys', { name: 'mine', scopes: ['decide:salaries'] });
    expect(other.statusCode).toBe(403);
    await keyed.as('admin', 'POST', '/v1/api-keys', { name: 'of-admin', scopes: ['decide'] });
    for (const [method, url] of [
      ['GET', '/v1/api-keys/of-admin'],
      ['POST', '/v1/api-keys/of-admin/rotate'],
      ['DELETE', '/v1/api-keys/of-admin'],
    ] as const) {
      expect((await keyed.as('clerk', method, url, method === 'POST' ? {} : undefined)).statusCode).toBe(404);
    }
    const made = await keyed.as('clerk', 'POST', '/v1/api-keys', { name: 'mine', scopes: ['decide:invoices'] });
    expect(made.statusCode).toBe(201);
    expect(
      (await keyed.as('clerk', 'GET', '/v1/api-keys')).json().items.map(({ name }: { name: string }) => name),
    ).toEqual(['mine']);
  });
});

/** P7: a scope that can be handed out is as good as one's own. */
describe('a key administrator of some sets', () => {
  let lead: KeyedService;
  beforeAll(async () => {
    lead = await startKeyedService({
      admin: 'scopes: ["keys:admin"]',
      lead: 'scopes: ["keys:admin:invoices", "decide:invoices", "explain:salaries"]',
      bare: 'scopes: ["keys:admin:invoices"]',
      two: 'scopes: ["keys:admin:invoices", "keys:admin:default", "decide:invoices"]',
      wide: 'scopes: ["keys:admin:invoices", decide, explain]',
    });
  });
  afterAll(() => lead.stop());

  const create = (by: string, name: string, ...scopes: string[]) =>
    lead.as(by, 'POST', '/v1/api-keys', { name, scopes });
  let made = 0;

  it.each([
    ['lead', 'decide:invoices'],
    ['lead', 'keys:admin:invoices'],
    ['bare', 'keys:admin:invoices'],
    ['two', 'decide:invoices'],
    ['wide', 'decide:invoices'],
    ['admin', 'decide'],
    ['admin', 'policies:write:invoices'],
    ['admin', 'keys:admin'],
  ])('hands out what it holds itself, and whoever administers all sets anything: %s, %s', async (by, scope) => {
    expect((await create(by, `given-${made++}`, scope)).statusCode).toBe(201);
  });

  it.each([
    ['lead', 'policies:write:invoices'],
    ['lead', 'decisions:read:invoices'],
    ['lead', 'explain:invoices'],
    ['bare', 'decide:invoices'],
    ['two', 'decide:default'],
  ])('cannot hand out what it does not hold for the set itself: %s, %s', async (by, scope) => {
    const refused = await create(by, `refused-${made++}`, scope, 'keys:admin:invoices');
    expect(refused.statusCode).toBe(403);
    expect(refused.json()).toMatchObject({
      type: 'urn:verdict:problem:forbidden',
      detail: `The key has scopes that the credential does not hold itself: ${scope}.`,
    });
  });

  it('cannot hand it out by a key that is limited to its sets, either', async () => {
    const body = { name: 'limited', scopes: ['decide', 'policies:write'], sets: ['invoices'] };
    const refused = await lead.as('lead', 'POST', '/v1/api-keys', body);
    expect(refused.statusCode).toBe(403);
    expect(refused.json().detail).toContain('policies:write:invoices.');
    expect((await lead.as('lead', 'POST', '/v1/api-keys', { ...body, scopes: ['decide'] })).statusCode).toBe(201);
  });

  it('cannot come by it through the secret of a rotated key, which it may see and revoke', async () => {
    expect((await create('admin', 'writer', 'policies:write:invoices')).statusCode).toBe(201);
    const rotated = await lead.as('lead', 'POST', '/v1/api-keys/writer/rotate', {});
    expect(rotated.statusCode).toBe(403);
    expect(rotated.body).not.toContain('"key"');
    expect((await lead.as('lead', 'GET', '/v1/api-keys/writer')).json().secrets).toHaveLength(1);
    expect((await lead.as('lead', 'DELETE', '/v1/api-keys/writer')).statusCode).toBe(204);
    expect((await create('lead', 'decider', 'decide:invoices')).statusCode).toBe(201);
    expect((await lead.as('lead', 'POST', '/v1/api-keys/decider/rotate', {})).statusCode).toBe(200);
  });

  it('cannot by a key that it made, nor can that key make one', async () => {
    const { key } = (await create('bare', 'deputy', 'keys:admin:invoices')).json();
    const body = { name: 'of-deputy', scopes: ['decide:invoices'] };
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const refused = await lead.inject({ method: 'POST', url: '/v1/api-keys', headers, payload: body });
    expect(refused.statusCode).toBe(403);
  });
});

describe('a key administrator', () => {
  it.each(['admin', 'Admin', 'CLERK', 'CN=Edge', 'cn=edge', 'anonymous', 'Anonymous'])(
    'cannot name a key like a caller of another kind, whatever the case of its letters: %s',
    async (name) => {
      for (const by of ['admin', 'clerk']) {
        const answer = await keyed.as(by, 'POST', '/v1/api-keys', { name, scopes: ['decide:invoices'] });
        expect(answer.statusCode).toBe(409);
        expect(answer.json().type).toBe('urn:verdict:problem:api_key_exists');
      }
    },
  );

  it.each(['ѕhop', ' shop', 'shop ', 'sh\u200bop', 'shop\n', 'a:b', '', 'x'.repeat(129)])(
    'cannot name a key so that it only looks like another: %j',
    async (name) => {
      const answer = await keyed.as('admin', 'POST', '/v1/api-keys', { name, scopes: ['decide'] });
      expect(answer.statusCode).toBe(400);
    },
  );
});

describe('a caller with two sets and no default', () => {
  it('is told his own sets and no other', async () => {
    const answer = await keyed.as('pair', 'POST', '/v1/decide', question);
    expect(answer.statusCode).toBe(400);
    expect(answer.json().detail).toBe(
      'There is no default policy set, so policySet must be one of: invoices, salaries.',
    );
  });

  it('reads the records of neither, since nothing says that he may', async () => {
    expect((await keyed.as('pair', 'GET', '/v1/decisions')).statusCode).toBe(403);
  });
});

describe('an auditor of two sets', () => {
  it('finds the records of both and of no third', async () => {
    const { items } = (await keyed.as('auditor', 'GET', '/v1/decisions?limit=1000')).json();
    expect(new Set(items.map(({ policySet }: { policySet: string }) => policySet))).toEqual(
      new Set(['invoices', 'default']),
    );
  });
});

describe('the scope explain', () => {
  it('is needed for a full explanation', async () => {
    const full = { ...question, policySet: 'invoices', explain: 'full' };
    expect((await keyed.as('plain', 'POST', '/v1/decide', full)).statusCode).toBe(403);
    expect((await keyed.as('clerk', 'POST', '/v1/decide', full)).json()).toMatchObject({
      explanation: expect.any(Object),
    });
    const batch = await keyed.as('plain', 'POST', '/v1/decide/batch', { requests: [full] });
    expect(batch.json().decisions[0]).toMatchObject({ problem: { status: 403 } });
  });

  it('lets a caller set the clock, and no other caller', async () => {
    const then = { ...question, policySet: 'invoices', at: '2030-01-01T00:00:00Z' };
    expect((await keyed.as('plain', 'POST', '/v1/decide', then)).statusCode).toBe(400);
    const { decisionId } = (await keyed.as('clerk', 'POST', '/v1/decide', then)).json();
    const record = (await keyed.as('clerk', 'GET', `/v1/decisions/${decisionId}`)).json();
    expect(record.clock).toBe('2030-01-01T00:00:00.000Z');
  });
});

describe('a record', () => {
  it('names the caller and how he authenticated', async () => {
    const basic = Buffer.from(`clerk:${keyed.keys.clerk}`).toString('base64');
    const answer = await keyed.as('clerk', 'POST', '/v1/decide', question, { authorization: `Basic ${basic}` });
    const record = (await keyed.as('clerk', 'GET', `/v1/decisions/${answer.json().decisionId}`)).json();
    expect(record).toMatchObject({ caller: 'clerk', authentication: 'basic' });
  });
});
