/** `verdict policy push` and `checkout`, against the built service with its sets in the database. */
import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePolicies } from '../http/service.js';
import { idModel } from '../models.js';
import { verdict } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const cwd = mkdtempSync(join(tmpdir(), 'verdict-push-'));
let service: Started;
let url = '';

const rules = (subject: string) => `p, ${subject}, data1, read\n`;
const tests =
  'subjects: { ann: { id: ann } }\nresources: { data1: { id: data1 } }\n' +
  'tests: [{ name: ann reads, subject: ann, action: read, resource: data1, expect: allow }]\n';

interface Started {
  readonly url: string;
  end(): Promise<void>;
}

async function started(env: Record<string, string> = {}): Promise<Started> {
  const serving = spawn(process.execPath, [join(root, 'dist/cli.js'), 'serve', '--local'], {
    cwd,
    env: {
      PATH: process.env.PATH,
      VERDICT_PORT: '0',
      VERDICT_LOG_LEVEL: 'error',
      VERDICT_POLICY_SOURCE: 'database',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const end = async () => {
    serving.kill('SIGTERM');
    await once(serving, 'exit');
  };
  for await (const line of createInterface({ input: serving.stdout! })) {
    const listening = /^verdict listening on (http:\S+)$/.exec(line)?.[1];
    if (listening === undefined) continue;
    serving.stdout!.resume();
    return { url: listening, end };
  }
  throw new Error('the service ended before it listened');
}

beforeAll(async () => {
  service = await started();
  url = service.url;
  writePolicies(join(cwd, 'sets'), {
    'acl/model.conf': idModel,
    'acl/rules.csv': rules('ann'),
    'acl/tests/t.yaml': tests,
    'acl/README.md': 'not a part of the set',
    'other/model.conf': idModel,
    'other/rules.csv': rules('bob'),
  });
});

afterAll(async () => {
  await service.end();
  rmSync(cwd, { recursive: true });
});

const policy = (...args: string[]) => verdict(['policy', ...args, '--url', url], { cwd });
const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
    cwd,
    env: { ...process.env, HOME: cwd },
  }).toString();
const pushed = async (...args: string[]) => {
  const { code, stdout } = await policy('push', ...args, '--output', 'json');
  return { code, sets: JSON.parse(stdout) };
};

describe('verdict policy push', () => {
  it('writes every set of a folder, and again only what has changed', async () => {
    const first = await policy('push', 'sets');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/acl +new +1 +sha256:\w{12}\nother +new +1 /);
    writeFileSync(join(cwd, 'sets/other/rules.csv'), rules('carol'));
    expect(await pushed('sets')).toMatchObject({
      code: 0,
      sets: [
        { set: 'acl', result: 'unchanged', revision: 1 },
        { set: 'other', result: 'changed', revision: 2 },
      ],
    });
    const decided = await verdict(
      ['decide', '--url', url, '--set', 'other', '--subject', 'carol', '--action', 'read', '--resource', 'data1'],
      { cwd },
    );
    expect(decided.code).toBe(0);
  });

  it('says of a set what is wrong with it, and writes the others', async () => {
    writeFileSync(join(cwd, 'sets/acl/rules.csv'), rules('ben'));
    writeFileSync(join(cwd, 'sets/other/rules.csv'), rules('dave'));
    const refused = await policy('push', 'sets');
    expect(refused).toMatchObject({ code: 1, stderr: '' });
    expect(refused.stdout).toMatch(/acl +refused/);
    expect(refused.stdout).toMatch(/other +changed +3 /);
    expect(refused.stdout).toContain('acl: tests/t.yaml:3:9: error failing_test: "ann reads"');
    writeFileSync(join(cwd, 'sets/acl/rules.csv'), rules('ann'));
  });

  it('overwrites nothing that is not what was expected', async () => {
    writeFileSync(join(cwd, 'sets/other/rules.csv'), rules('erin'));
    expect(await pushed('sets/other', '--expect', '2')).toMatchObject({
      code: 1,
      sets: [{ set: 'other', result: 'refused', problems: [expect.stringContaining('at revision 3, not 2')] }],
    });
    expect(await pushed('sets/other', '--expect', '0')).toMatchObject({ code: 1, sets: [{ result: 'refused' }] });
    expect(await pushed('sets/other', '--expect', '3')).toMatchObject({ code: 0, sets: [{ revision: 4 }] });
    expect(await policy('push', 'sets', '--expect', '4')).toMatchObject({ code: 2 });
    expect(await policy('push', 'sets/other', '--expect', 'x')).toMatchObject({ code: 2 });
  });

  it('takes a git revision, and the version says its commit', async () => {
    git('init', '-q');
    git('add', 'sets');
    git('commit', '-qm', 'sets');
    const commit = git('rev-parse', 'HEAD').trim();
    writeFileSync(join(cwd, 'sets/acl/rules.csv'), 'p, what is not committed\n');
    writeFileSync(join(cwd, 'sets/other/rules.csv'), rules('frank'));
    git('commit', '-qm', 'other', 'sets/other');
    expect(await pushed('sets/other', '--git', 'HEAD')).toMatchObject({ code: 0, sets: [{ revision: 5 }] });
    const versions = await policy('versions', 'other', '--output', 'json');
    expect(JSON.parse(versions.stdout)[0].gitCommit).toBe(git('rev-parse', 'HEAD').trim());
    expect(await pushed('sets', '--git', commit)).toMatchObject({
      code: 0,
      sets: [
        { set: 'acl', result: 'unchanged' },
        { set: 'other', result: 'changed', revision: 6 },
      ],
    });
    writeFileSync(join(cwd, 'sets/acl/rules.csv'), rules('ann'));
  });

  it('P1: writes no set without a file that is meant to be part of it, from a folder or a git revision', async () => {
    writePolicies(join(cwd, 'slips'), {
      'bound/model.conf': idModel,
      'bound/rules.csv': rules('ann'),
      'bound/policy-set.yml': 'emptyPolicy: allowed\n',
      'fine/model.conf': idModel,
      'fine/rules.csv': rules('ann'),
      'latin/model.conf': idModel,
      'unmodelled/Model.conf': idModel,
      'unmodelled/rules.csv': rules('ann'),
    });
    writeFileSync(join(cwd, 'slips/latin/rules.csv'), Buffer.from(rules('ren\u00e9'), 'latin1'));
    git('add', 'slips');
    git('commit', '-qm', 'slips');
    const refused = (set: string, problem: string) => ({
      set,
      result: 'refused',
      problems: expect.arrayContaining([expect.stringContaining(problem)]),
    });
    for (const from of [[], ['--git', 'HEAD']]) {
      const { code, sets } = await pushed('slips', ...from);
      expect(code).toBe(1);
      expect(sets.sort((a: { set: string }, b: { set: string }) => (a.set < b.set ? -1 : 1))).toEqual([
        refused('bound', 'policy-set.yml:1:1: error misnamed_file'),
        expect.objectContaining({ set: 'fine', result: from.length === 0 ? 'new' : 'unchanged' }),
        refused('latin', 'rules.csv:1:'),
        refused('unmodelled', 'Model.conf:1:1: error misnamed_file'),
      ]);
    }
    expect(await policy('checkout', 'bound', 'out-bound')).toMatchObject({ code: 2 });
    const said = await policy('push', 'slips/bound');
    expect(said.stdout).toContain('bound: policy-set.yml:1:1: error misnamed_file');
    expect(said.stdout).toContain('(rename it to policy-set.yaml)');
  });

  it('writes a bundle that was built, under a revision of the database', async () => {
    writePolicies(join(cwd, 'bundled'), { 'packed/model.conf': idModel, 'packed/rules.csv': rules('ann') });
    const build = (revision: string) =>
      verdict(['bundle', 'build', 'bundled/packed', '--revision', revision, '--out', 'dist'], { cwd });
    expect(await build('7')).toMatchObject({ code: 0 });
    expect(await pushed('--bundle', 'dist/packed-7.tar')).toMatchObject({
      code: 0,
      sets: [{ set: 'packed', result: 'new', revision: 1 }],
    });
    writeFileSync(join(cwd, 'bundled/packed/rules.csv'), rules('ben'));
    expect(await build('8')).toMatchObject({ code: 0 });
    expect((await pushed('--bundle', 'dist/packed-7.tar')).sets).toMatchObject([{ result: 'unchanged' }]);
    expect((await pushed('--bundle', 'dist/packed-8.tar')).sets).toMatchObject([{ result: 'changed', revision: 2 }]);
    expect(await pushed('--bundle', 'dist/packed-7.tar', '--expect', '1')).toMatchObject({ code: 1 });
    writeFileSync(join(cwd, 'dist/bad.tar'), 'no archive');
    const bad = await policy('push', '--bundle', 'dist/bad.tar');
    expect(bad).toMatchObject({ code: 2, stderr: expect.stringContaining('bundle_archive_invalid') });
    expect(await policy('push', 'sets', '--bundle', 'dist/packed-7.tar')).toMatchObject({ code: 2 });
    expect(await policy('push', '--bundle', 'dist/none.tar')).toMatchObject({ code: 2 });
  });

  it('sends the signature beside a bundle, and prints why one is refused', async () => {
    const pair = generateKeyPairSync('ed25519');
    writeFileSync(join(cwd, 'key.pem'), pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(join(cwd, 'keys.pem'), pair.publicKey.export({ type: 'spki', format: 'pem' }));
    writePolicies(join(cwd, 'bundled'), { 'signed/model.conf': idModel, 'signed/rules.csv': rules('ann') });
    await verdict(['bundle', 'build', 'bundled/signed', '--revision', '1', '--out', 'dist'], { cwd });
    const strict = await started({
      VERDICT_BUNDLE_KEYS: join(cwd, 'keys.pem'),
      VERDICT_DATABASE_URL: 'sqlite:./strict.db',
    });
    const push = () => verdict(['policy', 'push', '--bundle', 'dist/signed-1.tar', '--url', strict.url], { cwd });
    try {
      const refused = await push();
      expect(refused).toMatchObject({ code: 1 });
      expect(refused.stdout).toContain('signed: bundle_unsigned: the bundle of signed came without a signature');
      await verdict(['bundle', 'sign', 'dist/signed-1.tar', '--key', 'key.pem'], { cwd });
      expect(await push()).toMatchObject({ code: 0, stdout: expect.stringMatching(/signed +new +1 /) });
    } finally {
      await strict.end();
    }
  });

  it('says what is wrong with its arguments', async () => {
    expect(await policy('push', 'nowhere')).toMatchObject({ code: 2, stderr: expect.stringContaining('nowhere') });
    expect(await policy('push', 'sets', '--git', 'no-such-revision')).toMatchObject({ code: 2 });
    const without = await verdict(['policy', 'push', 'sets'], { cwd });
    expect(without).toMatchObject({ code: 2, stderr: expect.stringContaining('--url') });
  });
});

describe('verdict policy checkout', () => {
  it('writes a set into a new folder, tests included, which pushes as unchanged', async () => {
    const done = await policy('checkout', 'acl', 'out/acl');
    expect(done).toMatchObject({ code: 0, stderr: '', stdout: 'acl at revision 1: 3 files in out/acl\n' });
    expect(readdirSync(join(cwd, 'out/acl')).sort()).toEqual(['model.conf', 'rules.csv', 'tests']);
    expect(readFileSync(join(cwd, 'out/acl/tests/t.yaml'), 'utf8')).toBe(tests);
    expect(await pushed('out/acl')).toMatchObject({ code: 0, sets: [{ result: 'unchanged', revision: 1 }] });
  });

  it('overwrites nothing, and knows no set that is not there', async () => {
    expect(await policy('checkout', 'acl', 'sets')).toMatchObject({ code: 2 });
    expect(await policy('checkout', 'none', 'out/none')).toMatchObject({ code: 2 });
    expect(readdirSync(join(cwd, 'out'))).toEqual(['acl']);
  });
});
