import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';

let keyed: KeyedService;
// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
let document: any;
beforeAll(async () => {
  keyed = await startKeyedService({ shop: 'scopes: [decide]' });
  document = (await keyed.as('shop', 'GET', '/docs-json')).json();
});
afterAll(() => keyed.stop());

describe('the OpenAPI document', () => {
  it('says for every operation who may call it and how it refuses', () => {
    for (const [path, operations] of Object.entries<Record<string, { security?: unknown[]; responses: object }>>(
      document.paths,
    )) {
      for (const [method, { security, responses }] of Object.entries(operations)) {
        expect(security, `${method} ${path}`).toBeDefined();
        if (security!.length > 0) expect(responses, `${method} ${path}`).toMatchObject({ 401: {}, 429: {} });
      }
    }
    expect(document.paths['/health/live'].get.security).toEqual([]);
    expect(document.paths['/v1/decide'].post.description).toContain('Scope `decide`.');
    expect(document.paths['/v1/decisions'].get.responses['403']).toBeDefined();
  });

  it('describes sessions, API keys and audit events', () => {
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/session', '/v1/api-keys', '/v1/api-keys/{name}/rotate', '/v1/audit-events']),
    );
    expect(Object.keys(document.components.securitySchemes)).toEqual([
      'bearer',
      'basic',
      'header',
      'session',
      'certificate',
    ]);
    const names = document.paths['/v1/audit-events'].get.parameters.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(['type', 'actor', 'from', 'cursor']));
  });
});
