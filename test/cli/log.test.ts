/** `verdict log` on a service that runs: through its database, and through its API. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import { DecisionStream } from '../../src/decision-log/decision-stream.js';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { type Ran, verdict, verdictInTerminal, workFolder } from './run.js';

const entry = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
/** Names that somebody made up to be something else: to SQL, to LIKE, to a terminal, to a shell, to a spreadsheet. */
const hostile = [
  "'; DROP TABLE journal; --",
  '%_"\\',
  'a\u001b[2J\u009b31mb',
  '--help',
  '$(reboot)',
  '=1+1',
  '🙂&subject=ann',
] as const;

let service: Service;
let database: string;
let url: string;
let allowed: string;
let denied: string;

async function decide(subject: string, resource = 'doc'): Promise<string> {
  const { body } = await service.post('/v1/decide', { subject, action: 'read', resource });
  return body.decisionId;
}

beforeAll(async () => {
  service = await startService({
    'default/model.conf': idModel,
    'default/rules.csv': 'p, ann, doc, read\n',
    'default/entities.yaml': '- {type: user, id: ann, attributes: {department: finance}}\n',
  });
  await service.app.listen(0, '127.0.0.1');
  url = await service.app.getUrl();
  database = join(service.directory, 'data/verdict.sqlite');
  allowed = await decide('ann');
  denied = await decide('bob', 'report');
  for (const name of hostile) await (isRefusedToday(name) ? record(name) : decide(name));
}, 60_000);

/** Control characters are refused today; records that 0.1 wrote have them. */
function isRefusedToday(name: string): boolean {
  return /\p{Cc}/u.test(name);
}

async function record(subject: string): Promise<void> {
  const { writer, sequence, instance, ...denial } = (await service.log.find(denied))!;
  const now = Date.now();
  const request = { ...denial.request, subject: { id: subject }, resource: { id: 'doc' } };
  await service.log.append({ ...denial, id: service.log.nextId(now), time: now, clock: now, request });
}

afterAll(() => service.stop());

const log = (...args: string[]): Promise<Ran> => verdict(['log', ...args], { cwd: workFolder({ policies: false }) });
const recordsOf = ({ stdout }: Ran): DecisionRecord[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** What differs from run to run: ids and versions with their width, times. */
function settled(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, '01999999-9999-7999-8999-999999999999')
    .replace(/sha256:[0-9a-f]{64}/g, `sha256:${'0'.repeat(64)}`)
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '2026-01-01T12:00:00.000Z')
    .replace(/"durationUs":\d+/g, '"durationUs":0');
}

describe.each(['--database', '--url'] as const)('verdict log with %s', (where) => {
  const source = (): string[] => [where, where === '--url' ? url : database];

  it.each([
    ['log-query', ['query', '--resource', 'doc', '--limit', '2', '--output', 'text']],
    ['log-stats', ['stats', '--by', 'decision,reason', '--top', 'subject', '--output', 'text']],
  ])('%s: prints what is kept', async (name, args) => {
    const ran = await log(...args, ...source());
    await expect(settled(ran.stdout)).toMatchFileSnapshot(`outputs/${name}.txt`);
    expect(ran.code).toBe(0);
  });

  it('writes records as JSON, one a line, where a program reads', async () => {
    const ran = await log('query', '--subject', 'bob', ...source());
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(recordsOf(ran)).toMatchObject([{ id: denied, decision: 'deny', request: { resource: { id: 'report' } } }]);
    const counted = await log('stats', '--decision', 'allow', ...source());
    expect(JSON.parse(counted.stdout)).toEqual({ items: [{ count: 1 }], total: 1 });
  });

  it('chooses records by a condition over what the evaluation saw, and shows it', async () => {
    const condition = ['--filter', "subject.department == 'finance'"];
    for (const command of ['query', 'export']) {
      const ran = await log(command, ...condition, '--expand', 'resolved', ...source());
      expect(ran.code).toBe(0);
      const [first] = recordsOf(ran);
      expect(first).toMatchObject({ id: allowed, resolved: { subject: { attributes: { department: 'finance' } } } });
      if (command === 'export') expect(JSON.parse(ran.stdout.split('\n')[1]!)).toEqual({ erred: 1 + hostile.length });
      else expect(ran.stderr).toContain(`of ${1 + hostile.length} records --filter could say nothing`);
    }
    const wrong = await log('query', '--filter', 'subject.level >', ...source());
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toContain('filter is no condition: character 16: the expression ends too early');
  });

  it('takes days of a zone for times', async () => {
    const today = new Date().toISOString().slice(0, 10);
    const days = ['--from', '2026-01-01', '--to', '2026-01-02', '--tz', 'Europe/Zurich'];
    expect(recordsOf(await log('query', ...days, ...source()))).toEqual([]);
    expect(recordsOf(await log('export', '--from', today, '--to', today, ...source()))).not.toEqual([]);
    expect(JSON.parse((await log('stats', ...days, ...source())).stdout)).toEqual({ items: [], total: 0 });
  });

  it.each(hostile)('finds exactly %j, and nothing else', async (name) => {
    const ran = await log('query', `--subject=${name}`, ...source());
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(recordsOf(ran).map(({ request }) => request.subject.id)).toEqual([name]);
    expect(ran.stdout).not.toMatch(/[\u001b\u009b]/);
  });

  it('goes on with a cursor where a list ended', async () => {
    const first = await log('query', '--limit', '4', ...source());
    const cursor = /^there are more: --cursor (\S+)$/m.exec(first.stderr)![1]!;
    const second = await log('query', '--limit', '100', '--cursor', cursor, ...source());
    const ids = [...recordsOf(first), ...recordsOf(second)].map(({ id }) => id);
    expect(ids).toHaveLength(hostile.length + 2);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.at(-1)).toBe(allowed);
  });

  it('exports what matches, and no formula', async () => {
    const lines = recordsOf(await log('export', ...source()));
    expect(lines).toHaveLength(hostile.length + 2);
    const csv = await log('export', '--output', 'csv', '--subject', '=1+1', ...source());
    expect(csv.stdout.split('\r\n')).toHaveLength(3);
    expect(csv.stdout).toContain(",'=1+1,");
  });

  it('answers again, on the version of then or on another, and says whether it is the same', async () => {
    const same = await log('replay', allowed, '--output', 'text', ...source());
    await expect(settled(same.stdout)).toMatchFileSnapshot('outputs/log-replay.txt');
    expect(same.code).toBe(0);
    const { version: before } = (await service.get('/v1/policy-sets/default')).body;
    writeFileSync(join(service.directory, 'policies/default/rules.csv'), 'p, zoe, doc, read\n');
    const { version: after } = (await service.post('/v1/policy-sets/default/reload', {})).body;
    const other = await log('replay', allowed, '--version', after, ...source());
    expect(other).toMatchObject({ code: 1, stderr: '' });
    expect(JSON.parse(other.stdout)).toMatchObject({
      same: false,
      recorded: { decision: 'allow', policyVersion: before },
      replayed: { decision: 'deny', policyVersion: after, explanation: { matching: [] } },
    });
    writeFileSync(join(service.directory, 'policies/default/rules.csv'), 'p, ann, doc, read\n');
    await service.post('/v1/policy-sets/default/reload', {});
  });

  it.each([
    [['replay', '..'], 'is no id of a decision'],
    [['replay', "' OR 1=1 --"], 'is no id of a decision'],
    [['replay', '\u001b[2J'], '"\\u001b[2J" is no id of a decision'],
    [['replay', '01999999-9999-7999-8999-999999999999'], 'There is no decision'],
    [['query', '--from', 'yesterday'], 'is not a time such as'],
    [['query', '--to', '2026-02-30'], 'or a day such as'],
    [['stats', '--from', '2026-03-03', '--tz', 'Mars/Olympus'], 'is not a time zone such as'],
    [['export', '--tz', 'Mars/Olympus'], 'is not a time zone such as'],
    [['query', '--cursor', "1' OR '1'='1"], 'is not a cursor of this service'],
    [['query', '--decision', 'maybe'], 'Allowed choices are allow, deny'],
    [['query', '--limit', '0'], 'a whole number from 1 to 10000'],
    [['stats', '--by', 'decision;drop'], 'There is no "decision;drop"'],
  ])('%j ends with 2 and says what is wrong', async (args, message) => {
    const ran = await log(...args, ...source());
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(message);
    expect(ran.stderr).not.toContain('\u001b');
  });

  it('a version that never served cannot answer again', async () => {
    const ran = await log('replay', allowed, '--version', `sha256:${'f'.repeat(64)}`, ...source());
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain('never served version');
  });
});

it('a table is what a terminal gets, with no control character but its own colours', async () => {
  const { stdout, code } = await verdictInTerminal(['log', 'query', '--limit', '100', '--database', database], {
    cwd: workFolder({ policies: false }),
  });
  expect(code).toBe(0);
  expect(stdout).toContain('\u001b[32mallow');
  expect(stdout).toContain('a\\u001b[2J\\u009b31mb');
  expect(stdout).not.toMatch(/\u001b\[2J|\u009b/);
  const plain = await verdictInTerminal(['log', 'query', '--database', database], {
    cwd: workFolder({ policies: false }),
    env: { NO_COLOR: '1' },
  });
  expect(plain.stdout).not.toContain('\u001b[32m');
});

it('reads a copy at rest, and leaves the folder as it was', async () => {
  const folder = workFolder({ policies: false });
  await (service.log as SqliteDecisionLog).indexNow();
  const copied = await verdict(['backup', 'copy'], {
    cwd: folder,
    env: { VERDICT_DATABASE_URL: `sqlite:${database}` },
  });
  expect(copied.code).toBe(0);
  const before = readdirSync(join(folder, 'copy'));
  const replayed = await log('replay', denied, '--database', join(folder, 'copy/verdict.sqlite'));
  expect(JSON.parse(replayed.stdout)).toMatchObject({ same: true, recorded: { decision: 'deny' } });
  expect(readdirSync(join(folder, 'copy'))).toEqual(before);
});

it('says where it looked when there is no log, and which of two sources it cannot read', async () => {
  const nowhere = await log('query', '--database', 'nowhere.sqlite');
  expect(nowhere).toMatchObject({ code: 2, stdout: '' });
  expect(nowhere.stderr).toContain('there is no decision log nowhere.decisions.sqlite');
  const both = await log('query', '--database', database, '--url', url);
  expect(both.code).toBe(2);
  expect(both.stderr).toContain('cannot be used with');
});

it('says that a damaged file cannot be read', async () => {
  const folder = workFolder({ policies: false });
  cpSync(fileURLToPath(import.meta.url), join(folder, 'broken.decisions.sqlite'));
  const ran = await log('query', '--database', join(folder, 'broken.sqlite'));
  expect(ran).toMatchObject({ code: 2, stdout: '' });
  expect(ran.stderr).toContain('the log cannot be read: SQLITE_NOTADB');
});

it('ends quietly when whoever reads has enough', async () => {
  const script = `"$0" "$1" log export --database "$2" | head -n 1`;
  const child = spawn('bash', ['-o', 'pipefail', '-c', script, process.execPath, entry, database]);
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += chunk));
  child.stdout.resume();
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
  expect(errors).toBe('');
});

it.each(['--database', '--url'] as const)(
  'tail %s shows the newest, then what comes, and ends when it is interrupted',
  async (where) => {
    const child = spawn(
      process.execPath,
      [entry, 'log', 'tail', '--lines', '1', '--decision', 'deny', where, where === '--url' ? url : database],
      {
        env: { PATH: process.env.PATH },
      },
    );
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    const subjects = () => recordsOf({ code: 0, stdout: text, stderr: '' }).map(({ request }) => request.subject.id);
    await expect.poll(subjects, { timeout: 20_000 }).toHaveLength(1);
    const [before] = subjects();
    await decide('ann');
    for (const subject of ['c1', 'c2', 'c3']) await decide(subject);
    await expect.poll(subjects, { timeout: 20_000 }).toEqual([before, 'c1', 'c2', 'c3']);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
  },
);

it('tail --url ends when it is interrupted, also after memory was collected', async () => {
  const collecting = ['--expose-gc', '--import', 'data:text/javascript,setInterval(gc, 20).unref()'];
  const child = spawn(process.execPath, [...collecting, entry, 'log', 'tail', '--lines', '1', '--url', url], {
    env: { PATH: process.env.PATH },
  });
  await once(child.stdout, 'data');
  await delay(300);
  child.kill('SIGINT');
  const isOver = once(child, 'close').then(([code]) => code);
  const end = await Promise.race([isOver, delay(5_000, 'still there', { ref: false })]);
  child.kill('SIGKILL');
  expect(end).toBe(0);
});

it('does not follow a redirect, which would take the key elsewhere', async () => {
  let asked = 0;
  const server = createHttpServer((_request, response) => {
    asked++;
    response.writeHead(308, { location: `${url}/v1/decisions` }).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const ran = await log('query', '--url', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  server.close();
  expect(ran).toMatchObject({ code: 2, stdout: '' });
  expect(ran.stderr).toContain('308 Permanent Redirect');
  expect(ran.stderr).toContain('it redirects elsewhere: give the address where it is');
  expect(asked).toBe(1);
});

it('tail --url goes on behind the last decision when its connection breaks, and names what is refused', async () => {
  const args = [entry, 'log', 'tail', '--lines', '0', '--subject', 'again', '--output', 'ndjson', '--url'];
  let sockets: Socket[] = [];
  let connections = 0;
  const proxy = createServer((client) => {
    connections++;
    const upstream = connect(Number(new URL(url).port), '127.0.0.1');
    sockets.push(client, upstream);
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve);
  });
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [...args, address], { env: { PATH: process.env.PATH } });
  let [text, errors] = ['', ''];
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (errors += chunk));
  const resources = () => recordsOf({ code: 0, stdout: text, stderr: '' }).map(({ request }) => request.resource.id);
  await expect.poll(() => connections, { timeout: 20_000 }).toBeGreaterThan(0);
  await expect.poll(() => service.app.get(DecisionStream).size, { timeout: 20_000 }).toBeGreaterThan(0);
  await decide('again', 'r1');
  await expect.poll(resources, { timeout: 20_000 }).toEqual(['r1']);
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await decide('again', 'r2');
  await expect.poll(resources, { timeout: 20_000 }).toEqual(['r1', 'r2']);
  expect(errors).toMatch(/it is followed again in a moment/);
  child.kill('SIGINT');
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
  proxy.close();
  const wrong = await log('tail', '--filter', 'subject.level >', '--url', url);
  expect(wrong).toMatchObject({ code: 2, stdout: '' });
  expect(wrong.stderr).toContain('filter is no condition');
});
