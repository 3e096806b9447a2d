/** Too often, too much, too many: what a caller, or a stranger, cannot do. */
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { makeApiKey } from '../../src/auth/api-key.js';
import { FailedAuthentications, verificationsWhileBlocked } from '../../src/auth/failed-authentications.js';
import { RateLimits } from '../../src/auth/rate-limits.js';
import { addressGroup } from '../../src/config/address-list.js';
import { parseRate } from '../../src/config/rate.js';
import { type KeyedService, startKeyedService } from './keyed-service.js';
import { audience, claimsOf, startIssuer } from './world.js';

let keyed: KeyedService;
afterEach(() => keyed?.stop());

const question = { subject: 'ann', action: 'read', resource: 'doc' };
const entries = {
  shop: 'scopes: [decide]',
  other: 'scopes: [decide]',
  admin: 'scopes: [decide, "decisions:read", "keys:admin"]',
  daily: 'scopes: [decide]\ndailyQuota: 3',
};

async function statuses(count: number, ask: () => Promise<{ statusCode: number }>): Promise<number[]> {
  const found: number[] = [];
  for (let n = 0; n < count; n++) found.push((await ask()).statusCode);
  return found;
}
const ok = (count: number) => Array<number>(count).fill(200);

describe('a rate', () => {
  it.each([
    ['1000/s,burst=2000', { points: 1000, seconds: 1, burst: 2000 }],
    ['30/m', { points: 30, seconds: 60, burst: 30 }],
    ['0/s', undefined],
    ['1/w', undefined],
    ['2/s,burst=1', undefined],
    ['1e3/s', undefined],
  ])('%s is read as %j', (text, rate) => expect(parseRate(text)).toEqual(rate));
});

describe('decisions', () => {
  it('are limited at the rate and its burst, per caller, with headers that say so', async () => {
    keyed = await startKeyedService(entries, { rateLimit: '3/h,burst=5' });
    const decide = (name: string) => keyed.as(name, 'POST', '/v1/decide', question);
    const first = await decide('shop');
    expect(first.headers).toMatchObject({
      'ratelimit-policy': '"decide";q=3;w=3600',
      ratelimit: '"decide";r=2;t=3600',
    });
    expect(await statuses(4, () => decide('shop'))).toEqual(ok(4));
    const refused = await decide('shop');
    expect(refused.statusCode).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.json()).toMatchObject({ type: 'urn:verdict:problem:too_many_requests' });
    // Another caller from the same address is another caller.
    expect((await decide('other')).statusCode).toBe(200);
    // The same caller by another method is the same caller.
    const authorization = `Basic ${Buffer.from(`shop:${keyed.keys.shop}`).toString('base64')}`;
    expect((await keyed.as('shop', 'POST', '/v1/decide', question, { authorization })).statusCode).toBe(429);
  });

  it('in a batch count one by one', async () => {
    keyed = await startKeyedService(entries, { rateLimit: '10/h' });
    const batch = (size: number) =>
      keyed.as('shop', 'POST', '/v1/decide/batch', { requests: Array(size).fill(question) });
    expect((await batch(6)).statusCode).toBe(200);
    expect((await batch(5)).statusCode).toBe(429);
  });

  /** Asks the batch routes for the same questions, padded to a length in bytes. */
  const batchOf = (items: number, bytes = 0, name = 'shop') =>
    ['/v1/decide/batch', '/access/v1/evaluations'].map((url) => {
      const one = url.includes('v1/decide')
        ? question
        : { subject: { type: 'user', id: 'ann' }, action: { name: 'read' }, resource: { type: 'doc', id: 'doc' } };
      const text = JSON.stringify({ [url.includes('v1/decide') ? 'requests' : 'evaluations']: Array(items).fill(one) });
      return () => keyed.as(name, 'POST', url, text.padEnd(bytes), { 'content-type': 'application/json' });
    });

  it.each([
    ['as many points as items', 10, 0, 200],
    ['a point for each 4,096 bytes where that is more', 1, 10 * 4_096, 200],
    ['never more than the burst: 11 items', 11, 0, 413],
    ['never more than the burst: 40,961 bytes', 1, 10 * 4_096 + 1, 413],
  ])('in a batch cost %s', async (_what, items, bytes, status) => {
    keyed = await startKeyedService(entries, { rateLimit: '5/h,burst=10' });
    for (const ask of batchOf(items, bytes)) {
      const answer = await ask();
      expect(answer.statusCode).toBe(status);
      if (status === 413) {
        expect(answer.json().type).toBe('urn:verdict:problem:too_costly');
        expect(answer.headers).not.toHaveProperty('retry-after');
      } else {
        const again = await ask();
        expect(again.statusCode).toBe(429);
        expect(Number(again.headers['retry-after'])).toBeGreaterThan(1);
        break;
      }
    }
  });

  it('cost nothing where they are refused, whichever part of a batch it was that did not fit', async () => {
    keyed = await startKeyedService(entries, { rateLimit: '10/h' });
    expect((await batchOf(6)[0]!()).statusCode).toBe(200);
    for (const ask of [...batchOf(5), ...batchOf(5)]) expect((await ask()).statusCode).toBe(429);
    expect((await batchOf(4)[1]!()).statusCode).toBe(200);
  });

  it('of a length that is not announced cost as much', async () => {
    keyed = await startKeyedService(entries, { rateLimit: '5/h,burst=10' });
    const ask = (url: string, bytes: number) =>
      keyed.inject({
        method: 'POST',
        url,
        headers: { authorization: `Bearer ${keyed.keys.shop}`, 'content-type': 'application/json' },
        payload: Readable.from([JSON.stringify(question).padEnd(bytes)]),
      });
    expect((await ask('/v1/decide', 10 * 4_096 + 1)).statusCode).toBe(413);
    expect((await ask('/v1/decide', 9 * 4_096)).statusCode).toBe(200);
    expect((await ask('/v1/decide', 4_097)).statusCode).toBe(429);
    expect((await ask('/v1/decide', 4_096)).statusCode).toBe(200);
    expect((await ask('/v1/decide', 1)).statusCode).toBe(429);
  });

  it('count against a daily quota as they count against a rate', async () => {
    keyed = await startKeyedService(entries);
    expect((await batchOf(4, 0, 'daily')[0]!()).json().type).toBe('urn:verdict:problem:too_costly');
    expect((await batchOf(2, 0, 'daily')[1]!()).statusCode).toBe(200);
    expect((await batchOf(2, 0, 'daily')[0]!()).statusCode).toBe(429);
    expect((await batchOf(1, 0, 'daily')[0]!()).statusCode).toBe(200);
  });

  it('have a daily quota where the key has one', async () => {
    keyed = await startKeyedService(entries);
    const decide = (name: string) => keyed.as(name, 'POST', '/v1/decide', question);
    expect(await statuses(4, () => decide('daily'))).toEqual([...ok(3), 429]);
    expect(await statuses(10, () => decide('shop'))).toEqual(ok(10));
  });
});

describe('failed authentications', () => {
  const wrong = { authorization: `Bearer ${makeApiKey('test')}` };
  const fail = () => keyed.inject({ method: 'GET', url: '/v1/decisions', headers: wrong });

  it('are limited per address; a good key from there still works', async () => {
    keyed = await startKeyedService(entries, { authFailureLimit: '5/h' });
    expect(await statuses(7, fail)).toEqual([401, 401, 401, 401, 401, 429, 429]);
    expect((await keyed.as('shop', 'POST', '/v1/decide', question)).statusCode).toBe(200);
  });

  it('are none where no credential was sent, or a page of another site sent it', async () => {
    keyed = await startKeyedService(entries, { authFailureLimit: '1/h' });
    const nothing = () => keyed.inject({ method: 'GET', url: '/v1/decisions' });
    expect(await statuses(70, nothing)).toEqual(Array(70).fill(401));
    const authorization = `Basic ${Buffer.from(`shop:${keyed.keys.shop}`).toString('base64')}`;
    const foreign = () =>
      keyed.inject({ method: 'GET', url: '/docs', headers: { authorization, origin: 'https://evil.example' } });
    expect(await statuses(3, foreign)).toEqual([403, 403, 403]);
    expect(await statuses(2, fail)).toEqual([401, 429]);
  });

  it('leave a budget for tokens not seen before: 50 a second for an address, and not one more', () => {
    const failures = new FailedAuthentications(new RateLimits({ failures: { points: 1, seconds: 60, burst: 1 } }));
    const now = 1_000_000_000_000;
    const tried = (address: string, at: number, count: number) =>
      Array.from({ length: count }, () => failures.mayTry(address, at)).filter(Boolean).length;
    expect(tried('192.0.2.1', now, 1_000)).toBe(1_000);
    for (let n = 0; n < 2; n++) failures.count('192.0.2.1', now);
    expect(tried('192.0.2.1', now, verificationsWhileBlocked)).toBe(50);
    expect(tried('192.0.2.1', now + 999, 1)).toBe(0);
    expect(tried('192.0.2.1', now + 1_000, 51)).toBe(50);
    expect(tried('192.0.2.2', now, 1_000)).toBe(1_000);
    expect(tried('192.0.2.1', now + 61_000, 1_000)).toBe(1_000);
  });

  it('let a good token in that was never seen, from an address that is blocked', async () => {
    const issuer = await startIssuer();
    try {
      const settings = { jwtIssuer: issuer.url, jwtAudience: audience, authFailureLimit: '2/h' };
      keyed = await startKeyedService(entries, settings);
      expect(await statuses(4, fail)).toEqual([401, 401, 429, 429]);
      const authorization = `Bearer ${await issuer.sign(claimsOf(issuer))}`;
      const headers = { authorization, 'content-type': 'application/json' };
      const answer = await keyed.inject({ method: 'POST', url: '/v1/decide', headers, payload: question });
      expect(answer.statusCode).toBe(200);
      // No key takes the name of the caller whom the token named.
      const key = { name: 'Robot', scopes: ['decide'] };
      expect((await keyed.as('admin', 'POST', '/v1/api-keys', key)).statusCode).toBe(409);
    } finally {
      await issuer.stop();
    }
  });

  it('are counted for the address of the connection, whatever X-Forwarded-For says', async () => {
    keyed = await startKeyedService(entries, { authFailureLimit: '5/h' });
    let n = 0;
    const spoofed = () =>
      keyed.inject({
        method: 'GET',
        url: '/v1/decisions',
        headers: { ...wrong, 'x-forwarded-for': `10.0.0.${n++}`, 'x-real-ip': '10.1.1.1' },
      });
    expect(await statuses(6, spoofed)).toEqual([401, 401, 401, 401, 401, 429]);
  });

  it('are counted for the client that a trusted proxy names, and for no one a client names', async () => {
    keyed = await startKeyedService(entries, { authFailureLimit: '2/h', trustedProxies: '127.0.0.1' });
    const from = (client: string, peer: string) =>
      keyed.inject({
        method: 'GET',
        url: '/v1/decisions',
        remoteAddress: peer,
        headers: { ...wrong, 'x-forwarded-for': client },
      });
    expect(await statuses(3, () => from('192.0.2.1', '127.0.0.1'))).toEqual([401, 401, 429]);
    expect((await from('192.0.2.2', '127.0.0.1')).statusCode).toBe(401);
    // A client that writes the header itself: what counts is what the proxy added at its end.
    expect(await statuses(1, () => from('203.0.113.9, 192.0.2.1', '127.0.0.1'))).toEqual([429]);
    // Not the proxy
    expect(await statuses(3, () => from('192.0.2.3', '198.51.100.7'))).toEqual([401, 401, 429]);
  });

  it('from one IPv6 network are counted together', () => {
    expect(addressGroup('2001:db8:1:2:aaaa::1')).toBe(addressGroup('2001:db8:1:2:bbbb::2'));
    expect(addressGroup('2001:db8:1:2::1')).not.toBe(addressGroup('2001:db8:1:3::1'));
    expect(addressGroup('::1')).toBe('0:0:0:0::/64');
    expect(addressGroup('::ffff:10.0.0.1')).toBe('::ffff:10.0.0.1');
    expect(addressGroup('10.0.0.1')).toBe('10.0.0.1');
  });

  it('are a few rows with a count in the audit events, not a flood', async () => {
    keyed = await startKeyedService(entries, { authFailureLimit: '1000/s' });
    await statuses(100, fail);
    const { items } = (await keyed.as('admin', 'GET', '/v1/audit-events?type=authentication_failed')).json();
    expect(items.length).toBeLessThanOrEqual(3);
    expect(items.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(100);
  });
});

describe('what is costly', () => {
  it('is limited though decisions are not: key management', async () => {
    keyed = await startKeyedService(entries);
    const list = () => keyed.as('admin', 'GET', '/v1/api-keys');
    const found = await statuses(125, list);
    expect(found.slice(0, 120)).toEqual(ok(120));
    expect(found.slice(120)).toEqual(Array(5).fill(429));
  });

  it('is limited though decisions are not: searches and exports', async () => {
    keyed = await startKeyedService(entries, { searchRateLimit: '2/h' });
    expect(await statuses(3, () => keyed.as('admin', 'GET', '/v1/decisions?limit=1'))).toEqual([200, 200, 429]);
    const exports = await statuses(21, () => keyed.as('admin', 'GET', '/v1/decisions/export?format=csv'));
    expect(exports).toEqual([...ok(20), 429]);
  });

  it('hit leaves an audit event', async () => {
    keyed = await startKeyedService(entries, { rateLimit: '1/h' });
    await statuses(3, () => keyed.as('shop', 'POST', '/v1/decide', question));
    const { items } = (await keyed.as('admin', 'GET', '/v1/audit-events?type=limit_hit')).json();
    expect(items).toMatchObject([{ actor: 'shop', detail: 'decide', count: 2 }]);
  });
});
