/**
 * The Dockerfile, without a container engine: it is read by the grammar that editors use, held against the rules of
 * hadolint that matter, and its steps are done in folders; what comes out of them runs, as another user where the tests
 * run as root, on files that nobody may write.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readApiKeyFile } from '../../src/auth/api-key-file.js';
import { apiKeyPattern } from '../../src/logging/mask-credentials.js';
import { build, environmentOf, type Instruction, readDockerfile } from './dockerfile.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(join(repository, 'Dockerfile'), 'utf8');
const stages = readDockerfile(text);
const last = stages.at(-1)!;
const all = stages.flatMap(({ instructions }) => instructions);
const only = (keyword: string): Instruction => {
  const found = last.instructions.filter((instruction) => instruction.keyword === keyword);
  expect(found, keyword).toHaveLength(1);
  return found[0]!;
};

const hasHadolint =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('hadolint', ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasHadolint) console.warn('hadolint is not installed: its rules are tested as far as they are written here');

describe('the Dockerfile', () => {
  it('is valid', () => expect(validate(text)).toEqual([]));

  it.skipIf(!hasHadolint)('is one in which hadolint finds nothing', () => {
    const ran = spawnSync('hadolint', ['--no-color', '--failure-threshold', 'style', join(repository, 'Dockerfile')], {
      encoding: 'utf8',
    });
    expect(ran.error).toBeUndefined();
    expect(ran.stdout).toBe('');
    expect(ran.status).toBe(0);
  });

  it('names a version of each image, never the latest (DL3006, DL3007)', () => {
    const names = new Set(stages.map(({ name }) => name));
    for (const { image } of stages.filter(({ image }) => !names.has(image)))
      expect(image).toMatch(/^[\w./-]+:(?!latest)\S+$/);
  });

  it('copies from stages that come before, each of which has a name of its own (DL3022, DL3024)', () => {
    const names = stages.map(({ name }) => name).filter((name) => name !== undefined);
    expect(new Set(names).size).toBe(names.length);
    for (const { flags } of all) if (flags.from !== undefined) expect(names).toContain(flags.from);
  });

  it('ends as a user that is not root, by number (DL3002)', () => {
    expect(last.instructions.filter(({ keyword }) => keyword === 'USER').at(-1)?.rest).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  it('has absolute working directories and does not leave them with cd (DL3000, DL3003)', () => {
    for (const { keyword, rest } of all) {
      if (keyword === 'WORKDIR') expect(rest).toMatch(/^\//);
      if (keyword === 'RUN') expect(rest).not.toMatch(/(^|[;&|]\s*)cd /);
    }
  });

  it('copies and does not add; many into a directory, relatively below a working directory (DL3020, DL3021, DL3045)', () => {
    expect(all.filter(({ keyword }) => keyword === 'ADD')).toEqual([]);
    for (const { instructions } of stages) {
      let hasDirectory = stages.some(({ name }) => name === instructions[0]!.rest.split(' ')[0]);
      for (const { keyword, rest } of instructions) {
        hasDirectory ||= keyword === 'WORKDIR';
        if (keyword !== 'COPY') continue;
        const parts = rest.split(/\s+/);
        if (parts.length > 2) expect(parts.at(-1)).toMatch(/\/$/);
        expect(hasDirectory || parts.at(-1)!.startsWith('/')).toBe(true);
      }
    }
  });

  it('installs what the lock file says and nothing else (DL3004, DL3008, DL3016, DL4001)', () => {
    for (const { rest } of all.filter(({ keyword }) => keyword === 'RUN')) {
      expect(rest).not.toMatch(/\b(sudo|apt|apt-get|curl|wget|ssh|yarn)\b|npm (i|install)\b|\|/);
    }
  });

  it('lets no package run a script while it is installed, but the one whose script was read', () => {
    const runs = all.filter(({ keyword }) => keyword === 'RUN').map(({ rest }) => rest);
    for (const run of runs.filter((rest) => rest.startsWith('npm ci'))) expect(run).toContain(' --ignore-scripts');
    expect(runs.filter((rest) => rest.startsWith('npm rebuild'))).toEqual(['npm rebuild sqlite3']);
    const { allowScripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    const allowed = Object.keys(allowScripts).filter((name) => allowScripts[name]);
    expect(allowed, 'allowScripts in package.json').toEqual(['sqlite3']);
  });

  it('runs commands without a shell, one of each kind (DL3025, DL3057, DL4003, DL4004)', () => {
    expect(only('CMD').exec).toBeDefined();
    expect(only('HEALTHCHECK').exec?.[0]).toBe('node');
    expect(last.instructions.filter(({ keyword }) => keyword === 'ENTRYPOINT').length).toBeLessThanOrEqual(1);
    expect(last.instructions.filter(({ keyword }) => ['SHELL', 'MAINTAINER'].includes(keyword))).toEqual([]);
  });

  it('runs nothing in the image that ships, so that it has two layers of ours and no tools', () => {
    expect(last.instructions.filter(({ keyword }) => keyword === 'RUN')).toEqual([]);
  });

  it('has no secret, in it or in what it may copy', () => {
    expect(text).not.toMatch(/^(ENV|ARG).*(KEY|TOKEN|SECRET|PASSWORD)/m);
    const ignored = readFileSync(join(repository, '.dockerignore'), 'utf8');
    expect(ignored).not.toMatch(/^!.*(data|env|secret|key|policies|test)/m);
  });

  it('has the Node.js that package.json allows, and the recommended one', () => {
    const [, major] = /^node:(\d+)/.exec(last.image)!;
    const { engines } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    expect(Number(major)).toBeGreaterThanOrEqual(Number(/\d+/.exec(engines.node)![0]));
    expect(stages.every(({ image }) => image === last.image || stages.some(({ name }) => name === image))).toBe(true);
  });
});

describe('its steps, done in folders', { timeout: 600_000 }, () => {
  let roots: string;
  let root: string;
  let child: ChildProcess | undefined;

  beforeAll(() => {
    roots = mkdtempSync(join(tmpdir(), 'verdict-image-'));
    chmodSync(roots, 0o755);
    root = build(stages, repository, roots);
  }, 600_000);
  afterAll(() => {
    child?.kill('SIGKILL');
    execFileSync('chmod', ['-R', 'u+w', roots]);
    rmSync(roots, { recursive: true, force: true });
  }, 120_000);

  it('ship the built service and what it needs to run, and nothing that only builds or tests', () => {
    expect(readdirSync(root).sort()).toEqual(['app', 'data']);
    expect(readdirSync(join(root, 'app')).sort()).toEqual([
      'LICENSE',
      'NOTICE',
      'dist',
      'node_modules',
      'package.json',
      'schemas',
      'templates',
      'third_party',
    ]);
    const shipped = new Set(readdirSync(join(root, 'app/node_modules')));
    expect(['vitest', '@biomejs', '@stryker-mutator'].filter((name) => shipped.has(name))).toEqual([]);
    expect(shipped.has('fastify')).toBe(true);
  });

  it('make the entry of a key before there is any, as docs/operations.md says', () => {
    const page = readFileSync(join(repository, 'docs/operations.md'), 'utf8');
    const [, variable, command] = /^docker run --rm -e (\S+) verdict:local node (.*?) 2> \S+ > \S+$/m.exec(page)!;
    const entry = execFileSync(process.execPath, command!.split(' '), {
      cwd: join(root, 'app'),
      env: { ...environmentOf(last), PATH: process.env.PATH!, ...Object.fromEntries([variable!.split('=')]) },
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    });
    const [caller] = readApiKeyFile('api-keys.yaml', entry);
    expect(caller).toMatchObject({ key: { name: 'prometheus', scopes: ['metrics:read'] } });
  });

  it('start by its command on files that cannot be written, are healthy by its own check, decide, and stop by its signal', async () => {
    const uid = process.getuid?.() === 0 ? 1000 : undefined;
    const data = join(root, 'data');
    cpSync(join(repository, 'policies'), join(root, 'policies'), { recursive: true });
    execFileSync('chmod', ['-R', 'a-w', join(root, 'app'), join(root, 'policies')]);
    if (uid !== undefined) chownSync(data, uid, uid);
    const env = {
      ...Object.fromEntries(
        // What the image has at its root is below this one here.
        Object.entries(environmentOf(last)).map(([name, value]) => [name, value.replace(/(^|:)\//, `$1${root}/`)]),
      ),
      PATH: process.env.PATH!,
      // On a test machine nothing listens beyond loopback, and any port may be taken.
      VERDICT_HOST: '127.0.0.1',
      VERDICT_AUTH: 'none',
      VERDICT_PORT: '0',
    };
    const options = { cwd: join(root, 'app'), env, ...(uid !== undefined && { uid, gid: uid }) };
    const [, ...command] = only('CMD').exec!;
    child = spawn(process.execPath, command, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr!.on('data', (chunk) => {
      errors += chunk;
    });
    let port = '';
    for await (const line of createInterface({ input: child.stdout! })) {
      port = /^verdict listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1] ?? '';
      if (port !== '') break;
    }
    expect(port, errors).not.toBe('');
    child.stdout!.resume();
    const check = only('HEALTHCHECK').exec!.slice(1);
    const healthy = (checked: string) =>
      new Promise((done) =>
        spawn(process.execPath, check, { ...options, env: { ...env, VERDICT_PORT: checked } }).on('exit', done),
      );
    expect(await healthy(port)).toBe(0);
    const response = await fetch(`http://127.0.0.1:${port}/v1/decide`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ subject: 'nobody', action: 'read', resource: 'nothing' }),
    });
    expect(await response.json()).toMatchObject({ allowed: false });
    expect(statSync(join(data, 'verdict.sqlite')).mode & 0o777).toBe(0o600);
    const exit = new Promise((done) => child!.on('exit', done));
    child.kill(only('STOPSIGNAL').rest as NodeJS.Signals);
    expect(await exit).toBe(0);
    expect(await healthy(port)).toBe(1);
  });
});

describe.each(['compose.yaml', 'compose.fleet.yaml'])('%s', (file) => {
  const source = readFileSync(join(repository, file), 'utf8');
  const { services, secrets, volumes } = parse(source, { merge: true });

  it('mounts files that are there, and read-only where they are ours', () => {
    const mounts = Object.values(services as Record<string, { volumes?: string[] }>).flatMap(
      ({ volumes = [] }) => volumes,
    );
    for (const mount of mounts) {
      const [from, , mode] = mount.split(':');
      if (!from!.startsWith('./')) expect(Object.keys(volumes)).toContain(from);
      else {
        expect(() => statSync(join(repository, from!)), from).not.toThrow();
        expect(mode, mount).toBe('ro');
      }
    }
  });

  it('gives containers nothing to write but their volumes, no privileges, and no port beyond this machine', () => {
    for (const [name, service] of Object.entries(services as Record<string, Record<string, unknown>>)) {
      expect(service.read_only, name).toBe(true);
      expect(service.cap_drop, name).toEqual(['ALL']);
      expect(service.security_opt, name).toEqual(['no-new-privileges:true']);
      for (const port of (service.ports as string[] | undefined) ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
    }
  });

  it('has no secret in it: they are files outside of the repository', () => {
    expect(source).not.toMatch(new RegExp(apiKeyPattern));
    expect(source).not.toMatch(/(PASSWORD|SECRET|TOKEN)(?!_?_FILE)\w*:/);
    const ignored = readFileSync(join(repository, '.gitignore'), 'utf8').split('\n');
    for (const secret of Object.values(secrets as Record<string, { file: string }>)) {
      expect(secret.file).toMatch(/^\.\/secrets\//);
      expect(ignored).toContain('secrets/');
    }
  });

  it('sets variables of Verdict that there are', async () => {
    const { readConfig } = await import('../../src/config/read-config.js');
    const ours = Object.entries(services as Record<string, { image: string; environment: object }>).filter(
      ([, { image }]) => image === 'verdict:local',
    );
    expect(ours.length).toBeGreaterThan(0);
    for (const [name, { environment }] of ours) {
      const secretsInPlace = Object.entries(environment).filter(
        ([variable]) => variable !== 'VERDICT_DATABASE_URL_FILE',
      );
      const { config } = readConfig({ ...environmentOf(last), NODE_ENV: '', ...Object.fromEntries(secretsInPlace) });
      expect(config.auth, name).toBe('required');
      expect(config.host, name).toBe('0.0.0.0');
    }
  });
});
