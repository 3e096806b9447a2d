import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DecideRequest } from '../../src/api/decide-request.js';
import { decideShapes } from '../../src/api/decide-routes.js';
import { describedRequests } from '../../src/api/described-requests.js';
import { defaultRequestLimits } from '../../src/core/asked/attribute-count.js';
import { jsonSchemas } from '../../src/http/json-schema.js';
import { type Service, startService } from '../http/service.js';

let service: Service;
// biome-ignore lint/suspicious/noExplicitAny: a document of many forms
let document: any;
beforeAll(async () => {
  service = await startService();
  document = (await service.get('/docs-json')).body;
});
afterAll(() => service.stop());

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1 and lists every route of the service', () => {
    expect(document.openapi).toBe('3.1.0');
    const documented = Object.entries(document.paths as object).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(documented).toEqual(
      expect.arrayContaining([
        'POST /v1/decide',
        'POST /decide',
        'POST /v1/decide/batch',
        'GET /v1/decisions',
        'GET /health',
      ]),
    );
    for (const route of documented) {
      const [method, path] = route.split(' ') as ['GET', string];
      expect(
        service.app
          .getHttpAdapter()
          .getInstance()
          .hasRoute({ method, url: path.replace(/\{(\w+)\}/g, ':$1') }),
        route,
      ).toBe(true);
    }
  });

  it('has the very schemas that requests are validated by', () => {
    const schemas = jsonSchemas(decideShapes, defaultRequestLimits, {
      unknownFields: 'refuse',
      refPrefix: '#/components/schemas/',
    });
    expect(document.components.schemas).toMatchObject(JSON.parse(JSON.stringify(describedRequests(schemas))));
    expect(document.components.schemas[DecideRequest.name].additionalProperties).toBe(false);
  });

  it('refers to nothing that it does not have', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    );
    expect(references.length).toBeGreaterThan(5);
    expect(references.filter((name) => !(name! in document.components.schemas))).toEqual([]);
  });

  it('lists the filters of the decision log', () => {
    const names = document.paths['/v1/decisions'].get.parameters.map(({ name }: { name: string }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['subject', 'decision', 'policySet', 'from', 'to', 'q', 'cursor', 'limit']),
    );
  });

  it('has an example that is a valid request', async () => {
    const [example] = document.components.schemas.DecideRequest.examples;
    expect((await service.post('/v1/decide', { ...example, policySet: 'default' })).status).toBe(200);
  });
});

describe('/docs', () => {
  it('comes from this machine alone, without telemetry', async () => {
    const { status, body: page } = await service.get('/docs');
    expect(status).toBe(200);
    const assets = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url as string);
    expect(assets.length).toBeGreaterThan(3);
    for (const asset of assets) {
      expect(asset).toMatch(/^\.\/docs\//);
      expect((await service.get(asset.slice(1))).status, asset).toBe(200);
    }
    const { body: init } = await service.get('/docs/swagger-ui-init.js');
    expect(init).toContain('"validatorUrl": "none"');
  });

  it('serves no file beside the assets', async () => {
    for (const path of [
      '/docs/../package.json',
      '/docs/%2e%2e/package.json',
      '/docs/..%2fpackage.json',
      '/docs/package.json.bak',
    ]) {
      expect((await service.get(path)).status, path).toBeGreaterThanOrEqual(400);
    }
  });
});

it('the first example of each decision, which is what Swagger shows, is allowed by the bundled policy sets', async () => {
  const bundled = await startService({}, { policyDir: fileURLToPath(new URL('../../policies', import.meta.url)) });
  try {
    for (const path of ['/v1/decide', '/decide']) {
      const { examples } = document.paths[path].post.requestBody.content['application/json'];
      const [first, ...others] = Object.values(examples as Record<string, { value: object }>);
      expect((await bundled.post(path, first!.value)).body).toMatchObject({ allowed: true, decision: 'allow' });
      for (const { value } of others) expect((await bundled.post(path, value)).status).toBe(200);
    }
    const batch = document.paths['/v1/decide/batch'].post.requestBody.content['application/json'].examples.two.value;
    const { decisions } = (await bundled.post('/v1/decide/batch', batch)).body;
    expect(decisions.map(({ allowed }: { allowed: boolean }) => allowed)).toEqual([true, false]);
  } finally {
    await bundled.stop();
  }
});
