/** Commands with --url, against the built service. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { verdict } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const cwd = mkdtempSync(join(tmpdir(), 'verdict-service-'));
let service: ChildProcess;
let url = '';

beforeAll(async () => {
  cpSync(join(root, 'policies/default'), join(cwd, 'policies/default'), { recursive: true });
  // Its own tests would keep the service from loading what this one changes.
  rmSync(join(cwd, 'policies/default/tests'), { recursive: true });
  service = spawn(process.execPath, [join(root, 'dist/cli.js'), 'serve', '--local'], {
    cwd,
    env: { PATH: process.env.PATH, VERDICT_PORT: '0', VERDICT_LOG_LEVEL: 'error' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  for await (const line of createInterface({ input: service.stdout! })) {
    url = /^verdict listening on (http:\S+)$/.exec(line)?.[1] ?? '';
    if (url !== '') break;
  }
  service.stdout!.resume();
});

afterAll(async () => {
  service.kill('SIGTERM');
  await once(service, 'exit');
  rmSync(cwd, { recursive: true });
});

const ask = (...args: string[]) => verdict([...args, '--url', url], { cwd });
const question = ['--subject', 'dana', '--action', 'read', '--resource', 'L-2231'];

it('decide asks the service', async () => {
  const decided = await ask('decide', '--set', 'default', ...question, '--output', 'json');
  expect(decided).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(decided.stdout)).toMatchObject({ decision: 'allow', policySet: 'default' });
});

it('policy lists, reloads, and rolls back to the beginning of a version', async () => {
  const listed = await ask('policy', 'list');
  expect(listed).toMatchObject({ code: 0, stderr: '' });
  const version = /default +active +(sha256:\w{12})/.exec(listed.stdout)![1]!;
  const rules = join(cwd, 'policies/default/roles.csv');
  writeFileSync(rules, readFileSync(rules, 'utf8').replace('g, user:tomas, receptionist\n', ''));
  expect((await ask('policy', 'reload', 'default')).code).toBe(0);
  const versions = JSON.parse((await ask('policy', 'versions', 'default', '--output', 'json')).stdout);
  expect(versions).toHaveLength(2);
  const [now, before] = versions.map((item: { version: string }) => item.version);
  const diff = await ask('diff', before, now, '--set', 'default');
  expect(diff.stdout).toContain('- g, user:tomas, receptionist  (roles.csv:15)');
  const back = await ask('policy', 'rollback', 'default', version);
  expect(back.stdout).toMatch(new RegExp(`default +\\w+, pinned +${version}`));
  expect(await ask('policy', 'rollback', 'default', 'sha256:0000')).toMatchObject({ code: 2 });
});

it('what the service refuses ends with 2 and its reason', async () => {
  const refused = await ask('policy', 'versions', 'nothing');
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('404 There is no such policy set');
});
