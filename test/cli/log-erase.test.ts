/** `verdict log erase`: on a database that no service uses, beside a running service, and by one. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startBuilt } from '../built-service.js';
import { appendExamples } from '../decision-log/example-records.js';
import { startLog } from '../decision-log/temporary-log.js';
import { onePolicySet, writePolicies } from '../http/service.js';
import { verdict, workFolder } from './run.js';

const name = 'planted-dana';
const filesWith = (directory: string) =>
  readdirSync(directory).filter((file) => readFileSync(join(directory, file)).includes(name));
const whom = ['--subject', name, '--reason', 'request 4711'];

it('says what it would do, does it with --yes where no service runs, and audits it without the person', async () => {
  const cwd = workFolder({ policies: false });
  const log = await startLog(join(cwd, 'data'));
  await appendExamples(log, [
    { subject: name, requestId: '1' },
    { subject: 'ann', caller: name, requestId: '2' },
    { subject: 'bob', requestId: '3' },
  ]);
  await log.stop();
  const erase = (...args: string[]) =>
    verdict(['log', 'erase', ...whom, '--database', 'data/verdict.sqlite', ...args], { cwd });
  const dry = await erase('--output', 'text');
  expect(dry).toMatchObject({ code: 0, stderr: '' });
  expect(dry.stdout).toContain('1 record about the person');
  expect(dry.stdout).toContain('nothing was changed; --yes orders it');
  for (const place of [
    'policy_files',
    'archived_versions',
    'backups',
    'postgres_wal',
    'sinks',
    'exports',
    'client_disks',
  ])
    expect(dry.stdout).toContain(`  ${place}`);
  expect(filesWith(join(cwd, 'data'))).not.toEqual([]);

  const done = await erase('--yes');
  expect(done.code).toBe(0);
  const erasure = JSON.parse(done.stdout);
  expect(erasure).toMatchObject({ state: 'finished', kind: 'subject', records: { about: 1, named: 1 } });
  expect(filesWith(join(cwd, 'data'))).toEqual([]);
  const found = await verdict(['log', 'query', '--database', 'data/verdict.sqlite'], { cwd });
  expect(found.stdout).toContain(erasure.id);
  expect(found.stdout).not.toContain(name);
});

it('is carried out by the service that has the folder, and by one that is asked', async () => {
  const cwd = workFolder({ policies: false });
  writePolicies(join(cwd, 'policies'), onePolicySet);
  const service = await startBuilt(cwd, { VERDICT_MAX_BATCH_SECONDS: '1', VERDICT_LOG_LEVEL: 'error' });
  let isRunning = true;
  onTestFinished(async () => {
    if (isRunning) await service.stop();
  });
  const decide = (subject: string) =>
    fetch(`${service.url}/v1/decide`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ subject, action: 'read', resource: 'doc' }),
    });
  expect((await decide(name)).status).toBe(200);
  const beside = await verdict(['log', 'erase', ...whom, '--database', 'data/verdict.sqlite', '--yes'], { cwd });
  expect(beside.code).toBe(0);
  expect(beside.stderr).toContain('waiting until it is carried out');
  expect(JSON.parse(beside.stdout)).toMatchObject({ state: 'finished', records: { about: 1 } });
  expect((await decide(name)).status).toBe(200);
  const dry = await verdict(['log', 'erase', ...whom, '--url', service.url], { cwd });
  expect(JSON.parse(dry.stdout)).toMatchObject({ records: { about: 1, named: 0 } });
  const asked = await verdict(['log', 'erase', ...whom, '--url', service.url, '--yes'], { cwd });
  expect(asked.code).toBe(0);
  expect(JSON.parse(asked.stdout)).toMatchObject({ state: 'finished', records: { about: 1 } });
  await service.stop();
  isRunning = false;
  expect(filesWith(join(cwd, 'data'))).toEqual([]);
}, 120_000);

it('says what is wrong with its arguments', async () => {
  const cwd = workFolder({ policies: false });
  for (const [args, said] of [
    [['--reason', 'r'], '--subject or --resource'],
    [['--subject', name], '--reason'],
    [['--subject', name, '--resource', 'b', '--reason', 'r'], 'cannot be used with'],
    [[...whom, '--database', 'none.sqlite'], 'there is no decision log'],
    [[...whom, '--database', 'none.sqlite', '--yes'], 'there is no decision log'],
  ] as const) {
    const ran = await verdict(['log', 'erase', ...args], { cwd });
    expect(ran.code, args.join(' ')).toBe(2);
    expect(ran.stderr).toContain(said);
  }
  expect(readdirSync(cwd)).toEqual([]);
  const log = await startLog(join(cwd, 'data'));
  await appendExamples(log, [{ subject: name }]);
  await log.stop();
  const named = ['--subject', name, '--reason', `for ${name}`, '--database', 'data/verdict.sqlite', '--yes'];
  const ran = await verdict(['log', 'erase', ...named], { cwd });
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('names the person') });
});
