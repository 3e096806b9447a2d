/** The package as npm would install it: what is not in it, or not among its dependencies, is not there. */
import { type ExecFileSyncOptions, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'verdict-package-'));
const env = { PATH: process.env.PATH, HOME: project, npm_config_offline: 'true', npm_config_update_notifier: 'false' };

function run(command: string, args: readonly string[], options: ExecFileSyncOptions = {}): string {
  return String(execFileSync(command, args, { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'], ...options }));
}

beforeAll(() => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', project], { cwd: root }));
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, 'verdict'), { recursive: true });
  run('tar', ['xzf', filename, '--strip-components=1', '-C', join(modules, 'verdict')]);
  // No registry is asked: the dependencies that the package declares, and no others, are those of this checkout.
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', dependencies: { verdict: '*' } }));
  // Makes the links in node_modules/.bin.
  run('npm', ['rebuild', '--ignore-scripts', 'verdict']);
}, 60_000);

afterAll(() => rmSync(project, { recursive: true, force: true }));

const npxVerdict = (...args: string[]) => run('npx', ['--no-install', 'verdict', ...args]);

it('npx verdict makes a set, checks it and tests it', () => {
  expect(npxVerdict('--version')).toBe(`${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}\n`);
  for (const template of ['rbac', 'abac', 'tenants', 'gateway', 'rest']) {
    npxVerdict('init', `policies/${template}`, '--template', template);
    expect(readdirSync(join(project, 'policies', template, '.schemas')).length).toBe(5);
  }
  expect(npxVerdict('lint')).toBe('0 errors, 0 warnings in 5 policy sets\n');
  expect(npxVerdict('test')).toContain(' in 5 policy sets, 0 failed\n');
  expect(JSON.parse(npxVerdict('openapi')).openapi).toBe('3.1.0');
}, 60_000);

it('npx verdict serve serves', async () => {
  cpSync(join(root, 'policies/default'), join(project, 'policies/default'), { recursive: true });
  const child = spawn('npx', ['--no-install', 'verdict', 'serve', '--local'], {
    cwd: project,
    env: { ...env, VERDICT_PORT: '0' },
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  try {
    let url = '';
    for await (const line of createInterface({ input: child.stdout })) {
      url = /^verdict listening on (\S+)$/.exec(line)?.[1] ?? '';
      if (url !== '') break;
    }
    const body = JSON.stringify({ subject: 'dana', action: 'read', resource: 'L-2231' });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${url}/v1/decide`, { method: 'POST', headers, body });
    expect(await answer.json()).toMatchObject({ allowed: true, policySet: 'default' });
    // Its own pages and the stock engine's worker are files beside the code.
    expect((await fetch(`${url}/docs`)).status).toBe(200);
  } finally {
    // npx stands between: the whole group is told.
    process.kill(-child.pid!, 'SIGTERM');
    // The service holds the pipe too, and writes into its folder until it ends.
    child.stdout.resume();
    await once(child, 'close');
  }
}, 60_000);

it('the library is imported by its name', () => {
  const script = `
    import { compilePolicySet } from 'verdict/engine';
    const model = '[request_definition]\\nr = sub\\n[policy_definition]\\np = sub\\n[policy_effect]\\n' +
      'e = some(where (p.eft == allow))\\n[matchers]\\nm = r.sub == p.sub';
    console.log(compilePolicySet({ model, rules: 'p, ann' }).enforce(['ann']).decision);`;
  expect(run(process.execPath, ['--input-type=module', '-e', script])).toBe('allow\n');
});
