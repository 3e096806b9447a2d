/** Holds over HTTP: who may make which, what is refused, what is written down. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService({
    legal: 'scopes: ["decisions:erase", "decisions:read"]',
    invoices: 'scopes: ["decisions:erase:invoices"]',
    reader: 'scopes: ["decisions:read"]',
  });
});
afterAll(() => keyed.stop());

const add = (name: string, body: object) => keyed.as(name, 'POST', '/v1/holds', body);

const codeOf = (answer: { json(): { type: string } }) => answer.json().type.replace('urn:verdict:problem:', '');

describe('holds', () => {
  it('say who made them, what they keep, and who released them; both are audit events', async () => {
    const body = { policySets: ['invoices', 'invoices'], from: '2026-03-01', to: '2026-03-31', tz: 'Europe/Zurich' };
    const answer = await add('legal', { ...body, reason: 'case 2026-117' });
    expect(answer.statusCode).toBe(201);
    const made = answer.json();
    expect(made).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      reason: 'case 2026-117',
      policySets: ['invoices'],
      from: '2026-02-28T23:00:00.000Z',
      to: '2026-03-31T22:00:00.000Z',
      by: 'legal',
      created: expect.any(String),
    });
    expect((await keyed.as('legal', 'GET', `/v1/holds/${made.id}`)).json()).toEqual(made);
    expect((await keyed.as('legal', 'GET', '/v1/holds')).json().items).toContainEqual(made);
    const released = (await keyed.as('legal', 'DELETE', `/v1/holds/${made.id}`)).json();
    expect(released).toEqual({ ...made, released: expect.any(String), releasedBy: 'legal' });
    const events = (await keyed.as('legal', 'GET', '/v1/audit-events?actor=legal'))
      .json()
      .items.filter(({ type }: { type: string }) => type.startsWith('hold_'));
    const about = { actor: 'legal', method: 'api_key', policySet: 'invoices', requestId: expect.any(String) };
    const detail = `${made.id}: decisions of invoices from ${made.from} to ${made.to}: case 2026-117`;
    expect(events).toMatchObject([
      { type: 'hold_released', ...about, detail },
      { type: 'hold_added', ...about, detail },
    ]);
  });

  it.each<[string, object, number, string, string]>([
    ['without a reason', {}, 400, 'invalid_request', '/reason'],
    ['with an empty reason', { reason: '' }, 400, 'invalid_request', '/reason'],
    ['with a reason of 513 characters', { reason: 'x'.repeat(513) }, 400, 'invalid_request', '/reason'],
    ['with no set in its list', { reason: 'r', policySets: [] }, 400, 'invalid_request', '/policySets'],
    ['from what is no time', { reason: 'r', from: 'March' }, 400, 'invalid_request', '/from'],
    ['to a day that is not there', { reason: 'r', to: '2026-02-30' }, 400, 'invalid_request', '/to'],
    ['to a day whose end has no date', { reason: 'r', to: '9999-12-31' }, 400, 'invalid_request', '/to'],
    ['from before the year 0000', { reason: 'r', from: '0000-01-01T00:00:00+01:00' }, 400, 'invalid_request', '/from'],
    ['in no time zone', { reason: 'r', from: '2026-02-03', tz: 'Mars' }, 400, 'invalid_request', '/tz'],
    [
      'that ends as it begins',
      { reason: 'r', from: '2026-02-03T00:00:00Z', to: '2026-02-03T00:00:00Z' },
      400,
      'invalid_request',
      '/to',
    ],
    [
      'that ends before it begins',
      { reason: 'r', from: '2026-02-03', to: '2026-02-01' },
      400,
      'invalid_request',
      '/to',
    ],
    ['with an unknown member', { reason: 'r', policySet: 'invoices' }, 400, 'invalid_request', '/policySet'],
    ['of a set that never served', { reason: 'r', policySets: ['invoices', 'none'] }, 404, 'policy_set_not_found', ''],
  ])('%s are refused', async (_name, body, status, code, pointer) => {
    const answer = await add('legal', body);
    expect(answer.statusCode, answer.body).toBe(status);
    expect(codeOf(answer)).toBe(code);
    if (pointer !== '') expect(answer.json().errors[0].pointer).toBe(pointer);
  });

  it('of other sets are neither seen, made nor released with a credential for some (P7)', async () => {
    const all = (await add('legal', { reason: 'all' })).json();
    const other = (await add('legal', { reason: 'salaries', policySets: ['salaries', 'invoices'] })).json();
    const own = (await add('invoices', { reason: 'own', policySets: ['invoices'] })).json();
    expect((await add('invoices', { reason: 'all' })).statusCode).toBe(403);
    expect(codeOf(await add('invoices', { reason: 'r', policySets: ['salaries'] }))).toBe('policy_set_not_found');
    expect((await keyed.as('invoices', 'GET', '/v1/holds')).json().items).toMatchObject([{ id: own.id }, {}]);
    for (const { id } of [all, other]) {
      expect(codeOf(await keyed.as('invoices', 'GET', `/v1/holds/${id}`))).toBe('hold_not_found');
      expect(codeOf(await keyed.as('invoices', 'DELETE', `/v1/holds/${id}`))).toBe('hold_not_found');
    }
    expect((await keyed.as('invoices', 'DELETE', `/v1/holds/${own.id}`)).statusCode).toBe(200);
    expect((await keyed.as('reader', 'GET', '/v1/holds')).statusCode).toBe(403);
    expect((await keyed.as('reader', 'DELETE', `/v1/holds/${all.id}`)).statusCode).toBe(403);
  });

  it('are listed in pages, of which none is left out where one is released meanwhile', async () => {
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.unshift((await add('legal', { reason: `page ${i}` })).json().id);
    const page = async (query: string) => (await keyed.as('legal', 'GET', `/v1/holds?${query}`)).json();
    const first = await page('limit=2');
    expect(first.items.map(({ id }: { id: string }) => id)).toEqual(made.slice(0, 2));
    // The one where the page ended.
    await keyed.as('legal', 'DELETE', `/v1/holds/${made[1]}`);
    const seen: string[] = [];
    for (let { nextCursor } = first; nextCursor !== undefined; ) {
      const next = await page(`limit=2&cursor=${nextCursor}`);
      seen.push(...next.items.map(({ id }: { id: string }) => id));
      nextCursor = next.nextCursor;
    }
    for (const id of made.slice(1)) expect(seen).toContain(id);
    expect(new Set(seen).size).toBe(seen.length);
    const wrong = await keyed.as('legal', 'GET', '/v1/holds?cursor=x');
    expect(wrong.json().errors).toEqual([{ pointer: '/cursor', detail: 'is not a cursor of this list' }]);
    expect((await keyed.as('legal', 'GET', '/v1/holds?limit=0')).statusCode).toBe(400);
  });
});
