import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { setOf } from '../policy-store/bundle/published.js';
import { newKey } from '../policy-store/bundle/signing-keys.js';
import { type RunOptions, verdict, workFolder } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What is another one in each run: the number of an index and its end. */
const masked = (text: string) => text.replace(/index \d+ of/g, 'index N of').replace(/until \S+Z/g, 'until END');

it('docs/bundles.md prints what it shows', async () => {
  const page = readFileSync(join(root, 'docs/bundles.md'), 'utf8');
  const cwd = workFolder();
  const bin = workFolder({ policies: false });
  writeFileSync(join(bin, 'verdict'), `#!/bin/sh\nexec '${process.execPath}' '${root}dist/cli.js' "$@"\n`);
  chmodSync(join(bin, 'verdict'), 0o755);
  const blocks = [...page.matchAll(/```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?/gs)];
  expect(blocks.length).toBeGreaterThan(5);
  for (const [, commands = '', shown = ''] of blocks) {
    // The digest that the page does not show.
    const script = commands.replace(/^sha256sum .*\n/m, '');
    const env = { PATH: `${bin}:${process.env.PATH}`, HOME: cwd };
    const ran = spawnSync('bash', ['-ec', script], { cwd, env, encoding: 'utf8' });
    expect(ran.stderr).toBe('');
    expect(masked(ran.stdout)).toBe(masked(shown));
  }
});

const failingTest = `tests:
  - name: nobody may do nothing
    subject: { type: user, id: nurse }
    action: record
    resource: { type: vitals, id: V-1 }
    expect: allow
`;

describe('verdict bundle', () => {
  async function prepared() {
    const cwd = workFolder();
    const key = await newKey();
    writeFileSync(join(cwd, 'key.pem'), key.privatePem);
    writeFileSync(join(cwd, 'keys.pem'), key.publicPem);
    const run = (command: string, options: Partial<RunOptions> = {}) =>
      verdict(['bundle', ...command.split(' ')], { cwd, ...options });
    return { cwd, key, run };
  }

  const git = (cwd: string, ...args: string[]) => {
    const author = ['-c', 'user.name=a', '-c', 'user.email=a@example.org'];
    const env = { ...process.env, GIT_COMMITTER_DATE: '2026-03-03T10:00:00Z', GIT_AUTHOR_DATE: '2026-03-03T10:00:00Z' };
    const ran = spawnSync('git', [...author, ...args], { cwd, env, encoding: 'utf8' });
    expect(ran.status, ran.stderr).toBe(0);
    return ran.stdout.trim();
  };

  it('publishes nothing when a set does not load, and says where', async () => {
    const { cwd, run } = await prepared();
    writeFileSync(join(cwd, 'policies/invoices/rules.csv'), 'p, one\n');
    const ran = await run('push policies --to out --key key.pem');
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/invoices\/rules\.csv:1:4: error wrong_field_count/);
    expect(existsSync(join(cwd, 'out'))).toBe(false);
    expect((await run('build policies --revision 1 --out out')).code).toBe(1);
    expect(existsSync(join(cwd, 'out'))).toBe(false);
  });

  it('publishes nothing when a policy test fails', async () => {
    const { cwd, run } = await prepared();
    writeFileSync(join(cwd, 'policies/default/tests/more.yaml'), failingTest);
    const ran = await run('push policies/default --to out --key key.pem');
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/failing_test/);
    expect(existsSync(join(cwd, 'out'))).toBe(false);
  });

  it('names the commit and its time where the files are those of the commit, and only there', async () => {
    const { cwd, run } = await prepared();
    git(cwd, 'init', '-q');
    git(cwd, 'add', 'policies');
    git(cwd, 'commit', '-qm', 'one');
    const commit = git(cwd, 'rev-parse', 'HEAD');
    writeFileSync(join(cwd, 'policies/invoices/NOTES.txt'), 'not a file of the set');
    const built = async (options?: Partial<RunOptions>) => {
      const { stderr } = await run('build policies/invoices --revision 7 --out dist', options);
      const { stdout } = await run('verify dist/invoices-7.tar --unsigned --output json');
      const { created, gitCommit } = JSON.parse(stdout).sets[0];
      return { created, gitCommit, stderr };
    };
    expect(await built()).toEqual({ created: '2026-03-03T10:00:00.000Z', gitCommit: commit, stderr: '' });
    expect((await built({ env: { SOURCE_DATE_EPOCH: '1' } })).created).toBe('1970-01-01T00:00:01.000Z');
    writeFileSync(join(cwd, 'policies/invoices/more.csv'), '\n');
    const dirty = await built();
    expect(dirty).toMatchObject({ created: undefined, gitCommit: undefined });
    expect(dirty.stderr).toMatch(/invoices: its files are not those of the commit/);
    rmSync(join(cwd, 'policies/invoices/more.csv'));
    // A set elsewhere in the work tree does not count.
    writeFileSync(join(cwd, 'policies/default/more.csv'), '\n');
    expect((await built()).gitCommit).toBe(commit);
  });

  it('builds the same bytes from a checkout elsewhere', async () => {
    const { cwd, run } = await prepared();
    git(cwd, 'init', '-q');
    git(cwd, 'add', 'policies');
    git(cwd, 'commit', '-qm', 'one');
    const other = workFolder({ policies: false });
    git(other, 'clone', '-q', cwd, 'clone');
    await run('build policies/invoices --revision 7 --out dist');
    await verdict('bundle build clone/policies/invoices --revision 7 --out dist'.split(' '), { cwd: other });
    const [here, there] = [cwd, other].map((folder) => readFileSync(join(folder, 'dist/invoices-7.tar')));
    expect(here!.equals(there!)).toBe(true);
  });

  it('takes the key from the environment, and says when there is none', async () => {
    const { cwd, key, run } = await prepared();
    const env = { VERDICT_BUNDLE_SIGNING_KEY: key.privatePem };
    expect((await run('push policies --to out', { env })).code).toBe(0);
    expect((await run('verify out --keys keys.pem')).code).toBe(0);
    const without = await run('push policies --to out');
    expect(without).toMatchObject({ code: 2, stderr: expect.stringMatching(/--key <file>/) });
    writeFileSync(join(cwd, 'bad.pem'), 'hunter2');
    const bad = await run('push policies --to out --key bad.pem');
    expect(bad.code).toBe(2);
    expect(bad.stderr).toMatch(/^verdict: bundle_keys_invalid: bad\.pem cannot be used: (?!.*hunter2)/);
  });

  it('names by code what a service would refuse', async () => {
    const { cwd, run } = await prepared();
    await run('push policies/invoices policies/default --to out --key key.pem');
    writeFileSync(join(cwd, 'foreign.pem'), (await newKey()).publicPem);
    expect(await run('verify out --keys foreign.pem')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^bundle_key_unknown: the signature of the index names the key/),
    });
    const [entry] = JSON.parse((await run('verify out --keys keys.pem --output json')).stdout).sets;
    expect(entry).toMatchObject({ set: 'default', revision: 1 });
    rmSync(join(cwd, 'out/default'), { recursive: true });
    const { code, stdout } = await run('verify out --keys keys.pem');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^default .*bundle_unsigned$/m);
    expect(stdout).toMatch(/^invoices .*good$/m);
    const ran = await run('verify policies/default/model.conf --unsigned');
    expect(ran).toMatchObject({ code: 1, stdout: expect.stringMatching(/^bundle_archive_invalid/) });
  });

  it('says that an index has expired', async () => {
    const { cwd, run } = await prepared();
    await run('push policies/default --to out --unsigned --lifetime 1m');
    const path = join(cwd, 'out/index.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"expires": "2/, '"expires": "1'));
    expect(await run('verify out --unsigned')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/bundle_index_expired: the index expired at 1/),
    });
  });

  it.each([
    ['push policies --to ftp://x/ --unsigned', /must be an https:\/\/, s3:\/\/ or file:\/\//],
    ['push policies --to http://u:s3cret@bundles.example/ --unsigned', /^(?!.*s3cret)/],
    ['push policies --to s3://bundles --unsigned', /AWS_ACCESS_KEY_ID/],
    ['push policies --to out --unsigned --key key.pem', /leave --key/],
    ['push policies --to out --unsigned --lifetime 59s', /59s is not a time from 1m to 366d/],
    ['push policies --to out --unsigned --lifetime 367d', /367d/],
    ['push policies', /--to/],
    ['refresh --to out --unsigned', /bundle_missing/],
    ['verify out', /--keys <file>/],
    ['verify out --keys http://keys.example/', /neither a file nor an https URL/],
    ['verify out --keys nothing.pem', /bundle_keys_invalid: nothing\.pem cannot be read: ENOENT/],
    ['build policies --revision 0 --out out', /whole number from 1/],
    ['build policies --revision 1 --out out --commit main', /full id/],
    ['build policies --revision 1 --out out --created monday', /--created is not a time/],
    ['sign nothing.tar --key key.pem', /nothing\.tar cannot be read: ENOENT/],
    ['sign policies/default/model.conf --key key.pem', /bundle_archive_invalid/],
  ])('ends with 2 at `%s`', async (command, message) => {
    const { run } = await prepared();
    const ran = await run(command);
    expect(ran.code, ran.stdout).toBe(2);
    expect(ran.stderr).toMatch(message);
  });

  it('takes the folder from the environment, where a password is not seen', async () => {
    const { run } = await prepared();
    const env = { VERDICT_BUNDLE_URL: 'out' };
    expect((await run('push policies/default --unsigned', { env })).code).toBe(0);
    expect((await run('verify out --unsigned')).code).toBe(0);
  });

  it('takes the bounds of a lifetime', async () => {
    const { run } = await prepared();
    for (const lifetime of ['1m', '366d']) {
      expect((await run(`push policies/default --to out --unsigned --lifetime ${lifetime}`)).code).toBe(0);
    }
  });

  it('refuses a SOURCE_DATE_EPOCH that is none, and a set with a name that a service refuses', async () => {
    const { cwd, run } = await prepared();
    const ran = await run('build policies/default --revision 1 --out out', { env: { SOURCE_DATE_EPOCH: 'now' } });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringMatching(/SOURCE_DATE_EPOCH is not a time/) });
    mkdirSync(join(cwd, 'bad name'));
    for (const { path, bytes } of setOf('ana').files) writeFileSync(join(cwd, 'bad name', path), bytes);
    const named = await verdict(['bundle', 'push', 'bad name', '--to', 'out', '--unsigned'], { cwd });
    expect(named).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/bundle_manifest_invalid.*name of a policy/),
    });
  });
});
