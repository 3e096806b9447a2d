/** `verdict log erase`: on a database that no service uses, beside a running service, and by one. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SqliteErasureOrders } from '../../src/decision-log/sqlite/sqlite-erasure-orders.js';
import { EncryptionKeys } from '../../src/encryption/encryption-keys.js';
import { startBuilt } from '../built-service.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { appendExamples } from '../decision-log/example-records.js';
import { startReplica } from '../decision-log/postgres/shared-home.js';
import { startLog, temporaryDirectory } from '../decision-log/temporary-log.js';
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
  for (const [args, said] of [
    [['--subject', name, '--reason', ''], 'reason must not be empty'],
    [['--subject', name, '--reason', 'a\u0007'], 'reason must not hold a control character'],
    [['--subject', name, '--reason', 'x'.repeat(513)], 'at most 512 characters'],
    [['--subject', '', '--reason', 'r'], 'subject must not be empty'],
    [['--resource', 'a\u0007', '--reason', 'r'], 'resource must not hold a control character'],
  ] as const) {
    const ran = await verdict(['log', 'erase', ...args, '--database', 'data/verdict.sqlite', '--yes'], { cwd });
    expect(ran, args.join(' ')).toMatchObject({ code: 2, stderr: expect.stringContaining(said) });
  }
  const empty = ['--subject', '', '--reason', 'r', '--database', 'data/verdict.sqlite'];
  const preview = await verdict(['log', 'erase', ...empty], { cwd });
  expect(preview).toMatchObject({ code: 2, stderr: expect.stringContaining('subject must not be empty') });
  const named = ['--subject', name, '--reason', `for ${name}`, '--database', 'data/verdict.sqlite', '--yes'];
  const ran = await verdict(['log', 'erase', ...named], { cwd });
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('names the person') });
});

it('leaves no order behind in a log that it cannot open', async () => {
  const cwd = workFolder({ policies: false });
  const encryption = EncryptionKeys.of(randomBytes(32).toString('base64'));
  const log = await startLog(join(cwd, 'data'), { encryption });
  await appendExamples(log, [{ subject: name }]);
  await log.stop();
  const ran = await verdict(['log', 'erase', ...whom, '--database', 'data/verdict.sqlite', '--yes'], { cwd });
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('VERDICT_ENCRYPTION_KEY') });
  const orders = await SqliteErasureOrders.open(join(cwd, 'data/verdict.sqlite'));
  expect(await orders.list(1)).toEqual([]);
  await orders.close();
});

describe('an order that a service has taken', () => {
  const running = {
    id: '0199c2f6-0000-7000-8000-000000000001',
    kind: 'subject',
    reason: 'request 4711',
    orderedBy: 'ann',
    orderedAt: '2026-11-29T12:00:00.000Z',
    state: 'running',
    records: { about: 0, named: 0, held: 0, unreadable: 0 },
  };

  /** A service that takes an order, and answers questions about it with these statuses in turn; 0 cuts the connection. */
  async function answering(statuses: number[]): Promise<string> {
    const server = createServer((request, response) => {
      const status = request.method === 'POST' ? 202 : statuses.length > 1 ? statuses.shift()! : statuses[0]!;
      if (status === 0) return request.socket.destroy();
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '0' });
      return response.end(JSON.stringify(status === 200 ? { ...running, state: 'finished' } : running));
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const erase = (url: string) =>
    verdict(['log', 'erase', ...whom, '--url', url, '--yes'], { cwd: workFolder({ policies: false }) });

  it('is asked for again while the service is busy or away', async () => {
    const ran = await erase(await answering([429, 503, 0, 200]));
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(ran.stdout)).toMatchObject({ id: running.id, state: 'finished' });
  });

  it('is named when the service does not say what became of it', async () => {
    const ran = await erase(await answering([403]));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(`erasure ${running.id} is ordered and stands`);
  });
});

describe.skipIf(!hasPostgres)('verdict log erase on PostgreSQL', () => {
  const server = postgresForTests();

  it('says that the order waits for the next replica where none runs, and ends', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const log = await startReplica(url, folder);
    await appendExamples(log, [{ subject: name }]);
    await log.shipped();
    await log.stop();
    const ran = await verdict(['log', 'erase', ...whom, '--database', url, '--yes'], {
      cwd: workFolder({ policies: false }),
    });
    expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: expect.stringContaining('next replica that starts') });
    const order = JSON.parse(ran.stdout);
    expect(order).toMatchObject({ kind: 'subject', state: 'running' });
    const again = await startReplica(url, folder);
    expect((await again.orders.open()).map(({ id }) => id)).toEqual([order.id]);
  }, 60_000);
});
