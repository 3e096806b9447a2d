/** The client's types are made of the service's OpenAPI document; `npm run docs` makes them again. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript';
import { expect, it } from 'vitest';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** What the client asks and is answered; what these are made of comes with them. */
const spoken = [
  'DecideRequest',
  'PartialDecideRequest',
  'DecisionAnswer',
  'Problem',
  'EvaluationRequest',
  'EvaluationsRequest',
  'AuthzenDecision',
  'SubjectSearchRequest',
  'ResourceSearchRequest',
  'ActionSearchRequest',
  'EntitySearchAnswer',
  'ActionSearchAnswer',
  'WhoCanRequest',
  'AccessReviewAnswer',
  'DataChangeRequest',
  'ChangedData',
];

it('the types of the client are those of the OpenAPI document', async () => {
  const document = JSON.parse(String(execFileSync(process.execPath, [cli, 'openapi'], { maxBuffer: 2 ** 26 })));
  const all: Record<string, object> = document.components.schemas;
  const needed = new Set<string>();
  const take = (name: string) => {
    if (needed.has(name)) return;
    needed.add(name);
    for (const [, other] of JSON.stringify(all[name]).matchAll(/"#\/components\/schemas\/(\w+)"/g)) take(other!);
  };
  spoken.forEach(take);
  const schemas = Object.fromEntries(Object.entries(all).filter(([name]) => needed.has(name)));
  const { openapi, info } = document;
  const types = await openapiTS({ openapi, info, paths: {}, components: { schemas } } as OpenAPI3, { immutable: true });
  const components = types.filter((node) => /export interface components\b/.test(astToString(node)));
  const page = `/** Made of the service's OpenAPI document by test/packages/client-types.test.ts. */\n${astToString(components)}`;
  expect(page).toContain('readonly allowed: boolean');
  await expect(page).toMatchFileSnapshot('../../packages/client/src/service-types.ts');
});
