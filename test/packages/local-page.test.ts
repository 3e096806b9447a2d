/** The examples of docs/local-decisions.md, each run as it stands there, with the packed packages, against the built service. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { localScopes, localSets } from './local-sets.js';
import { examplesOf } from './page-examples.js';
import { ScratchProject } from './scratch-project.js';

const examples = new Map([...examplesOf('local-decisions.md')].filter(([name]) => name.endsWith('.mjs')));
const project = new ScratchProject();
let service: BuiltService;
const ran = new Set<string>();

beforeAll(async () => {
  service = await startBuiltService(localSets, {}, localScopes);
  for (const workspace of ['engine', 'client']) project.install(workspace);
  for (const [name, text] of examples) project.write(name, text);
});
afterAll(async () => {
  project.remove();
  await service.stop();
});

async function run(name: string): Promise<string[]> {
  ran.add(name);
  const env = { PATH: process.env.PATH, VERDICT_URL: service.url, VERDICT_API_KEY: service.token };
  const { stdout } = await promisify(execFile)(process.execPath, [name], { cwd: project.folder, env });
  return stdout.trimEnd().split('\n');
}

it('decides', async () => {
  const [answer, other, ids] = await run('decide.mjs');
  expect([answer, other]).toEqual([expect.stringMatching(/^true rule_allowed rules\.csv:\d+$/), 'false']);
  expect(ids).toMatch(/^[0-9a-f]{32}-1 sha256:[0-9a-f]{64}$/);
});

it('wants signatures', async () => {
  expect(await run('cautious.mjs')).toEqual(['true rule_allowed', 'no revision true']);
});

it('keeps records in a folder', async () => {
  const lines = await run('journal.mjs');
  expect(lines.slice(0, 3)).toEqual(['greta true', 'amara false', 'somebody false']);
});

it('no example is left out', () => {
  expect([...examples.keys()].filter((name) => !ran.has(name))).toEqual([]);
});
