import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readManifest } from '../../../src/core/manifest/manifest.js';
import type { PolicyProblem } from '../../../src/core/problem.js';

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
