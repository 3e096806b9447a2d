/** The built service as a process: what it prints, how it exits, and that stopping it under load loses nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { onePolicySet, writePolicies } from './service.js';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
const question = JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' });

let directory: string;
let children: ChildProcess[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'verdict-process-'));
  writePolicies(join(directory, 'policies'), onePolicySet);
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly exit: Promise<number | null>;
}

function run(script: 'main.js' | 'cli.js', args: string[], env: Record<string, string> = {}): Run {
  const child = spawn(process.execPath, [join(dist, script), ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  return { child, output, exit: new Promise((resolve) => child.on('close', resolve)) };
}

/** Starts the service and resolves when its line says that it listens. */
async function start(env: Record<string, string> = {}): Promise<Run & { port: number; url: string }> {
  const service = run('cli.js', ['serve', '--local'], { VERDICT_PORT: '0', ...env });
  let line: RegExpExecArray | null = null;
  while (line === null) {
    if (service.child.exitCode !== null) throw new Error(service.output.stderr);
    line = /^verdict listening on (http:\/\/127\.0\.0\.1:(\d+))$/m.exec(service.output.stdout);
    await delay(10);
  }
  return { ...service, url: line[1]!, port: Number(line[2]) };
}

describe('verdict serve', () => {
  it('serves when it says so, in one line, and exits 0 when it is told to stop', async () => {
    const service = await start();
    const response = await fetch(`${service.url}/v1/decide`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: question,
    });
    expect(await response.json()).toMatchObject({ allowed: true });
    service.child.kill('SIGTERM');
    expect(await service.exit).toBe(0);
    expect(service.output.stdout.match(/^verdict listening on/gm)).toHaveLength(1);
    const others = service.output.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('verdict'));
    for (const line of others)
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number), time: expect.any(String) });
    expect(service.output.stderr).toContain('Authentication is off');
  });

  it('exits 0 on SIGINT too', async () => {
    const service = await start();
    service.child.kill('SIGINT');
    expect(await service.exit).toBe(0);
  });

  it('asks for a credential in production, and listens beyond loopback only when there is one', async () => {
    const local = await start({ VERDICT_AUTH: 'required' });
    const response = await fetch(`${local.url}/v1/decide`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: question,
    });
    expect(response.status).toBe(401);
    const open = run('main.js', [], {
      VERDICT_POLICY_DIR: './policies',
      VERDICT_DATABASE_URL: 'sqlite:./other/verdict.sqlite',
      VERDICT_HOST: '0.0.0.0',
      VERDICT_PORT: '0',
      VERDICT_TLS: 'terminated-elsewhere',
    });
    expect(await open.exit).toBe(78);
    expect(open.output.stderr).toContain('no usable credential is configured');
    expect(open.output.stdout).not.toContain('verdict listening');
  });

  it('lists everything that is wrong with its environment and exits 78', async () => {
    const { output, exit } = run('main.js', [], { VERDICT_PORT: 'x', VERDICT_HOSTT: 'y', VERDICT_AUTH: 'none' });
    expect(await exit).toBe(78);
    for (const name of ['VERDICT_PORT', 'VERDICT_HOSTT', 'VERDICT_POLICY_DIR']) expect(output.stderr).toContain(name);
  });

  it('says who has the port and exits 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { output, exit } = run('cli.js', ['serve', '--local'], { VERDICT_PORT: String(port) });
    expect(await exit).toBe(1);
    expect(output.stderr).toContain(`cannot listen on 127.0.0.1:${port}: another process does already`);
    other.close();
  });

  it('ends with 1 and leaves the file alone when it is no database', async () => {
    const file = join(directory, 'data', 'verdict.sqlite');
    mkdirSync(join(directory, 'data'));
    writeFileSync(file, 'no database '.repeat(1_000));
    const { output, exit } = run('cli.js', ['serve', '--local'], { VERDICT_PORT: '0' });
    expect(await exit).toBe(1);
    expect(output.stderr).toContain('cannot use the database that VERDICT_DATABASE_URL names: SQLITE_NOTADB');
    expect(readFileSync(file, 'utf8')).toBe('no database '.repeat(1_000));
  });

  it('finishes a request that is half sent when it is told to stop, and takes no new connection', async () => {
    const service = await start();
    const socket = connect(service.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => {
      answer += data;
    });
    const closed = new Promise((resolve) => socket.on('close', resolve));
    const head = `POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${question.length}\r\n\r\n`;
    socket.write(head + question.slice(0, 10));
    await delay(100);
    service.child.kill('SIGTERM');
    await delay(200);
    const refused = await fetch(`${service.url}/health/live`).catch((error: Error) => error);
    expect(refused).toBeInstanceOf(Error);
    socket.write(question.slice(10));
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(await service.exit).toBe(0);
  });

  it.each(['sync', 'async'])('stopped under load resets no connection, with the log in mode %s', async (mode) => {
    const service = await start({ VERDICT_DECISION_LOG: mode });
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    let answers = 0;
    const ends: (string | undefined)[] = [];
    const client = async () => {
      for (;;) {
        try {
          await post(agent, service.port);
          answers++;
        } catch (error) {
          ends.push((error as NodeJS.ErrnoException).code);
          return;
        }
      }
    };
    const clients = Promise.all(Array.from({ length: 32 }, client));
    while (answers < 2_000) await delay(10);
    service.child.kill('SIGTERM');
    expect(await service.exit).toBe(0);
    await clients;
    agent.destroy();
    // Each had its last answer, which said that the connection closes, and then found nobody to connect to.
    expect(new Set(ends)).toEqual(new Set(['ECONNREFUSED']));
  });

  it('stopped under load answers what it accepted and has a record of every answer', async () => {
    const service = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const answered: string[] = [];
    const wrong: unknown[] = [];
    let stopping = false;
    const client = async () => {
      while (!stopping) {
        const answer = await post(agent, service.port).catch(() => undefined);
        if (answer?.status === 200) answered.push(answer.body.decisionId);
        else if (answer !== undefined) wrong.push(answer);
        else if (service.child.killed) return;
      }
    };
    const clients = Array.from({ length: 32 }, client);
    while (answered.length < 2_000) await delay(10);
    service.child.kill('SIGTERM');
    expect(await service.exit).toBe(0);
    stopping = true;
    await Promise.all(clients);
    agent.destroy();
    expect(wrong).toEqual([]);
    const log = new SqliteDecisionLog({ databasePath: join(directory, 'data/verdict.sqlite'), mode: 'sync' });
    await log.start();
    const recorded = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = await log.search(cursor === undefined ? { limit: 1_000 } : { limit: 1_000, cursor });
      for (const { id } of page.items) recorded.add(id);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    await log.stop();
    expect(answered.filter((id) => !recorded.has(id))).toEqual([]);
    // What has a record and no answer was cut off on its way back; there is at most one for each connection.
    expect(recorded.size - answered.length).toBeLessThanOrEqual(32);
  });
});

describe('verdict', () => {
  it('config check prints what is in effect and exits 0, or 78', async () => {
    const fine = run('cli.js', ['config', 'check', '--local'], { VERDICT_PORT: '8080' });
    expect(await fine.exit).toBe(0);
    expect(fine.output.stdout).toContain('VERDICT_PORT=8080\n');
    expect(fine.output.stdout).toContain('VERDICT_POLICY_DIR=./policies  # default\n');
    const wrong = run('cli.js', ['config', 'check', '--local'], { VERDICT_PORT: '-1' });
    expect(await wrong.exit).toBe(78);
    expect(wrong.output.stderr).toContain('VERDICT_PORT must not be less than 0');
  });

  it('says how it is used, and exits 2 when it is used otherwise', async () => {
    const help = run('cli.js', ['--help']);
    expect(await help.exit).toBe(0);
    expect(help.output.stdout).toMatch(/^ +serve /m);
    const unknown = run('cli.js', ['serv']);
    expect(await unknown.exit).toBe(2);
    expect(unknown.output.stderr).toContain('serv');
  });
});

function post(agent: Agent, port: number): Promise<{ status: number | undefined; body: { decisionId: string } }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': question.length };
    const sent = request(
      { agent, port, host: '127.0.0.1', method: 'POST', path: '/v1/decide', headers },
      (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(question);
  });
}
