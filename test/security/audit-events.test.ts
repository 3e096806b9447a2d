/** Every act of an attacker or an insider at the API leaves an event with who, from where and why. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeApiKey } from '../../src/auth/api-key.js';
import { type KeyedService, startKeyedService } from './keyed-service.js';

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService({
    admin: 'scopes: [decide, explain, "decisions:read", "policies:read", "policies:write", "keys:admin"]',
    shop: 'scopes: ["decide:invoices", "policies:read:invoices"]',
  });
});
afterAll(() => keyed.stop());

interface Event {
  readonly type: string;
  readonly actor?: string;
  readonly detail?: string;
}
const question = { subject: 'ann', action: 'pay', resource: 'invoice', policySet: 'invoices' };
async function events(type: string): Promise<Event[]> {
  return (await keyed.as('admin', 'GET', `/v1/audit-events?type=${type}`)).json().items;
}

describe('an event says who, from where and why', () => {
  it('when a credential is refused, with the exact reason and the request id, neither of which the caller is told', async () => {
    const basic = Buffer.from(`shop:${makeApiKey('test')}`).toString('base64');
    const headers = { authorization: `Basic ${basic}`, 'x-request-id': 'look-me-up' };
    const answer = await keyed.inject({ method: 'POST', url: '/v1/decide', headers, remoteAddress: '192.0.2.7' });
    expect(answer.statusCode).toBe(401);
    expect(answer.json().detail).toBe('A valid credential is required.');
    expect(await events('authentication_failed')).toMatchObject([
      { actor: 'shop', method: 'basic', address: '192.0.2.7', detail: 'unknown', requestId: 'look-me-up', count: 1 },
    ]);
    const other = { authorization: `Bearer ${makeApiKey('elsewhere')}` };
    const same = await keyed.inject({ method: 'POST', url: '/v1/decide', headers: other });
    expect(same.json().detail).toBe('A valid credential is required.');
    expect((await events('authentication_failed'))[0]).toMatchObject({ detail: 'other_environment' });
  });

  it('when a scope is refused, and when a set of others is asked for', async () => {
    await keyed.as('shop', 'GET', '/v1/api-keys');
    await keyed.as('shop', 'GET', '/v1/policy-sets/salaries');
    expect(await events('scope_refused')).toMatchObject([
      { actor: 'shop', method: 'api_key', detail: 'policies:read:salaries' },
      { actor: 'shop', method: 'api_key', detail: 'keys:admin' },
    ]);
  });

  it('when keys are made, rotated and revoked, before the answer leaves', async () => {
    await keyed.as('admin', 'POST', '/v1/api-keys', { name: 'new', scopes: ['decide'] });
    expect(await events('api_key_created')).toMatchObject([
      { actor: 'admin', detail: 'new: decide', address: '127.0.0.1' },
    ]);
    await keyed.as('admin', 'POST', '/v1/api-keys/new/rotate', {});
    expect(await events('api_key_rotated')).toMatchObject([{ actor: 'admin', detail: 'new' }]);
    await keyed.as('admin', 'DELETE', '/v1/api-keys/new');
    expect(await events('api_key_revoked')).toMatchObject([{ actor: 'admin', detail: 'new' }]);
  });

  it('when policies are read anew or rolled back by a caller, or change in their folder', async () => {
    await keyed.as('admin', 'POST', '/v1/policy-sets/invoices/reload');
    expect(await events('policy_set_reloaded')).toMatchObject([{ actor: 'admin', policySet: 'invoices' }]);
    const before = (await keyed.as('admin', 'GET', '/v1/policy-sets/invoices')).json().version;
    const file = join(keyed.service.directory, 'policies', 'invoices', 'rules.csv');
    writeFileSync(`${file}.new`, 'p, ann, invoice, pay\np, bob, invoice, pay\n');
    renameSync(`${file}.new`, file);
    const changes = async () =>
      (await events('policy_set_changed')).filter(({ actor }) => actor === 'policy directory').length;
    const atStart = await changes();
    expect((await events('policy_set_reloaded'))[0]).toMatchObject({ fromVersion: before, toVersion: before });
    for (let wait = 0; (await changes()) === atStart && wait < 100; wait++) await sleep(50);
    const after = (await keyed.as('admin', 'GET', '/v1/policy-sets/invoices')).json().version;
    expect((await events('policy_set_changed'))[0]).toMatchObject({
      policySet: 'invoices',
      fromVersion: before,
      toVersion: after,
    });
    const rollback = await keyed.as('admin', 'POST', '/v1/policy-sets/invoices/rollback', { version: before });
    expect(rollback.statusCode).toBe(200);
    expect(await events('policy_set_rolled_back')).toMatchObject([
      { actor: 'admin', policySet: 'invoices', fromVersion: after, toVersion: before },
    ]);
  });

  it('when the log is read or exported, with what was asked', async () => {
    await keyed.as('admin', 'GET', '/v1/decisions?subject=ann&policySet=invoices');
    expect(await events('decisions_read')).toMatchObject([
      { actor: 'admin', policySet: 'invoices', detail: 'GET /v1/decisions?subject=ann&policySet=invoices' },
    ]);
    await keyed.as('admin', 'GET', '/v1/decisions/export?format=csv');
    expect(await events('decisions_exported')).toMatchObject([
      { actor: 'admin', detail: 'GET /v1/decisions/export?format=csv' },
    ]);
    expect((await events('audit_events_read')).length).toBeGreaterThan(0);
  });

  it('when a decision is computed again', async () => {
    const { decisionId } = (await keyed.as('admin', 'POST', '/v1/decide', question)).json();
    await keyed.as('admin', 'POST', `/v1/decisions/${decisionId}/replay`);
    expect(await events('decision_replayed')).toMatchObject([
      { actor: 'admin', detail: `POST /v1/decisions/${decisionId}/replay` },
    ]);
  });

  it('when a session begins and ends', async () => {
    const answer = await keyed.as('admin', 'POST', '/v1/session');
    const cookie = [answer.headers['set-cookie']]
      .flat()
      .map((each) => String(each).split(';')[0])
      .join('; ');
    await keyed.inject({
      method: 'DELETE',
      url: '/v1/session',
      headers: { cookie, 'x-csrf-token': answer.json().csrfToken },
    });
    expect(await events('session_started')).toMatchObject([{ actor: 'admin', method: 'api_key' }]);
    expect(await events('session_ended')).toMatchObject([{ actor: 'admin', method: 'session' }]);
  });

  it('and cannot be changed or removed by anybody', async () => {
    for (const method of ['POST', 'DELETE'] as const) {
      expect((await keyed.as('admin', method, '/v1/audit-events')).statusCode).toBe(405);
    }
  });
});
