/** P5: `verdict log export --proof --url` gives the file that the database gives, and it is verified far from both. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startBuilt } from '../built-service.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { idModel } from '../models.js';
import { verdict, workFolder } from './run.js';

const verifier = fileURLToPath(new URL('../../docs/verify_export.py', import.meta.url));
const hasPython =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('python3', ['-c', 'import cryptography']).status === 0;

async function decide(url: string, subject: string): Promise<void> {
  const body = JSON.stringify({ subject, action: 'read', resource: 'doc' });
  await fetch(`${url}/v1/decide`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
}

async function exportsTheSame(databaseUrl: string, cwd: string): Promise<void> {
  mkdirSync(join(cwd, 'policies/default'), { recursive: true });
  writeFileSync(join(cwd, 'policies/default/model.conf'), idModel);
  writeFileSync(join(cwd, 'policies/default/rules.csv'), 'p, ann, doc, read\n');
  const start = () => startBuilt(cwd, { VERDICT_DATABASE_URL: databaseUrl, VERDICT_LOG_LEVEL: 'error' });
  const first = await start();
  for (const subject of ['ann', 'bob', 'carl', 'ann']) await decide(first.url, subject);
  // Its last checkpoint is about all of them.
  await first.stop();
  const service = await start();
  onTestFinished(() => service.stop());
  const { url } = service;
  writeFileSync(join(cwd, 'keys.json'), await (await fetch(`${url}/v1/decisions/keys`)).text());
  const log = (...args: string[]) => verdict(['log', ...args], { cwd });
  for (const filters of [[], ['--subject', 'ann'], ['--subject', 'nobody']]) {
    const asked = await log('export', '--proof', ...filters, '--url', url);
    expect(asked).toMatchObject({ code: 0, stderr: '' });
    const read = await log('export', '--proof', ...filters, '--database', databaseUrl);
    expect(asked.stdout).toBe(read.stdout);
    expect(asked.stdout.includes('"bob"')).toBe(filters.length === 0);
    const file = join(cwd, 'export.ndjson');
    writeFileSync(file, asked.stdout);
    const verified = await log('verify', '--file', file, '--keys', 'keys.json');
    expect(JSON.parse(verified.stdout)).toMatchObject({ records: 4, unsigned: 0, found: 0 });
    expect(verified.code).toBe(0);
    if (!hasPython) continue;
    const { status, stdout } = spawnSync('python3', [verifier, file, 'keys.json'], { cwd, encoding: 'utf8' });
    expect(stdout).toMatch(/^4 records, \d+ checkpoints: nothing is wrong or missing\n$/);
    expect(status).toBe(0);
  }
  for (const [args, what] of [
    [['--output', 'csv'], 'NDJSON'],
    [['--filter', "decision == 'deny'"], 'cannot be used with'],
    [['--expand', 'resolved'], 'cannot be used with'],
    [['--from', 'yesterday'], 'from'],
  ] as const) {
    const refused = await log('export', '--proof', ...args, '--url', url);
    expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(what) });
  }
}

it('a service gives the export that its SQLite file gives', async () => {
  const cwd = workFolder({ policies: false });
  await exportsTheSame(`sqlite:${join(cwd, 'data/verdict.sqlite')}`, cwd);
});

describe.skipIf(!hasPostgres)('on PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  it('a service gives the export that its database gives', async () => {
    await exportsTheSame(await server().createDatabase(), workFolder({ policies: false }));
  });
});
