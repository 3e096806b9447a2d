/** The examples of docs/clients.md: each is written to a file as it stands there, and run against the built service. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { liveSets } from '../api/live-data-sets.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { examplesOf } from './page-examples.js';
import { ScratchProject } from './scratch-project.js';
import { scripted } from './scripted-server.js';
import { allow, eachSpoiled } from './spoiled-allows.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = examplesOf('clients.md');

const clinic = Object.fromEntries(
  readdirSync(join(root, 'policies/default'), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [`default/${name}`, readFileSync(join(root, 'policies/default', name), 'utf8')]),
);

const isRequired = process.env.VERDICT_TEST_REQUIRE === 'all';
/** A machine may have it under a path of its own. */
const python = process.env.VERDICT_TEST_PYTHON ?? 'python3';
const hasRequests = isRequired || spawnSync(python, ['-c', 'import requests']).status === 0;
const hasGo = isRequired || spawnSync('go', ['version']).status === 0;
const hasShellTools = isRequired || ['curl', 'jq'].every((tool) => spawnSync(tool, ['--version']).status === 0);
if (!hasRequests) console.warn('requests is not installed: the example in Python is not run');
if (!hasGo) console.warn('go is not installed: the example in Go is not run');
if (!hasShellTools) console.warn('curl or jq is not installed: the example for the shell is not run');

const project = new ScratchProject();
let service: BuiltService;
/** Where nobody answers. */
let nowhere: string;
const ran = new Set<string>();
beforeAll(async () => {
  service = await startBuiltService({ ...clinic, ...liveSets }, {}, ['decide', 'data:write']);
  const gone = await scripted(() => {});
  nowhere = gone.url;
  await gone.stop();
  for (const workspace of ['engine', 'client']) project.install(workspace);
  for (const name of ['express', 'fastify']) project.link(name);
  for (const [name, text] of examples) project.write(name, text);
  cpSync(join(root, 'policies'), join(project.folder, 'policies'), { recursive: true });
});
afterAll(async () => {
  project.remove();
  await service.stop();
});

const environment = (url: string) => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  VERDICT_URL: url,
  VERDICT_API_KEY: service.token,
  PORT: '0',
});

/** Runs an example, whatever its exit code. */
async function run(name: string, program: string, args: readonly string[], url = service.url) {
  expect(examples.has(name), name).toBe(true);
  ran.add(name);
  const running = promisify(execFile)(program, args, {
    cwd: project.folder,
    env: { ...environment(url), CGO_ENABLED: '0' },
  });
  const { stdout, stderr, code = 0 } = await running.catch((error) => error);
  return { stdout: String(stdout), stderr: String(stderr), code };
}

const asJson = { 'content-type': 'application/json' };

it.runIf(hasShellTools)('curl', async () => {
  const may = (url: string) => run('may.sh', 'sh', ['may.sh'], url);
  expect(await may(service.url)).toMatchObject({ code: 0 });
  expect((await may(nowhere)).code).not.toBe(0);
  for (const body of ['{"allowed": false}', '{"allowed": "true"}', '{"allowed": tr', '', '<p>', `${allow} {}`]) {
    const other = await scripted((_, response) => response.writeHead(200, asJson).end(body));
    expect((await may(other.url)).code, body).not.toBe(0);
    await other.stop();
  }
  await eachSpoiled(async (url, how) => expect((await may(url)).code, how).not.toBe(0));
  // All of a value came, and not all of the body.
  const cut = await scripted((_, response) => {
    response.writeHead(200, { ...asJson, 'content-length': allow.length + 1 });
    response.write(allow, () => response.destroy());
  });
  expect((await may(cut.url)).code).not.toBe(0);
  await cut.stop();
});

describe('@verdict/client', () => {
  it('asks', async () => {
    expect(await run('ask.mjs', process.execPath, ['ask.mjs'])).toMatchObject({ stdout: 'yes\n', stderr: '' });
    const unanswered = await run('ask.mjs', process.execPath, ['ask.mjs'], nowhere);
    expect(unanswered.stdout).toBe('');
    expect(unanswered.stderr).toContain('there is no answer (network)');
    await eachSpoiled(async (url, how) => {
      const { stdout, stderr } = await run('ask.mjs', process.execPath, ['ask.mjs'], url);
      expect([stdout, stderr], how).toEqual(['', expect.stringContaining('there is no answer (malformed)')]);
    });
  });

  it('knows a change', async () => {
    const { stdout } = await run('change.mjs', process.execPath, ['change.mjs']);
    expect(stdout).toMatch(/^true\nfalse\n\{ desk: \d+ \}\n$/);
  });

  it('decides in a test', async () => {
    const { stdout, code } = await run('invoices.test.mjs', process.execPath, ['--test', 'invoices.test.mjs']);
    expect(code, stdout).toBe(0);
    expect(stdout).toContain('# pass 1');
  });
});

describe.each(['express.mjs', 'fastify.mjs'])('%s', (name) => {
  /** Statuses of what callers get, while the application asks the service at `url`. */
  async function statuses(url: string): Promise<number[]> {
    ran.add(name);
    const child = spawn(process.execPath, [name], {
      cwd: project.folder,
      env: environment(url),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      let listening: string | undefined;
      for await (const line of createInterface({ input: child.stdout })) {
        listening = /^listening on (\S+)$/.exec(line)?.[1];
        if (listening !== undefined) break;
      }
      const get = async (id: string, token?: string) => {
        const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
        return (await fetch(`${listening}/lab-results/${id}`, { headers })).status;
      };
      return [
        await get('L-2231', 'token-of-dana'),
        await get('L-2231', 'token-of-tomas'),
        await get('none', 'token-of-tomas'),
        await get('L-2231'),
        await get('L-2231', '__proto__'),
      ];
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
  }

  it('lets in whom the policy lets in, and nobody while there is no answer', async () => {
    expect(await statuses(service.url)).toEqual([200, 403, 403, 401, 401]);
    expect(await statuses(nowhere)).toEqual([503, 503, 503, 401, 401]);
    await eachSpoiled(async (url, how) => expect(await statuses(url), how).toEqual([503, 503, 503, 401, 401]));
  });
});

describe.runIf(hasRequests)('Python', () => {
  it('asks', async () => {
    expect(await run('may.py', python, ['may.py'])).toMatchObject({ stdout: 'True\nFalse\n', code: 0 });
    expect(await run('may.py', python, ['may.py'], nowhere)).toMatchObject({ stdout: 'False\nFalse\n', code: 0 });
    await eachSpoiled(async (url, how) => {
      expect(await run('may.py', python, ['may.py'], url), how).toMatchObject({ stdout: 'False\nFalse\n', code: 0 });
    });
    const other = await scripted((_, response) => response.writeHead(200, asJson).end('[true]'));
    expect(await run('may.py', python, ['may.py'], other.url)).toMatchObject({ stdout: 'False\nFalse\n', code: 0 });
    await other.stop();
  });
});

describe.runIf(hasGo)('Go', () => {
  it('asks', async () => {
    const built = await run('main.go', 'go', ['build', '-o', 'may', 'main.go']);
    expect(built).toMatchObject({ code: 0, stderr: '' });
    const may = (url: string) => run('main.go', join(project.folder, 'may'), [], url);
    expect(await may(service.url)).toMatchObject({ stdout: 'true\nfalse\n', stderr: '' });
    expect(await may(nowhere)).toMatchObject({ stdout: 'false\nfalse\n' });
    await eachSpoiled(async (url, how) => expect(await may(url), how).toMatchObject({ stdout: 'false\nfalse\n' }));
    for (const body of [
      '{"allowed": "true", "decision": "allow"}',
      '{"allowed": true}',
      '{"allowed": true, "dec',
      '',
    ]) {
      const other = await scripted((_, response) =>
        response.writeHead(200, { 'content-type': 'application/json' }).end(body),
      );
      expect(await may(other.url), body).toMatchObject({ stdout: 'false\nfalse\n' });
      await other.stop();
    }
  });
});

it('no example is left out', () => {
  const missing = [...examples.keys()].filter((name) => !ran.has(name));
  const skipped = [
    // nestjs.test.ts runs it, with each version of NestJS.
    'main.ts',
    ...(hasGo ? [] : ['main.go']),
    ...(hasRequests ? [] : ['may.py']),
    ...(hasShellTools ? [] : ['may.sh']),
  ];
  expect(missing.sort()).toEqual(skipped.sort());
  expect(examples.size).toBeGreaterThan(7);
});
