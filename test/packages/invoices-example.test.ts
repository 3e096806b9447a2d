/**
 * examples/invoices, by the commands of its README: packed, installed, built and started in a copy of the repository, beside the
 * built service.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type BuiltService, startBuilt } from '../built-service.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const example = join(root, 'examples/invoices');
const textOf = (file: string) => readFileSync(join(example, file), 'utf8');
const [setUp, start, ...others] = [...textOf('README.md').matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, commands]) =>
  commands!.trim().split('\n'),
);
const tried = others.flat();

const folder = mkdtempSync(join(tmpdir(), 'verdict-invoices-'));
/** A machine may reach the registry by a proxy, and trust it by an authority of its own. */
const env = { ...process.env, npm_config_prefer_offline: 'true', npm_config_audit: 'false' };
const run = (command: string) =>
  execFileSync('bash', ['-c', command], { cwd: folder, env, encoding: 'utf8', stdio: 'pipe' });

let service: BuiltService;
beforeAll(async () => {
  for (const file of ['package.json', 'packages', 'examples']) {
    const filter = (path: string) => !path.includes('node_modules');
    cpSync(join(root, file), join(folder, file), { recursive: true, filter });
  }
  symlinkSync(join(root, 'dist'), join(folder, 'dist'));
  mkdirSync(join(folder, 'examples/invoices/packages'), { recursive: true });
  // The repository is installed and built already.
  expect(setUp!.slice(0, 2)).toEqual(['npm ci', 'npm run build']);
  for (const command of setUp!.slice(2, -1)) run(command);
  const [, policies, args] = /^VERDICT_POLICY_DIR=(\S+) node (.+)$/.exec(setUp!.at(-1)!)!;
  service = await startBuilt(folder, { VERDICT_POLICY_DIR: policies! }, { args: args!.split(' ') });
}, 600_000);
afterAll(async () => {
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

class Application {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  static async start(more: Record<string, string> = {}): Promise<Application> {
    expect(start).toEqual(['npm start --prefix examples/invoices']);
    // As npm would start it, which would hand no signal on.
    const { scripts } = JSON.parse(textOf('package.json'));
    const child = spawn(process.execPath, scripts.start.split(' ').slice(1), {
      cwd: join(folder, 'examples/invoices'),
      env: { PATH: process.env.PATH, PORT: '0', VERDICT_URL: service.url, ...more },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /^invoices listening on (\S+)$/.exec(line)?.[1];
      if (url === undefined) continue;
      child.stdout.resume();
      return new Application(child, url);
    }
    throw new Error('the application did not start');
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await once(this.child, 'close');
  }

  async ask(user: string, method: string, path: string, body?: object) {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(user !== '' && { authorization: `Bearer ${user}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: an answer of the application, which the test looks into
    return { status: answer.status, body: (await answer.json()) as any };
  }
}

/** What users see and may, in an application that has just been started. */
async function expectGuarded(app: Application): Promise<void> {
  const acme = '/tenants/acme/invoices';
  const idsFor = async (user: string, path = acme) =>
    (await app.ask(user, 'GET', path)).body.map(({ id }: { id: string }) => id);
  const status = async (...asked: Parameters<Application['ask']>) => (await app.ask(...asked)).status;

  // Roles and owners: a clerk has its own, a manager all of the tenant.
  expect(await idsFor('ana')).toEqual(['INV-1', 'INV-3']);
  expect(await idsFor('bea')).toEqual(['INV-1', 'INV-2', 'INV-3']);
  expect(await status('ana', 'GET', `${acme}/INV-2`)).toBe(403);
  expect(await status('carl', 'GET', `${acme}/INV-2`)).toBe(200);
  expect(await status('carl', 'POST', acme, { amount: 5 })).toBe(403);
  expect(await status('', 'GET', acme)).toBe(401);
  expect(await status('__proto__', 'GET', acme)).toBe(401);

  // Tenants: neither another one's, nor its invoices by an address of one's own.
  expect(await status('dora', 'GET', acme)).toBe(403);
  expect(await idsFor('emil', '/tenants/globex/invoices')).toEqual(['INV-4']);
  expect(await status('carl', 'GET', `${acme}/INV-4`)).toBe(403);
  expect(await status('carl', 'GET', '/tenants/globex/invoices/INV-4')).toBe(403);
  expect(await status('carl', 'GET', `${acme}/INV-9`)).toBe(403);

  // Four eyes, and six above 10,000.
  const approve = (user: string, id: string) => app.ask(user, 'POST', `${acme}/${id}/approvals`);
  expect((await approve('bea', 'INV-1')).body).toMatchObject({ status: 'approved', approvals: ['bea'] });
  expect((await approve('carl', 'INV-1')).status).toBe(403);
  expect((await approve('bea', 'INV-2')).status).toBe(403);
  expect((await approve('ana', 'INV-3')).status).toBe(403);
  expect((await approve('bea', 'INV-3')).body).toMatchObject({ status: 'submitted', approvals: ['bea'] });
  expect((await approve('bea', 'INV-3')).status).toBe(403);
  expect((await approve('carl', 'INV-3')).body).toMatchObject({ status: 'approved', approvals: ['bea', 'carl'] });

  // A new one: its owner changes it until it is approved, and who approved it approved another amount.
  const { body } = await app.ask('bea', 'POST', acme, { amount: 20_000, owner: 'ana', status: 'approved' });
  expect(body).toEqual({
    id: 'INV-5',
    tenant: 'acme',
    owner: 'bea',
    amount: 20_000,
    status: 'submitted',
    approvals: [],
  });
  expect((await approve('carl', 'INV-5')).body.status).toBe('submitted');
  expect((await app.ask('bea', 'PATCH', `${acme}/INV-5`, { amount: 30_000 })).body.approvals).toEqual([]);
  expect(await status('bea', 'PATCH', `${acme}/INV-5`, { amount: '1' })).toBe(400);
  expect(await status('ana', 'PATCH', `${acme}/INV-5`, { amount: 1 })).toBe(403);
  expect(await status('', 'GET', '/health')).toBe(200);
}

it('its policies hold what their tests say', () => {
  const [command] = tried.filter((each) => each.startsWith('node dist/cli.js test'));
  expect(run(command!)).toMatch(/, 0 failed\n$/);
});

describe('over HTTP', () => {
  let app: Application;
  beforeAll(async () => {
    app = await Application.start();
  });
  afterAll(() => app.stop());

  it('answers what the README says', async () => {
    const asked = tried.filter((command) => command.startsWith('curl'));
    const printed = asked.map((command) =>
      JSON.parse(run(command.replace('curl', 'curl --silent').replace('http://127.0.0.1:8080', app.url))),
    );
    const [ofAna, ofBea, ofDora, first, own, begun, again, done, ...more] = printed;
    expect([ofAna.length, ofBea.length, ofDora.statusCode]).toEqual([2, 3, 403]);
    expect([first.status, own.statusCode]).toEqual(['approved', 403]);
    expect([begun.status, again.statusCode, done.status]).toEqual(['submitted', 403, 'approved']);
    expect(more).toEqual([]);
    const [query] = tried.filter((command) => command.includes(' log query '));
    expect(run(query!.replace('http://127.0.0.1:3000', service.url))).toContain(
      'Nobody approves an invoice of their own',
    );
  });

  it('lets users do what the policies say, and nothing else', async () => {
    const fresh = await Application.start();
    await expectGuarded(fresh);
    await fresh.stop();
  });

  it('is closed while there is no answer', async () => {
    const alone = await Application.start({ VERDICT_URL: 'http://127.0.0.1:1' });
    expect((await alone.ask('ana', 'GET', '/tenants/acme/invoices')).status).toBe(503);
    expect((await alone.ask('', 'GET', '/health')).status).toBe(200);
    await alone.stop();
  });
});

it('does the same where it decides in its own process', async () => {
  const [command] = tried.filter((each) => each.startsWith('VERDICT_MODE=local'));
  expect(command).toBe(`VERDICT_MODE=local ${start![0]}`);
  const app = await Application.start({ VERDICT_MODE: 'local' });
  const before = await callsForDecisions();
  await expectGuarded(app);
  expect(await callsForDecisions()).toBe(before);
  await app.stop();
});

it('takes the change that the README proposes, while it runs', async () => {
  const [, line] = /^Emil .*Add `([^`]+)` to `policies\/invoices\/roles\.csv`/m.exec(textOf('README.md'))!;
  const app = await Application.start();
  const submit = async () => (await app.ask('emil', 'POST', '/tenants/globex/invoices', { amount: 5 })).status;
  expect(await submit()).toBe(403);
  appendFileSync(join(folder, 'examples/invoices/policies/invoices/roles.csv'), `${line}\n`);
  await expect.poll(submit, { timeout: 30_000 }).toBe(201);
  await app.stop();
});

/** How many calls asked the service for decisions. */
async function callsForDecisions(): Promise<number> {
  const metrics = await (await fetch(`${service.url}/metrics`)).text();
  const calls = metrics.matchAll(/^verdict_http_requests_total\{[^}]*route="\/v1\/decide(?:\/batch)?"[^}]*\} (\d+)$/gm);
  const counts = [...calls].map(([, count]) => Number(count));
  expect(counts.length).toBeGreaterThan(0);
  return counts.reduce((sum, count) => sum + count, 0);
}

describe('its containers', () => {
  it('are built by a Dockerfile that is valid, from files that its ignore file lets in', () => {
    const text = textOf('Dockerfile');
    expect(validate(text)).toEqual([]);
    const ignored = textOf('Dockerfile.dockerignore').split('\n');
    const sources = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names]) => names!.split(' '));
    expect(sources.length).toBeGreaterThan(8);
    for (const source of sources) {
      expect(ignored, source).toContain(`!${source}`);
      expect(existsSync(join(root, source)), source).toBe(true);
    }
  });

  it('are started with files and secrets that are there', () => {
    const { services, secrets, volumes } = parse(textOf('compose.yaml'));
    expect(Object.keys(services)).toEqual(['verdict', 'invoices']);
    for (const { secrets: used, volumes: mounted = [] } of Object.values<{ secrets: string[]; volumes?: string[] }>(
      services,
    )) {
      for (const name of used) expect(secrets).toHaveProperty(name);
      for (const [from] of mounted.map((each) => each.split(':'))) {
        expect(from!.startsWith('.') ? existsSync(join(example, from!)) : from! in volumes, from).toBe(true);
      }
    }
    for (const { file } of Object.values<{ file: string }>(secrets)) {
      expect(textOf('README.md')).toContain(`> ${file.slice(2)}`);
    }
    // What is waited for says when it is well.
    expect(readFileSync(join(root, 'Dockerfile'), 'utf8')).toContain('HEALTHCHECK');
  });
});
