/** Every route with every credential. The routes come from the service itself, so a new one cannot be forgotten. */
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeclaredRoute } from '../../src/http/access.js';
import { startWorld, type World } from './world.js';

let world: World;
let routes: readonly DeclaredRoute[];

beforeAll(async () => {
  world = await startWorld();
  const fastify = world.service.app.getHttpAdapter().getInstance() as FastifyInstance;
  const methods = ['GET', 'POST', 'DELETE', 'PUT'];
  routes = fastify.declaredRoutes.filter(({ method }) => methods.includes(method));
}, 60_000);

afterAll(() => world.stop());

function pathOf(url: string): string {
  // A stream would not end; a query that is wrong is refused after the credential.
  if (url === '/v1/decisions/stream') return `${url}?expand=nothing`;
  return url
    .replace(':set', 'salaries')
    .replace(':version', `sha256:${'0'.repeat(64)}`)
    .replace(/:\w+/g, 'nobody')
    .replace('*', 'nothing');
}

/** What each answers that is not as it should be. */
async function faults(
  name: string,
  isRight: (route: DeclaredRoute, status: number, body: { readonly detail?: string } | undefined) => boolean,
): Promise<string[]> {
  const credential = world.credentials[name]!;
  const found: string[] = [];
  for (const route of routes) {
    const body = route.method === 'POST' || route.method === 'PUT' ? {} : undefined;
    const { status, body: answer } = await world.ask(route.method, pathOf(route.url), credential, body);
    if (!isRight(route, status, answer)) found.push(`${route.method} ${route.url} (${route.access}): ${status}`);
  }
  return found;
}

const kinds = ['API key', 'X-API-Key', 'Basic', 'JWT', 'certificate', 'no credential', 'two credentials'];
const isPassed = (status: number) => status !== 401 && status !== 403 && status !== 429 && status < 500;

describe('every route', () => {
  it('is in the list that this test reads', () => {
    const urls = new Set(routes.map(({ url }) => url));
    expect([...urls]).toEqual(
      expect.arrayContaining([
        '/v1/decide',
        '/v1/decide/batch',
        '/v1/decisions',
        '/v1/api-keys',
        '/docs-json',
        '/health',
      ]),
    );
    expect(routes.filter(({ access }) => access === 'public').map(({ url }) => url)).toEqual(
      expect.arrayContaining(['/health/live', '/health/ready']),
    );
  });

  it('is open to nobody but the few that are meant to be', () => {
    const open = new Set(routes.filter(({ access }) => access === 'public').map(({ url }) => url));
    for (const url of open) expect(url).toMatch(/^\/(health\/(live|ready)|\.well-known\/.*|v1\/decisions\/keys)$/);
  });

  const refused = [
    'no credential',
    ...['malformed', 'wrong', 'expired', 'revoked', 'other environment', 'other address'].map(
      (way) => `API key, ${way}`,
    ),
    'X-API-Key, wrong',
    ...['malformed', 'wrong name', 'wrong', 'expired', 'revoked', 'other environment', 'other address'].map(
      (way) => `Basic, ${way}`,
    ),
    ...['malformed', 'wrong', 'expired', 'other audience'].map((way) => `JWT, ${way}`),
    ...['wrong', 'unknown', 'revoked', 'expired', 'other address'].map((way) => `certificate, ${way}`),
    'two credentials, both right',
  ];

  it.each(refused)('refuses with 401: %s', async (name) => {
    const wrong = await faults(name, ({ access, url }, status) => {
      // There one of two is the client's, and what the gateway must say of the client is missing.
      if (name.startsWith('two') && url.endsWith('/forward-auth')) return status === 400;
      return access === 'public' ? status !== 401 : status === 401;
    });
    expect(wrong).toEqual([]);
  });

  it.each(['API key', 'Basic', 'JWT', 'certificate'])(
    'refuses with 403 where the scope is missing: %s',
    async (kind) => {
      const wrong = await faults(`${kind}, missing scope`, ({ access }, status) =>
        access === 'public' || access === 'authenticated' ? status !== 401 && status !== 403 : status === 403,
      );
      expect(wrong).toEqual([]);
    },
  );

  it.each(['API key', 'Basic', 'JWT', 'certificate'])('hides the sets of others: %s', async (kind) => {
    const wrong = await faults(
      `${kind}, other set`,
      ({ url, access }, status) =>
        !url.includes(':set') || access === 'authenticated' || access === 'public' || status === 404,
    );
    expect(wrong).toEqual([]);
  });

  it.each(['API key', 'X-API-Key', 'Basic', 'JWT', 'certificate'])('lets the right one in: %s', async (kind) => {
    const wrong = await faults(`${kind}, right`, ({ url }, status, body) => {
      // Of the client of Envoy, whom nothing names; Envoy itself was let in.
      const isOfClient = url.includes('/gateway/envoy') && body?.detail === 'The request shows no identity.';
      return isPassed(status) || isOfClient || url.startsWith('/health');
    });
    expect(wrong).toEqual([]);
  });

  it('was asked with every credential of the world', () => {
    const asked = [
      ...refused,
      ...['API key', 'Basic', 'JWT', 'certificate'].flatMap((kind) => [`${kind}, missing scope`, `${kind}, other set`]),
      ...['API key', 'X-API-Key', 'Basic', 'JWT', 'certificate'].map((kind) => `${kind}, right`),
    ];
    expect(Object.keys(world.credentials).sort()).toEqual(asked.sort());
    for (const name of asked) expect(kinds.some((kind) => name.startsWith(kind))).toBe(true);
  });
});
