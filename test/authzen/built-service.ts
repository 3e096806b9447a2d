/** The built service as a process of its own, on a port of its own, for tests that ask it over the network. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { type PolicyFiles, writePolicies } from '../http/service.js';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

export interface BuiltService {
  readonly url: string;
  /** An API key of the name `tester`. */
  readonly token: string;
  readonly directory: string;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** The files of a policy set below test/fixtures, as a set of another name. */
export function fixtureSet(fixture: string, name: string): PolicyFiles {
  const folder = join(fixtures, fixture);
  return Object.fromEntries(
    readdirSync(folder).map((file) => [`${name}/${file}`, readFileSync(join(folder, file), 'utf8')]),
  );
}

/** Resolves when the service says that it listens. Authentication is on unless the environment turns it off. */
export async function startBuiltService(
  files: PolicyFiles,
  env: Record<string, string> = {},
  scopes: readonly string[] = ['decide'],
): Promise<BuiltService> {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-built-'));
  writePolicies(join(directory, 'policies'), files);
  const token = makeApiKey('prod');
  const entry = { name: 'tester', sha256: digestOf(token), scopes };
  writeFileSync(join(directory, 'keys.yaml'), JSON.stringify([entry]));
  const child = spawn(process.execPath, [main], {
    cwd: directory,
    env: {
      PATH: process.env.PATH,
      VERDICT_PORT: '0',
      VERDICT_POLICY_DIR: join(directory, 'policies'),
      VERDICT_DATABASE_URL: `sqlite:${join(directory, 'verdict.sqlite')}`,
      VERDICT_API_KEYS_FILE: join(directory, 'keys.yaml'),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async () => {
    const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /^verdict listening on (\S+)$/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout!.resume();
    return { url, token, directory, child, stop };
  }
  await stop();
  throw new Error('the service did not start');
}

/** A port that nobody listens on just now, for programs that cannot pick one and say which. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
