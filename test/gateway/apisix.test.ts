/** The files of docs/apisix.md, asked as APISIX's `forward-auth` asks by its documentation. APISIX itself is not there. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Service, startService } from '../http/service.js';

const page = readFileSync(new URL('../../docs/apisix.md', import.meta.url), 'utf8');
const files = Object.fromEntries(
  [...page.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [`default/${name}`, text!]),
);
const [, route] = /^```yaml\n([\s\S]*?)^```$/m.exec(page)!;
const plugin = parse(route!).routes[0].plugins['forward-auth'];

let service: Service;
beforeAll(async () => {
  // While authentication is off, every caller is called anonymous.
  const manifest = files['default/policy-set.yaml']!.replace('[apisix]', '[anonymous]');
  service = await startService({ ...files, 'default/policy-set.yaml': manifest });
});
afterAll(() => service.stop());

/** The headers that it sets itself, and those of the client that `request_headers` names. */
async function ask(method: string, uri: string, user?: string): Promise<number> {
  const { status } = await service.get(new URL(plugin.uri).pathname, {
    'x-forwarded-proto': 'http',
    'x-forwarded-method': method,
    'x-forwarded-host': 'shop.example',
    'x-forwarded-uri': uri,
    'x-forwarded-for': '203.0.113.9',
    ...(user !== undefined && { 'x-user': user }),
  });
  return status;
}

describe('the set that was one of authz-casbin', () => {
  it.each([
    ['GET', '/catalogue/7', undefined, 200],
    ['GET', '/catalogue/7', 'ben', 200],
    ['POST', '/catalogue/7', 'ben', 403],
    ['GET', '/orders/7', 'ana', 200],
    ['DELETE', '/orders/7?now=1', 'ana', 200],
    ['GET', '/orders/7', 'ben', 403],
    ['GET', '/orders/7', undefined, 403],
    ['GET', '/catalogue/../orders/7', 'ben', 403],
    ['GET', '/catalogue/..%2forders/7', 'ana', 403],
  ] as const)('answers %s %s of %s by %i', async (method, uri, user, status) => {
    expect(await ask(method, uri, user)).toBe(status);
  });

  it('believes the header of no caller but the one that is named', async () => {
    const other = await startService(files);
    try {
      const headers = { 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/orders/7', 'x-user': 'ana' };
      expect((await other.get('/v1/gateway/forward-auth', headers)).status).toBe(403);
    } finally {
      await other.stop();
    }
  });
});

it('the route of the page lets nothing through while Verdict is away, and passes on no header but the token', () => {
  expect(plugin).toMatchObject({ allow_degradation: false, status_on_error: 503, request_headers: ['Authorization'] });
});
