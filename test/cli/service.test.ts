import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PolicyArchive } from '../../src/policy-store/archive/policy-archive.js';
import { type BuiltService, startBuilt } from '../built-service.js';
import { startService } from '../http/service.js';
import { idModel } from '../models.js';
import { verdict } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const cwd = mkdtempSync(join(tmpdir(), 'verdict-service-'));
let service: BuiltService;
let url = '';

beforeAll(async () => {
  cpSync(join(root, 'policies/default'), join(cwd, 'policies/default'), { recursive: true });
  // Its own tests would keep the service from loading what this one changes.
  rmSync(join(cwd, 'policies/default/tests'), { recursive: true });
  writeFileSync(
    join(cwd, 'demand.json'),
    JSON.stringify({ subject: 'dana', action: 'read', resource: 'L-2231', policySet: 'default', atLeast: 7 }),
  );
  service = await startBuilt(cwd, { VERDICT_LOG_LEVEL: 'error' });
  url = service.url;
});

afterAll(async () => {
  await service.stop();
  rmSync(cwd, { recursive: true });
});

const ask = (...args: string[]) => verdict([...args, '--url', url], { cwd });
const question = ['--subject', 'dana', '--action', 'read', '--resource', 'L-2231'];

it('decide and explain say how fresh the policy set must be', async () => {
  for (const command of ['decide', 'explain']) {
    expect(await ask(command, '--set', 'default', ...question, '--max-staleness', '1m')).toMatchObject({ code: 0 });
  }
});

it('decide asks the service', async () => {
  const decided = await ask('decide', '--set', 'default', ...question, '--output', 'json');
  expect(decided).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(decided.stdout)).toMatchObject({ decision: 'allow', policySet: 'default' });
});

it('explain asks the service, and shows the plan of what it serves', async () => {
  const explained = await ask('explain', ...question);
  expect(explained).toMatchObject({ code: 0, stderr: '' });
  expect(explained.stdout).toContain('user:dana → nurse → clinician (g)');
  const denied = await ask('explain', '--subject', 'imran', '--action', 'sign', '--resource', 'D-0342');
  expect(denied.code).toBe(1);
  expect(denied.stdout).toContain('user:imran had the role chief-physician');
  const planned = await ask('explain', '--plan');
  expect(planned.stdout).toBe((await verdict(['explain', 'policies/default', '--plan'], { cwd })).stdout);
});

it.each([
  ['who-can', '--action', 'read', '--resource', 'L-2231'],
  ['what-can', '--subject', 'dana'],
  ['access-review', '--output', 'csv'],
])('%s looks at what is served', async (...args) => {
  const [ofService, ofFolder] = [await ask(...args), await verdict([...args, 'policies/default'], { cwd })];
  expect(ofService.stdout.split('\n').length).toBeGreaterThan(3);
  expect(ofService).toEqual(ofFolder);
});

it('openapi prints what the service answers, and what a service of this build would', async () => {
  const [running, built] = [await ask('openapi'), await verdict(['openapi'], { cwd })];
  expect(running).toEqual(built);
  expect(JSON.parse(built.stdout)).toEqual(await (await fetch(`${url}/docs-json`)).json());
});

describe('diff against the service', () => {
  const versions: string[] = [];
  const edit = (folder: string, change: (text: string) => string) => {
    const file = join(cwd, folder, 'roles.csv');
    writeFileSync(file, change(readFileSync(file, 'utf8')));
  };
  const withoutTomas = (text: string) => text.replace('g, user:tomas, receptionist\n', '');

  beforeAll(async () => {
    // One version after the other is served: as it was, without Tomas, and as it was again.
    cpSync(join(cwd, 'policies/default'), join(cwd, 'mine'), { recursive: true });
    const before = readFileSync(join(cwd, 'mine/roles.csv'), 'utf8');
    edit('policies/default', withoutTomas);
    await ask('policy', 'reload', 'default');
    edit('policies/default', () => before);
    await ask('policy', 'reload', 'default');
    versions.push(
      ...JSON.parse((await ask('policy', 'versions', 'default', '--output', 'json')).stdout).map(
        ({ version }: { version: string }) => version,
      ),
    );
    expect(versions).toHaveLength(2);
  });

  it('shows that a folder is what is served', async () => {
    expect(await ask('diff', 'policies/default')).toEqual({ code: 0, stdout: 'default: no change\n', stderr: '' });
    expect((await ask('diff', 'mine', '--set', 'default')).stdout).toBe('default: no change\n');
    expect((await ask('diff', 'policies')).stdout).toBe('default: no change\n');
  });

  it('shows what a folder adds and takes away', async () => {
    edit('mine', withoutTomas);
    const ran = await ask('diff', 'mine', '--set', 'default', '--fail-on', 'loss');
    expect(ran).toMatchObject({ code: 1, stderr: '' });
    expect(ran.stdout).toContain('- g, user:tomas, receptionist  (roles.csv:15)');
    expect(ran.stdout).toContain('Permissions lost\n  as receptionist\n    appointment:A-8804: book, cancel, read');
    expect((await ask('diff', 'mine', '--set', 'default', '--fail-on', 'gain')).code).toBe(0);
  });

  it('shows a set that only the folder has as gained, one that only the service has as lost', async () => {
    cpSync(join(root, 'policies/deployments'), join(cwd, 'others/deployments'), { recursive: true });
    const ran = await ask('diff', 'others', '--output', 'json');
    const [lost, gained] = JSON.parse(ran.stdout).sets;
    expect(lost).toMatchObject({ name: 'default', from: versions[1], access: { gained: [] } });
    expect(lost.to).toBeUndefined();
    expect(lost.access.lost.length).toBeGreaterThan(10);
    expect(gained).toMatchObject({ name: 'deployments', access: { lost: [] } });
  });

  const database = () => ['--database', join(cwd, 'data/verdict.sqlite')];

  it('compares versions that served, by their beginnings, also from the database', async () => {
    const [without, as] = versions as [string, string];
    const back = await ask('diff', '--set', 'default', without.slice(0, 15), as.slice(0, 15));
    expect(back.stdout).toContain('+ g, user:tomas, receptionist  (roles.csv:15)');
    expect(back.stdout).toMatch(/4 gained, 0 lost in \d+ questions; complete: yes/);
    // Without a second version it is what is served.
    expect((await ask('diff', '--set', 'default', without)).stdout).toBe(back.stdout);
    const stored = await verdict(['diff', '--set', 'default', without, as, ...database()], { cwd });
    expect(stored).toEqual(back);
    expect((await verdict(['diff', 'policies/default', ...database()], { cwd })).stdout).toBe('default: no change\n');
  });

  it('compares a version with a folder, either way round', async () => {
    const [without] = versions as [string];
    expect((await ask('diff', without, 'policies/default')).stdout).toContain('4 gained, 0 lost');
    expect((await ask('diff', 'policies/default', without)).stdout).toContain('0 gained, 4 lost');
  });

  it.each([
    [['diff', 'sha256:0000', 'sha256:1111'], 'say which policy set the versions are of'],
    [['diff', 'sha256:0000', '--set', 'default'], 'no version of default begins with sha256:0000'],
    [['diff', `sha256:${'0'.repeat(64)}`, '--set', 'default'], '404 The policy set never served that version'],
    [['diff', 'sha256:0000', '--set', 'nothing'], '404 There is no such policy set'],
    [['diff', 'nowhere'], 'there is no nowhere'],
    [['diff', 'mine', '--set', 'defualt'], 'there is no policy set "defualt", neither served nor in mine'],
    [['diff', 'policies', '--set', 'defualt'], 'there is no policy set "defualt", neither served nor in policies'],
    [['who-can', '--action', 'read', '--set', 'nothing'], 'there is no policy set "nothing"'],
    [['who-can', 'policies/default', '--action', 'read'], 'say which one to ask: policies/default, or --url'],
    [['decide', 'policies/default', ...question], 'say which one to ask: policies/default, or --url'],
    [['decide', ...question, '--at-least', '7'], '400 The policy set has no revisions that could be demanded'],
    [['explain', ...question, '--at-least', 'defualt=7'], 'names the policy set "defualt", which there is not'],
    [['decide', ...question, '--at-least', 'seven'], 'the header Verdict-At-Least must be made of revisions'],
    [['decide', ...question, '--max-staleness', '5'], 'the header Verdict-Max-Staleness must be a duration'],
    [['decide', ...question, '--max-staleness', ''], 'It is empty'],
    [['decide', '--request', 'demand.json', '--at-least', '7'], 'demand.json has atLeast already'],
    [['decide', '--request', 'demand.json'], '400 The policy set has no revisions that could be demanded'],
    [['decide', ...question, '--at', '2026-11-18T10:00:00Z'], '400'],
  ])('%j ends with 2', async (args, says) => {
    const ran = await ask(...args);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(says);
  });

  it.each([
    [['diff', 'sha256:0000', 'sha256:1111'], 'where is sha256:0000 from?'],
    [['diff', 'policies', '--database', 'none.sqlite'], 'there is no database none.sqlite'],
    [['diff', 'policies', '--database', 'policies/default/model.conf'], 'cannot be read: SQLITE_NOTADB'],
    [['diff', 'policies', 'policies', '--set', 'default'], '--set goes with --url or --database'],
    [['who-can', 'policies/default', '--action', 'read', '--set', 'default'], '--set goes with --url'],
    [['decide', 'policies/default', ...question, '--at-least', '7'], '--at-least goes with --url'],
    [['explain', 'policies/default', ...question, '--max-staleness', '5s'], '--max-staleness goes with --url'],
    [['decide', 'policies/default', '--request', 'demand.json'], 'atLeast goes with --url'],
  ])('%j without a service ends with 2', async (args, says) => {
    const ran = await verdict(args, { cwd });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(says);
  });
});

it('policy lists, reloads, and rolls back to the beginning of a version', async () => {
  const listed = await ask('policy', 'list');
  expect(listed).toMatchObject({ code: 0, stderr: '' });
  const version = /default +active +(sha256:\w{12})/.exec(listed.stdout)![1]!;
  const rules = join(cwd, 'policies/default/roles.csv');
  writeFileSync(rules, readFileSync(rules, 'utf8').replace('g, user:tomas, receptionist\n', ''));
  expect((await ask('policy', 'reload', 'default')).code).toBe(0);
  const shown = await ask('policy', 'versions', 'default');
  expect(shown.stdout).toMatch(/^version +last served +commit\nsha256:\w{64} +\d{4}-/);
  const back = await ask('policy', 'rollback', 'default', version);
  expect(back.stdout).toMatch(new RegExp(`default +\\w+, pinned +${version}`));
  expect(await ask('policy', 'rollback', 'default', 'sha256:0000')).toMatchObject({ code: 2 });
});

it('policy candidate tries a folder, shows what differs, promotes and drops', async () => {
  const served = await startService({ 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' });
  try {
    await served.app.listen(0, '127.0.0.1');
    const run = async (...args: string[]) =>
      verdict(['policy', 'candidate', ...args, '--url', await served.app.getUrl()], { cwd });
    const folder = join(cwd, 'tried');
    mkdirSync(folder);
    writeFileSync(join(folder, 'model.conf'), idModel);
    writeFileSync(join(folder, 'rules.csv'), 'p, a\n');
    const refused = await run('set', 'default', folder, '--mode', 'shadow');
    expect(refused).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('rules.csv:1:4: error wrong_field_count'),
    });
    writeFileSync(join(folder, 'rules.csv'), 'p, bob, doc, read\n');
    expect(await run('show', 'default')).toMatchObject({ code: 2, stderr: expect.stringContaining('404') });
    expect(await run('set', 'default', '--mode', 'shadow')).toMatchObject({ code: 2 });
    expect(await run('set', 'default', folder, '--mode', 'canary')).toMatchObject({ code: 2 });
    const gates = ['--max-gained', '1', '--max-lost', '0'];
    const set = await run('set', 'default', folder, '--mode', 'shadow', ...gates);
    expect(set).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/is a shadow beside sha256:\w{12}: running\n/),
    });
    for (const subject of ['bob', 'ann']) {
      await served.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
    }
    const held = await vi.waitFor(
      async () => {
        const shown = await run('show', 'default');
        if (!shown.stdout.includes('held')) throw new Error(shown.stdout);
        return shown;
      },
      { timeout: 30_000 },
    );
    expect(held.code).toBe(1);
    expect(held.stdout).toContain('1 of 2 compared decisions were allowed and are denied; a share of 0 is allowed');
    expect(held.stdout).toMatch(/lost +ann +read +doc +allow → deny +no_matching_rule/);
    expect(await run('promote', 'default')).toMatchObject({ code: 2, stderr: expect.stringContaining('409') });
    expect(await run('drop', 'default')).toMatchObject({ code: 0, stdout: 'default has no candidate any more\n' });
    await run('set', 'default', folder, '--mode', 'canary', '--subjects', '1');
    const promoted = await run('promote', 'default');
    expect(promoted.stdout).toMatch(/^default serves sha256:\w{12}, pinned\n$/);
    const { items } = (await served.get('/v1/policy-sets/default/versions')).body;
    const version = items.at(-1).version.slice(0, 20);
    const earlier = await run('set', 'default', '--version', version, '--mode', 'shadow', '--output', 'json');
    expect(JSON.parse(earlier.stdout)).toMatchObject({ mode: 'shadow', version: items.at(-1).version });
  } finally {
    await served.stop();
  }
});

it('what the service refuses ends with 2 and its reason', async () => {
  const refused = await ask('policy', 'versions', 'nothing');
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('404 There is no such policy set');
});

it('policy versions lists all of them, page after page, and the oldest is found by its beginning', async () => {
  const served = await startService({ 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc, read\n' });
  try {
    const archive = served.app.get(PolicyArchive);
    const { version } = (await served.get('/v1/policy-sets/default')).body;
    const file = (path: string, text: string) => ({ path, bytes: Buffer.from(text) });
    for (let number = 0; number < 120; number++) {
      const files = [file('model.conf', idModel), file('rules.csv', `p, user${number}, doc, read\n`)];
      await archive.keep({ name: 'default', files }, Date.now() + number);
    }
    await served.app.listen(0, '127.0.0.1');
    const at = ['--url', await served.app.getUrl()];
    const listed = await verdict(['policy', 'versions', 'default', '--output', 'json', ...at], { cwd });
    const versions: { version: string }[] = JSON.parse(listed.stdout);
    expect(new Set(versions.map((each) => each.version)).size).toBe(121);
    expect(versions.at(-1)!.version).toBe(version);
    const diff = await verdict(['diff', '--set', 'default', versions[0]!.version, version.slice(0, 20), ...at], {
      cwd,
    });
    expect(diff.stdout).toContain('+ p, ann, doc, read  (rules.csv:1)');
    expect(diff.stdout).toContain('- p, user119, doc, read  (rules.csv:1)');
  } finally {
    await served.stop();
  }
});
