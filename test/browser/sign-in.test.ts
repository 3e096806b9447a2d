/** What a person sees who opens the service in a browser. */
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';
import { Chromium, hasChromium, type Tab } from './chromium.js';

const patient = { timeout: 60_000, interval: 100 };

describe.skipIf(!hasChromium)('a person with an API key, in Chromium', { timeout: 180_000 }, () => {
  let keyed: KeyedService;
  let chromium: Chromium;
  let tab: Tab;
  let url: string;

  beforeAll(async () => {
    keyed = await startKeyedService({ ann: 'scopes: [decide, "decisions:read"]' });
    await keyed.service.app.listen(0, '127.0.0.1');
    url = `http://127.0.0.1:${(keyed.service.app.getHttpServer().address() as AddressInfo).port}`;
    chromium = new Chromium();
    tab = await chromium.open();
  }, 120_000);
  afterAll(async () => {
    await chromium.close();
    keyed.service.app.getHttpServer().closeAllConnections();
    await keyed.stop();
  }, 60_000);

  const shows = (text: string) =>
    vi.waitFor(async () => expect(await tab.read<string>('document.body.innerText')).toContain(text), patient);
  const submit = (key: string) =>
    tab.read(`document.querySelector('#key').value = ${JSON.stringify(key)}; document.querySelector('button').click()`);

  it('signs in on the way to /docs, and is told when the key is wrong', async () => {
    await tab.goTo(`${url}/docs`);
    await shows('Sign in to Verdict');
    await submit('not a key');
    await shows('A valid credential is required.');
    await submit('schlüssel-🔑');
    await shows('this is no API key');
    await submit(keyed.keys.ann!);
    await shows('May this subject do this action on this resource?');
    expect(await tab.read('document.cookie')).toMatch(/^verdict-csrf=[\w-]{43}$/);
  });

  it('calls the API from there, and reads a page without a refusal by its policy', async () => {
    tab.problems.length = 0;
    const body = JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' });
    // What Swagger UI does when "Execute" is pressed: its interceptor adds the CSRF token.
    await tab.goTo(`${url}/docs`);
    await shows('May this subject do this action on this resource?');
    const answer = await tab.read<{ status: number; obj: object }>(`ui.getSystem().fn.fetch({
      url: '${url}/v1/decide', method: 'POST', body: ${JSON.stringify(body)},
      headers: { 'content-type': 'application/json' },
      requestInterceptor: ui.getConfigs().requestInterceptor,
    }).then(({ status, obj }) => ({ status, obj }))`);
    expect(answer).toMatchObject({ status: 200, obj: { allowed: true } });
    await tab.goTo(`${url}/`);
    await shows('A policy decision point');
    expect(await tab.read("getComputedStyle(document.querySelector('h1')).fontSize")).toBe('24px');
    expect(tab.problems).toEqual([]);
  });
});

describe('who opens a page without a credential', () => {
  let keyed: KeyedService;
  beforeAll(async () => {
    keyed = await startKeyedService({ ann: 'scopes: [decide]' });
  });
  afterAll(() => keyed.stop());
  const html = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
  const get = (path: string, headers: Record<string, string> = {}) =>
    keyed.inject({ method: 'GET', url: path, headers });

  it.each(['/', '/docs', '/docs/'])('gets one to sign in, if it is a person: %s', async (path) => {
    const answer = await get(path, { accept: html });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(answer.headers.vary).toContain('accept');
    // A browser that reads "Basic" would ask in a window of its own.
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="verdict"');
    expect(answer.body).toContain('Sign in to Verdict');
    const policy = String(answer.headers['content-security-policy']);
    expect(policy).toMatch(/default-src 'none'.*script-src 'sha256-[\w+/]{43}='/);
    expect(policy).not.toContain('unsafe');
  });

  it.each(['/', '/docs', '/docs-json', '/v1/decisions'])(
    'gets 401 and every scheme, if it is a program: %s',
    async (path) => {
      for (const accept of ['*/*', 'application/json', undefined]) {
        const answer = await get(path, accept === undefined ? {} : { accept });
        expect(answer.statusCode).toBe(401);
        expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
        expect(answer.headers['www-authenticate']).toEqual([
          'Bearer realm="verdict"',
          'Basic realm="verdict", charset="UTF-8"',
        ]);
      }
    },
  );

  it('gets nothing of the documentation with a wrong credential', async () => {
    const answer = await get('/docs', { accept: html, authorization: 'Bearer wrong' });
    expect(answer.statusCode).toBe(401);
    expect(answer.body).not.toContain('swagger');
  });

  it('is not asked for a name and a key in a window of the browser because a script failed', async () => {
    const answer = await get('/v1/decisions', { 'sec-fetch-mode': 'cors' });
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="verdict"');
  });
});

describe('who has a credential', () => {
  let keyed: KeyedService;
  beforeAll(async () => {
    keyed = await startKeyedService({ ann: 'scopes: [decide]' }, { publicUrl: 'https://pdp.example/verdict' });
  });
  afterAll(() => keyed.stop());

  it('is told at / where to go: a person by a page, a program by JSON', async () => {
    const page = await keyed.as('ann', 'GET', '/', undefined, { accept: 'text/html' });
    expect(page.statusCode).toBe(200);
    expect(page.body).toContain('<a href="/verdict/docs">');
    const json = await keyed.as('ann', 'GET', '/');
    expect(json.json()).toMatchObject({ service: 'verdict', documentation: '/verdict/docs' });
  });
});
