/** A backup is made by its command while the built service answers at full speed, and a service is started on it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { onePolicySet, writePolicies } from '../http/service.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

let directory: string;
let children: ChildProcess[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'verdict-backup-'));
  writePolicies(join(directory, 'policies'), onePolicySet);
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const environment = (data: string) => ({
  PATH: process.env.PATH!,
  VERDICT_PORT: '0',
  VERDICT_DATABASE_URL: `sqlite:${join(directory, data, 'verdict.sqlite')}`,
});

/** @returns its URL */
async function start(data: string): Promise<string> {
  const child = spawn(process.execPath, [cli, 'serve', '--local'], {
    cwd: directory,
    env: environment(data),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (http:\S+)/.exec(line)?.[1];
    if (url !== undefined) {
      child.stdout.resume();
      return url;
    }
  }
  throw new Error('the service did not start');
}

async function decide(url: string): Promise<{ decisionId: string; policyVersion: string }> {
  const response = await fetch(`${url}/v1/decide`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' }),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as { decisionId: string; policyVersion: string };
}

const backUp = (data: string, folder: string) =>
  promisify(execFile)(process.execPath, [cli, 'backup', folder], { cwd: directory, env: environment(data) });

it('a backup under load holds every decision answered before it began, and a service runs on it', async () => {
  const url = await start('data');
  const answered: string[] = [];
  let version = '';
  let stopping = false;
  const clients = Array.from({ length: 8 }, async () => {
    while (!stopping) {
      const { decisionId, policyVersion } = await decide(url);
      answered.push(decisionId);
      version = policyVersion;
    }
  });
  while (answered.length < 500) await new Promise((resolve) => setTimeout(resolve, 10));
  const before = [...answered];
  const { stdout } = await backUp('data', 'copy');
  const during = answered.length - before.length;
  stopping = true;
  await Promise.all(clients);
  expect(during).toBeGreaterThan(0);
  const files = stdout.trim().split('\n');
  expect(files.map((file) => file.slice(directory.length + 1)).sort()).toEqual([
    'copy/verdict.decisions.sqlite',
    'copy/verdict.sqlite',
  ]);
  for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600);

  // As docs/operations.md says: the files into an empty folder.
  cpSync(join(directory, 'copy'), join(directory, 'restored'), { recursive: true });
  const restored = await start('restored');
  const found = new Set<string>();
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({ limit: '1000', ...(cursor !== undefined && { cursor }) });
    const page = (await (await fetch(`${restored}/v1/decisions?${query}`)).json()) as {
      items: { id: string }[];
      nextCursor?: string;
    };
    for (const { id } of page.items) found.add(id);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  expect(before.filter((id) => !found.has(id))).toEqual([]);
  const archived = await fetch(`${restored}/v1/policy-sets/default/versions/${version}`);
  expect(archived.status).toBe(200);
  expect((await decide(restored)).policyVersion).toBe(version);
});

it('a backup goes into a folder of its own or nowhere, and there must be something to copy', async () => {
  await expect(backUp('data', 'copy')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no database'),
  });
  const url = await start('data');
  await decide(url);
  await backUp('data', 'copy');
  const first = readdirSync(join(directory, 'copy'));
  await expect(backUp('data', 'copy')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is there already'),
  });
  expect(readdirSync(join(directory, 'copy'))).toEqual(first);
});
