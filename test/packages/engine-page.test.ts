/** The examples of docs/engine.md, as they stand there, with the packed engine. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { examplesOf } from './page-examples.js';
import { ScratchProject } from './scratch-project.js';

const policies = fileURLToPath(new URL('../../policies', import.meta.url));
const examples = examplesOf('engine.md');

/** What each prints. */
const printed: Readonly<Record<string, RegExp>> = {
  'decide.mjs': /^allow rules\.csv:13\nunknown_entity\nsha256:[0-9a-f]{64}\n$/,
  'enforce.mjs': /decision: 'allow'[\s\S]*\ndeny\n$/,
  'problems.mjs': /^rules\.csv:2 \w+: .+\n$/,
};

const project = new ScratchProject();
beforeAll(() => {
  project.install('engine');
  cpSync(policies, join(project.folder, 'policies'), { recursive: true });
});
afterAll(() => project.remove());

it('has the examples that are run here, and no others', () => {
  expect([...examples.keys()].sort()).toEqual(Object.keys(printed).sort());
});

it.each(Object.keys(printed))('%s prints what the page says', (name) => {
  const file = project.write(name, examples.get(name)!);
  expect(project.run(process.execPath, [file])).toMatch(printed[name]!);
});
