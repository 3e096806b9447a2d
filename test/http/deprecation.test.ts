import { fastify } from 'fastify';
import { expect, it } from 'vitest';
import { announceDeprecations } from '../../src/http/deprecation.js';

it('a deprecated version of the API says so on every answer, and its successor does not', async () => {
  const app = fastify();
  announceDeprecations(app, [
    {
      path: '/v1',
      since: new Date('2026-01-01T00:00:00Z'),
      sunset: new Date('2027-01-01T00:00:00Z'),
      successor: 'https://pdp.example/v2',
      documentation: 'https://pdp.example/docs/v2',
    },
    { path: '/decide', since: new Date('2026-01-01T00:00:00Z') },
  ]);
  app.get('/v1/decisions', () => []);
  app.get('/v1/fails', () => Promise.reject(new Error('x')));
  app.get('/v10/decisions', () => []);
  app.get('/v2/decisions', () => []);
  app.get('/decide', () => []);

  for (const url of ['/v1/decisions', '/v1/fails']) {
    const { headers } = await app.inject(url);
    expect(headers).toMatchObject({
      // RFC 9745: seconds since the epoch behind an @; RFC 8594: an HTTP date
      deprecation: '@1767225600',
      sunset: 'Fri, 01 Jan 2027 00:00:00 GMT',
      link: '<https://pdp.example/v2>; rel="successor-version", <https://pdp.example/docs/v2>; rel="deprecation"; type="text/html"',
    });
  }
  const { headers } = await app.inject('/decide');
  expect(headers.deprecation).toBe('@1767225600');
  expect(headers).not.toHaveProperty('sunset');
  expect(headers).not.toHaveProperty('link');
  for (const url of ['/v2/decisions', '/v10/decisions']) {
    expect((await app.inject(url)).headers).not.toHaveProperty('deprecation');
  }
});
