/** The built service as processes on data folders of the test's choice: what they print, answer, and how they end. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { onePolicySet, writePolicies } from '../http/service.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** The tests' processes may mount file systems and change what only root may change. */
export const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

/** A folder with one policy set, for services to run in; it goes when the test ends. */
export function serviceFolder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-operations-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  writePolicies(join(directory, 'policies'), onePolicySet);
  return directory;
}

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the body that it asked for
  readonly body: any;
}

export class ServiceProcess {
  readonly output = { stdout: '', stderr: '' };
  /** Its exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>;
  private listening: Promise<string>;
  /** Where it listens. */
  url = '';
  /** The API key that it is asked with, where it wants one. */
  key: string | undefined;

  private constructor(readonly child: ChildProcess) {
    this.exit = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal!)));
    child.stderr!.on('data', (chunk) => {
      this.output.stderr += chunk;
    });
    this.listening = new Promise((resolve, reject) => {
      child.stdout!.on('data', (chunk) => {
        this.output.stdout += chunk;
        const url = /^verdict listening on (\S+)$/m.exec(this.output.stdout)?.[1];
        if (url !== undefined) resolve(url);
      });
      void this.exit.then((code) => reject(new Error(`ended with ${code}: ${this.output.stderr}`)));
    });
    this.listening.catch(() => undefined);
  }

  /** A command line of the built program; killed when the test ends. */
  static run(directory: string, args: readonly string[], env: Record<string, string> = {}): ServiceProcess {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: directory,
      env: { PATH: process.env.PATH, VERDICT_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return new ServiceProcess(child);
  }

  /** Starts a service in the folder and resolves when it listens. */
  static async start(directory: string, env: Record<string, string> = {}): Promise<ServiceProcess> {
    const service = ServiceProcess.run(directory, ['serve', '--local'], env);
    service.url = await service.listening;
    return service;
  }

  get pid(): number {
    return this.child.pid!;
  }

  async get(path: string): Promise<Answer> {
    return this.send('GET', path);
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.send('POST', path, body);
  }

  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    key: string | undefined = this.key,
  ): Promise<Answer> {
    const all = {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...headers,
    };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    return answerOf(await fetch(this.url + path, { method, headers: all, ...sent }));
  }

  /** Asks for a decision that is allowed. */
  decide(): Promise<Answer> {
    return this.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
  }

  /** Lines of its log that are errors. */
  get errors(): readonly { readonly msg: string; readonly suppressed?: number }[] {
    return this.lines.filter(({ level }) => level >= 50);
  }

  get lines(): readonly { readonly level: number; readonly msg: string }[] {
    const lines = this.output.stdout.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line));
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | NodeJS.Signals> {
    this.child.kill(signal);
    return this.exit;
  }
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  // Not NDJSON, which is one document a line.
  const isJson = /[/+]json\b/.test(String(response.headers.get('content-type')));
  return { status: response.status, body: isJson ? JSON.parse(text) : text };
}

/** A file system of a given size, to be filled; undefined if it cannot be mounted. */
export function smallDisk(directory: string, megabytes: number): string | undefined {
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    expect(process.env.VERDICT_TEST_REQUIRE, 'a small disk can be mounted').not.toBe('all');
    return undefined;
  }
  onTestFinished(() => void execFileSync('umount', ['-l', disk]));
  return disk;
}
