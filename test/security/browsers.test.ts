/** What a hostile page in the browser of somebody who is logged in can do: nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KeyedService, startKeyedService } from './keyed-service.js';

let keyed: KeyedService;
let withOrigin: KeyedService;

beforeAll(async () => {
  const entries = { admin: 'scopes: [decide, "decisions:read", "policies:read", "keys:admin"]' };
  keyed = await startKeyedService(entries, { tls: 'terminated-elsewhere' });
  withOrigin = await startKeyedService(entries, { corsOrigins: 'https://console.example' });
});
afterAll(async () => {
  await keyed.stop();
  await withOrigin.stop();
});

const question = { subject: 'ann', action: 'read', resource: 'doc' };

describe('security headers', () => {
  it.each(['/health/live', '/v1/decisions', '/nowhere', '/v1/decide'])(
    'are on every answer, refusals too: %s',
    async (url) => {
      const { headers } = await keyed.inject({ method: 'GET', url });
      expect(headers).toMatchObject({
        'content-security-policy': "base-uri 'none';form-action 'none';frame-ancestors 'none';default-src 'none'",
        'strict-transport-security': 'max-age=31536000; includeSubDomains',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-opener-policy': 'same-origin',
        'cache-control': 'no-store',
      });
      expect(headers).not.toHaveProperty('x-powered-by');
      expect(headers).not.toHaveProperty('server');
    },
  );

  it('do not promise TLS where there is none', async () => {
    const { headers } = await withOrigin.inject({ method: 'GET', url: '/health/live' });
    expect(headers).not.toHaveProperty('strict-transport-security');
  });

  it('let /docs run its own scripts and no inline or foreign one', async () => {
    const page = await keyed.as('admin', 'GET', '/docs');
    expect(page.statusCode).toBe(200);
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toMatch(/script-src[^;]*unsafe/);
    expect(page.body).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>\s*\S/);
    expect(page.body).not.toMatch(/(src|href)="https?:/);
  });

  it('keep a redirect of /docs and its files from being cached', async () => {
    const { headers } = await keyed.as('admin', 'GET', '/docs-json');
    expect(headers['cache-control']).toContain('no-store');
  });
});

describe('pages of other origins', () => {
  it('may not call where none is listed', async () => {
    for (const origin of ['https://evil.example', 'null']) {
      const preflight = await keyed.inject({
        method: 'OPTIONS',
        url: '/v1/decide',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });
      expect(Object.keys(preflight.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
      const { headers } = await keyed.as('admin', 'GET', '/v1/decisions', undefined, { origin });
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
    }
  });

  it('may call from a listed origin, without cookies', async () => {
    const preflight = await withOrigin.inject({
      method: 'OPTIONS',
      url: '/v1/decide',
      headers: { origin: 'https://console.example', 'access-control-request-method': 'POST' },
    });
    expect(preflight.headers['access-control-allow-origin']).toBe('https://console.example');
    expect(preflight.headers).not.toHaveProperty('access-control-allow-credentials');
  });

  it.each([
    'https://console.example.evil.example',
    'https://evil.example',
    'http://console.example',
    'https://console.example:444',
    'null',
  ])('may not call from %s where another is listed', async (origin) => {
    const { headers } = await withOrigin.as('admin', 'GET', '/v1/decisions', undefined, { origin });
    expect(headers['access-control-allow-origin']).not.toBe(origin);
    expect(headers['access-control-allow-origin']).not.toBe('*');
  });

  it('cannot use the Basic credentials that a browser repeats', async () => {
    const authorization = `Basic ${Buffer.from(`admin:${keyed.keys.admin}`).toString('base64')}`;
    const post = (site: string) =>
      keyed.as('admin', 'POST', '/v1/decide', question, { authorization, 'sec-fetch-site': site });
    expect((await post('cross-site')).statusCode).toBe(403);
    expect((await post('same-site')).statusCode).toBe(403);
    expect((await post('same-origin')).statusCode).toBe(200);
  });

  it.each([
    'https://evil.example',
    'null',
    'https://pdp.example.evil.example',
    'https://pdp.example:444',
    'http://pdp.example',
    '',
  ])('cannot use what a browser sends by itself where it says only its origin: %j', async (origin) => {
    const host = 'pdp.example';
    const authorization = `Basic ${Buffer.from(`admin:${keyed.keys.admin}`).toString('base64')}`;
    const headers = { authorization, host, origin };
    expect((await keyed.as('admin', 'POST', '/v1/decide', question, headers)).statusCode).toBe(403);
    expect((await keyed.as('admin', 'GET', '/v1/decisions', undefined, headers)).statusCode).toBe(403);
    const own = { authorization, host, origin: 'https://pdp.example' };
    expect((await keyed.as('admin', 'POST', '/v1/decide', question, own)).statusCode).toBe(200);
    // A credential that only a script of the page could add is the page's own.
    expect((await keyed.as('admin', 'POST', '/v1/decide', question, { host, origin })).statusCode).toBe(200);
    const { cookie, csrf } = await logIn();
    const session = { cookie, host, origin, 'x-csrf-token': csrf, 'content-type': 'application/json' };
    const answer = await keyed.inject({ method: 'POST', url: '/v1/decide', headers: session, payload: question });
    expect(answer.statusCode).toBe(403);
  });

  it('cannot send a POST without a body by a form: it wants a content type that no form can send', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'text/plain; application/json']) {
      const answer = await keyed.as('admin', 'POST', '/v1/session', undefined, { 'content-type': type });
      expect(answer.statusCode).toBe(400);
    }
    const authorization = `Bearer ${keyed.keys.admin}`;
    const bare = await keyed.inject({ method: 'POST', url: '/v1/session', headers: { authorization } });
    expect(bare.statusCode).toBe(400);
    const typed = { authorization, 'content-type': 'Application/JSON ; charset=utf-8' };
    expect((await keyed.inject({ method: 'POST', url: '/v1/session', headers: typed })).statusCode).toBe(201);
    // Who it is comes first, and so does what is not there.
    expect((await keyed.inject({ method: 'POST', url: '/v1/session' })).statusCode).toBe(401);
    expect((await keyed.inject({ method: 'POST', url: '/nowhere', headers: { authorization } })).statusCode).toBe(404);
    expect((await keyed.inject({ method: 'POST', url: '/health', headers: { authorization } })).statusCode).toBe(405);
  });

  it('cannot send a form that is read as a question', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x']) {
      const answer = await keyed.as('admin', 'POST', '/v1/decide', JSON.stringify(question), { 'content-type': type });
      expect(answer.statusCode).toBe(400);
    }
  });
});

interface LoggedIn {
  readonly cookie: string;
  readonly csrf: string;
}

async function logIn(): Promise<LoggedIn> {
  const answer = await keyed.as('admin', 'POST', '/v1/session');
  expect(answer.statusCode).toBe(201);
  const cookie = [answer.headers['set-cookie']]
    .flat()
    .map((each) => String(each).split(';')[0])
    .join('; ');
  return { cookie, csrf: answer.json().csrfToken };
}

describe('a session', () => {
  const asSession = (
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    headers: Record<string, string>,
    payload?: object,
  ) => keyed.inject({ method, url, headers, ...(payload !== undefined && { payload }) });

  it('is a cookie that scripts cannot read, that stays on this site and travels over TLS alone', async () => {
    const answer = await keyed.as('admin', 'POST', '/v1/session');
    const [session, csrf] = [answer.headers['set-cookie']].flat().map(String);
    expect(session).toMatch(/^__Host-verdict-session=[\w-]{43}; HttpOnly; Path=\/; SameSite=Strict; Secure; Expires=/);
    expect(csrf).toMatch(/^verdict-csrf=[\w-]{43}; Path=\/; SameSite=Strict; Secure; Expires=/);
    expect(answer.body).not.toContain(session!.split(/[=;]/)[1]);
  });

  it('does what its key may', async () => {
    const { cookie, csrf } = await logIn();
    expect((await asSession('GET', '/v1/decisions', { cookie })).statusCode).toBe(200);
    const decided = await asSession('POST', '/v1/decide', { cookie, 'x-csrf-token': csrf }, question);
    expect(decided.statusCode).toBe(200);
    const record = await asSession('GET', `/v1/decisions/${decided.json().decisionId}`, { cookie });
    expect(record.json()).toMatchObject({ caller: 'admin', authentication: 'session' });
    expect((await asSession('GET', '/health', { cookie })).statusCode).toBe(403);
  });

  it('changes nothing without its CSRF token, or with another', async () => {
    const { cookie } = await logIn();
    const { csrf: another } = await logIn();
    for (const token of [undefined, '', 'x'.repeat(43), another]) {
      const headers = { cookie, ...(token !== undefined && { 'x-csrf-token': token }) };
      expect((await asSession('POST', '/v1/decide', headers, question)).statusCode).toBe(403);
      expect((await asSession('DELETE', '/v1/session', headers)).statusCode).toBe(403);
    }
  });

  it('does not take the CSRF token from the cookie, which another site can make a browser send', async () => {
    const { cookie, csrf } = await logIn();
    const headers = { cookie: `${cookie}; verdict-csrf=${csrf}`, 'sec-fetch-site': 'cross-site' };
    expect((await asSession('POST', '/v1/decide', headers, question)).statusCode).toBe(403);
  });

  it('ends by log-out, for good', async () => {
    const { cookie, csrf } = await logIn();
    const out = await asSession('DELETE', '/v1/session', { cookie, 'x-csrf-token': csrf });
    expect(out.statusCode).toBe(204);
    expect([out.headers['set-cookie']].flat().every((each) => String(each).includes('Max-Age=0'))).toBe(true);
    expect((await asSession('GET', '/v1/decisions', { cookie })).statusCode).toBe(401);
  });

  it.each(['', 'x', 'x'.repeat(43), '__proto__'])('is not made up: %j', async (token) => {
    const answer = await asSession('GET', '/v1/decisions', { cookie: `__Host-verdict-session=${token}` });
    expect(answer.statusCode).toBe(401);
  });

  it('is not taken from a cookie without the prefix that only this host can set', async () => {
    const { cookie } = await logIn();
    const renamed = cookie.replace('__Host-', '');
    expect((await asSession('GET', '/v1/decisions', { cookie: renamed })).statusCode).toBe(401);
  });

  it('ends with its key', async () => {
    const made = (
      await keyed.as('admin', 'POST', '/v1/api-keys', { name: 'short', scopes: ['decisions:read'] })
    ).json();
    const answer = await keyed.inject({
      method: 'POST',
      url: '/v1/session',
      headers: { 'x-api-key': made.key, 'content-type': 'application/json' },
    });
    const cookie = [answer.headers['set-cookie']]
      .flat()
      .map((each) => String(each).split(';')[0])
      .join('; ');
    expect((await asSession('GET', '/v1/decisions', { cookie })).statusCode).toBe(200);
    await keyed.as('admin', 'DELETE', '/v1/api-keys/short');
    expect((await asSession('GET', '/v1/decisions', { cookie })).statusCode).toBe(401);
  });
});
