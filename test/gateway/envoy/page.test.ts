import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { defaultRequestLimits } from '../../../src/core/asked/attribute-count.js';
import { readManifest } from '../../../src/core/manifest/manifest.js';
import type { PolicyProblem } from '../../../src/core/problem.js';

import { checkOfJson } from '../../../src/gateway/envoy/check-json.js';
import { clientRequestOf } from '../../../src/gateway/envoy/grpc/client-request.js';

const page = readFileSync(new URL('../../../docs/envoy.md', import.meta.url), 'utf8');
const mappings = [...page.matchAll(/^```yaml\n(gateway:[\s\S]*?)^```$/gm)].map(([, text]) => text!);

it('shows mappings that can be read', () => {
  expect(mappings.length).toBeGreaterThan(2);
  for (const text of mappings) {
    const problems: PolicyProblem[] = [];
    readManifest({ file: 'policy-set.yaml', text }, (problem) => problems.push(problem));
    expect(problems, text).toEqual([]);
  }
});

it('shows a check that can be tried', () => {
  const [, text] = /^```json\n([\s\S]*?)^```$/m.exec(page)!;
  const { request } = clientRequestOf(checkOfJson(JSON.parse(text!)), defaultRequestLimits)!;
  expect(request).toMatchObject({ method: 'GET', target: '/orders?page=2', certificate: 'spiffe://acme/shop' });
  expect(request.route!()).toEqual({ tier: 'gold' });
});
