import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, realpath, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { identityOf, isWithin, readUnchanged } from '../../../src/policy-store/directory/contained-files.js';
import { type FolderScan, PolicyDirectory } from '../../../src/policy-store/directory/policy-directory.js';
import { fileRole, versionOf } from '../../../src/policy-store/policy-set-files.js';
import { idModel } from '../../models.js';
import { temporaryDirectory, withoutPrivileges, writeTree } from '../folders.js';

async function source(files: Record<string, string | Uint8Array>, limits?: { maxBytes: number; maxFiles: number }) {
  const root = temporaryDirectory();
  await writeTree(root, files);
  return { root, source: new PolicyDirectory(root, limits) };
}

async function folders(from: PolicyDirectory): Promise<ReadonlyMap<string, FolderScan>> {
  const scan = await from.scan();
  if (!scan.readable) throw new Error(scan.problem.code);
  return scan.folders;
}

async function read(from: PolicyDirectory, name: string) {
  const scan = (await folders(from)).get(name);
  if (scan === undefined) throw new Error(`no folder ${name}`);
  const content = await from.read(scan);
  if (content === 'changed') throw new Error('changed');
  return { ...content, codes: content.problems.map(({ file, code }) => `${file} ${code}`) };
}

const acl = { 'acl/model.conf': idModel, 'acl/rules.csv': 'p, alice, data1, read\n' };

describe('a directory of policy sets', () => {
  it('holds a set for each folder, and sees which folders have a model', async () => {
    const { source: from } = await source({ ...acl, 'notes/README.md': 'x', 'README.md': 'x' });
    expect([...(await folders(from)).values()].map(({ name, hasModel }) => [name, hasModel])).toEqual([
      ['acl', true],
      ['notes', false],
    ]);
  });

  it('is itself the set "default" when a model lies in it', async () => {
    const { source: from } = await source({
      'model.conf': idModel,
      'b.csv': '',
      'a.csv': '',
      'tests/roles.yaml': '[]',
      ...acl,
    });
    expect([...(await folders(from)).keys()].sort()).toEqual(['acl', 'default']);
    const { set, problems } = await read(from, 'default');
    expect(problems).toEqual([]);
    expect(set.files.map(({ path }) => path)).toEqual(['a.csv', 'b.csv', 'model.conf', 'tests/roles.yaml']);
  });

  it('refuses a folder "default" beside a model in the root: which one is meant cannot be told', async () => {
    const { source: from } = await source({ 'model.conf': idModel, 'default/model.conf': idModel });
    expect((await read(from, 'default')).codes).toContain('. conflicting_sets');
  });

  it('passes over hidden folders and files, and the links of a Kubernetes mount', async () => {
    const { root, source: from } = await source({ ...acl, '.git/model.conf': idModel });
    await writeTree(root, {
      '..2026_01/acl2/model.conf': idModel,
      'acl/.#rules.csv': 'x',
      'lost+found/model.conf': '',
    });
    await symlink('..2026_01', join(root, '..data'));
    await symlink('..data/acl2', join(root, 'acl2'));
    expect([...(await folders(from)).keys()].sort()).toEqual(['acl', 'acl2']);
    const { set } = await read(from, 'acl');
    expect(set.files.map(({ path }) => path)).toEqual(['model.conf', 'rules.csv']);
  });

  it('is not readable when it is missing, is a file or may not be read', async () => {
    const root = temporaryDirectory();
    await writeFile(join(root, 'file'), '');
    await mkdir(join(root, 'closed'), { mode: 0o000 });
    const code = async (path: string) => {
      const scan = await withoutPrivileges(() => new PolicyDirectory(path).scan());
      return scan.readable ? 'readable' : scan.problem.code;
    };
    await chmod(root, 0o755);
    expect(await code(join(root, 'missing'))).toBe('policy_dir_missing');
    expect(await code(join(root, 'file'))).toBe('policy_dir_unreadable');
    expect(await code(join(root, 'closed'))).toBe('policy_dir_unreadable');
  });

  it('refuses names that could not stand in an address or a log line', async () => {
    const { source: from } = await source({ 'a b/model.conf': idModel, '-x/model.conf': idModel });
    expect((await read(from, 'a b')).codes).toEqual(['. bad_set_name']);
    expect((await read(from, '-x')).codes).toEqual(['. bad_set_name']);
  });
});

describe('the files of a set', () => {
  it('are told by their names', () => {
    expect(
      ['model.conf', 'rules.csv', 'policy-set.yaml', 'entities.json', 'schema.yaml', 'tests/a.yaml'].map(fileRole),
    ).toEqual(['model', 'rules', 'manifest', 'entities', 'schema', 'test']);
    expect(['README.md', 'rules.csv~', 'sub/rules.csv', 'tests/a.csv', '.rules.csv'].map(fileRole)).toEqual(
      Array(5).fill(undefined),
    );
  });

  it('are not passed over in silence for a slip in their name', async () => {
    const { source: from } = await source({
      ...acl,
      'acl/policy-set.yml': '',
      'acl/More.CSV': '',
      'acl/schema.json': '',
      'acl/tests/a.yml': '',
      'acl/README.md': '',
    });
    const { problems } = await read(from, 'acl');
    expect(problems.map(({ code, file, hint }) => [code, file, hint])).toEqual([
      ['misnamed_file', 'More.CSV', 'rename it to More.csv'],
      ['misnamed_file', 'policy-set.yml', 'rename it to policy-set.yaml'],
      ['misnamed_file', 'schema.json', 'rename it to schema.yaml'],
      ['misnamed_file', 'tests/a.yml', 'rename it to tests/a.yaml'],
    ]);
  });

  it('make the version, except for tests', async () => {
    const { root, source: from } = await source(acl);
    const before = versionOf((await read(from, 'acl')).set.files);
    await writeTree(root, { 'acl/tests/a.yaml': '[]', 'acl/README.md': 'x' });
    expect(versionOf((await read(from, 'acl')).set.files)).toBe(before);
    await writeTree(root, { 'acl/schema.yaml': '{}' });
    expect(versionOf((await read(from, 'acl')).set.files)).not.toBe(before);
  });

  it('are UTF-8 text, and the place where they are not is named', async () => {
    const { source: from } = await source({
      ...acl,
      'acl/a.csv': Buffer.from('p, böb, x, y\np, b\xf6b, x, y\n', 'latin1'),
      'acl/b.csv': Buffer.from('\ufeffp, bob', 'utf16le'),
      'acl/c.csv': Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0x00, 0x01]),
      'acl/d.csv': Buffer.concat([Buffer.from('# fine é\nok €'), Buffer.from([0xe2, 0x82])]),
      'acl/e.csv': 'p, bøb 🦊, data1, read\n',
    });
    const { problems } = await read(from, 'acl');
    expect(problems.map(({ code, file, line, column }) => [code, file, line, column])).toEqual([
      ['not_utf8', 'a.csv', 1, 5],
      ['utf16_text', 'b.csv', 1, 1],
      ['binary_file', 'c.csv', 1, 5],
      ['not_utf8', 'd.csv', 2, 5],
    ]);
  });

  it('are a problem when they are folders, pipes, dangling or circular links', async () => {
    const { root, source: from } = await source(acl);
    await mkdir(join(root, 'acl/a.csv'));
    await symlink('nowhere.csv', join(root, 'acl/b.csv'));
    await symlink('c.csv', join(root, 'acl/c.csv'));
    execFileSync('mkfifo', [join(root, 'acl/d.csv')]);
    expect((await read(from, 'acl')).codes).toEqual([
      'a.csv not_a_file',
      'b.csv unreadable_file',
      'c.csv unreadable_file',
      'd.csv not_a_file',
    ]);
  });

  it('are a problem when they, or their folder, may not be read', async () => {
    const { root, source: from } = await source({ ...acl, 'closed/model.conf': idModel });
    await chmod(root, 0o755);
    await chmod(join(root, 'acl/rules.csv'), 0o000);
    await chmod(join(root, 'closed'), 0o000);
    await withoutPrivileges(async () => {
      const { problems } = await read(from, 'acl');
      expect(problems.map(({ code, message }) => [code, message])).toEqual([
        ['unreadable_file', 'this file cannot be read: permission is denied'],
      ]);
      expect((await folders(from)).get('closed')?.hasModel).toBe('unknown');
      expect((await read(from, 'closed')).codes).toEqual(['. unreadable_folder']);
    });
  });

  it('may have so many bytes together, and not one more; a file of 200 MB is not even read', async () => {
    const { root, source: from } = await source(
      { 'acl/model.conf': idModel, 'acl/rules.csv': '#'.repeat(1000) },
      {
        maxBytes: idModel.length + 1000,
        maxFiles: 2,
      },
    );
    expect((await read(from, 'acl')).codes).toEqual([]);
    await writeFile(join(root, 'acl/rules.csv'), '#'.repeat(1001));
    expect((await read(from, 'acl')).codes).toEqual(['rules.csv policy_set_too_large']);
    await truncate(join(root, 'acl/rules.csv'), 200 * 1024 * 1024);
    const { set, codes } = await read(new PolicyDirectory(root), 'acl');
    expect(codes).toEqual(['rules.csv policy_set_too_large']);
    expect(set.files).toEqual([]);
  });

  it('may be so many, and not one more', async () => {
    const limits = { maxBytes: 10_000, maxFiles: 2 };
    const { root, source: from } = await source(acl, limits);
    expect((await read(from, 'acl')).codes).toEqual([]);
    await writeTree(root, { 'acl/more.csv': '' });
    expect((await read(from, 'acl')).codes).toEqual(['. too_many_files']);
  });
});

describe('a change', () => {
  it('shows in the fingerprint, whatever kind of change it is', async () => {
    const { root, source: from } = await source({ ...acl, 'other/rules.csv': 'p, alice, data1, read\n' });
    const seen = [await fingerprint()];
    const step = async (change: () => Promise<void>) => {
      await change();
      seen.push(await fingerprint());
    };
    await step(() => writeFile(join(root, 'acl/rules.csv'), 'p, alice, data1, write\n'));
    await step(() => rename(join(root, 'other/rules.csv'), join(root, 'acl/rules.csv')));
    await step(() => writeFile(join(root, 'acl/tests'), ''));
    await rm(join(root, 'acl/tests'));
    await step(() => mkdir(join(root, 'acl/tests')));
    await step(() => writeFile(join(root, 'acl/tests/a.yaml'), '[]'));
    await step(() => writeFile(join(root, 'acl/policy-set.yml'), ''));
    await step(() => symlink('nowhere', join(root, 'acl/b.csv')));
    await step(() => rm(join(root, 'acl/model.conf')));
    // An empty folder of tests, and a file in its place, are no change.
    expect(new Set(seen).size).toBe(seen.length - 2);

    async function fingerprint() {
      return (await folders(from)).get('acl')?.fingerprint;
    }
  });

  it('between looking and reading makes what was read worthless', async () => {
    const { root, source: from } = await source(acl);
    const scan = (await folders(from)).get('acl')!;
    await writeFile(join(root, 'acl/rules.csv'), 'p, alice, data1, writ\n');
    expect(await from.read(scan)).toBe('changed');
    const again = (await folders(from)).get('acl')!;
    await rm(join(root, 'acl'), { recursive: true });
    expect(await from.read(again)).toBe('changed');
  });

  it('by swapping a link to the whole folder makes what was read worthless', async () => {
    const root = temporaryDirectory();
    await writeTree(root, { '..one/model.conf': idModel, '..two/model.conf': idModel });
    await symlink('..one', join(root, 'acl'));
    const from = new PolicyDirectory(root);
    const scan = (await folders(from)).get('acl')!;
    await symlink('..two', join(root, '..new'));
    await rename(join(root, '..new'), join(root, 'acl'));
    expect(await from.read(scan)).toBe('changed');
  });
});

describe('links', () => {
  const secret = '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n';

  async function withSecret(files: Record<string, string> = acl) {
    const outside = temporaryDirectory();
    await writeTree(outside, { 'key.pem': secret, 'set/model.conf': idModel, 'set/rules.csv': secret, 'plain/a': '' });
    return { outside, ...(await source(files)) };
  }

  const leadsOut = { severity: 'error', code: 'link_leads_out', line: 1, column: 1 };

  it.each(['a.csv', 'schema.yaml', 'entities.yaml', 'policy-set.yaml', 'tests/a.yaml'])(
    'that lead out are a problem, and %s is not read',
    async (file) => {
      const { root, outside, source: from } = await withSecret();
      await mkdir(join(root, 'acl/tests'));
      await symlink(join(outside, 'key.pem'), join(root, 'acl', file));
      const { set, problems } = await read(from, 'acl');
      expect(problems).toEqual([expect.objectContaining({ ...leadsOut, file })]);
      expect(set.files.map(({ path }) => path)).toEqual(['model.conf', 'rules.csv']);
      expect(JSON.stringify(problems)).not.toContain(outside);
    },
  );

  it('that lead out by a relative path, over another link, or over a folder, are the same', async () => {
    const { root, outside, source: from } = await withSecret();
    await symlink(join('../..', basename(outside), 'key.pem'), join(root, 'acl/a.csv'));
    await symlink(outside, join(root, 'acl/..data'));
    await symlink('..data/key.pem', join(root, 'acl/b.csv'));
    await symlink('..data', join(root, 'acl/tests'));
    expect((await read(from, 'acl')).codes).toEqual([
      'tests link_leads_out',
      'a.csv link_leads_out',
      'b.csv link_leads_out',
    ]);
  });

  it('that lead to what is not there, outside, say nothing of it', async () => {
    const { root, source: from } = await withSecret();
    await symlink('/nowhere/at/all.csv', join(root, 'acl/a.csv'));
    expect((await read(from, 'acl')).codes).toEqual(['a.csv link_leads_out']);
  });

  it('to a policy set outside are a set with a problem; to another folder outside, and to a file, no set', async () => {
    const { root, outside, source: from } = await withSecret();
    for (const name of ['set', 'plain', 'key.pem']) await symlink(join(outside, name), join(root, name));
    const found = await folders(from);
    expect([...found].map(([name, { hasModel }]) => [name, hasModel])).toEqual([
      ['acl', true],
      ['plain', false],
      ['set', true],
    ]);
    const { set, codes } = await read(from, 'set');
    expect([set.files, codes]).toEqual([[], ['. link_leads_out']]);
  });

  it('that lead out of the set and stay in the directory are read', async () => {
    const { root, source: from } = await withSecret({ ...acl, '..shared/a.csv': 'p, bob, data1, read\n' });
    await symlink('../..shared/a.csv', join(root, 'acl/a.csv'));
    await symlink(join(root, '..shared'), join(root, 'acl/..data'));
    await symlink('..data/a.csv', join(root, 'acl/b.csv'));
    const { set, problems } = await read(from, 'acl');
    expect(problems).toEqual([]);
    expect(set.files.map(({ path }) => path)).toEqual(['a.csv', 'b.csv', 'model.conf', 'rules.csv']);
  });

  it('may be the directory itself, and are followed again with each look', async () => {
    const { root } = await withSecret();
    const parent = temporaryDirectory();
    await symlink(root, join(parent, 'current'));
    const from = new PolicyDirectory(join(parent, 'current'));
    expect((await read(from, 'acl')).problems).toEqual([]);
    const scan = (await folders(from)).get('acl')!;
    const { root: next } = await withSecret({ 'acl/model.conf': idModel, 'acl/rules.csv': 'p, bob, data1, read\n' });
    await symlink(next, join(parent, 'next'));
    await rename(join(parent, 'next'), join(parent, 'current'));
    // What the first look saw is still read from where it looked, whole.
    expect(await from.read(scan)).not.toBe('changed');
    expect((await folders(from)).get('acl')!.fingerprint).not.toBe(scan.fingerprint);
  });

  it.each([
    ['a file', 'acl/rules.csv', 'set/rules.csv'],
    ['its folder', 'acl', 'set'],
  ])('swapped in for %s between look and reading lead to nothing that is read', async (_what, inside, target) => {
    const { root, outside, source: from } = await withSecret({ 'acl/model.conf': idModel, 'acl/rules.csv': secret });
    const scan = (await folders(from)).get('acl')!;
    await rename(join(root, inside), join(root, '..aside'));
    await symlink(join(outside, target), join(root, inside));
    expect(await from.read(scan)).toBe('changed');
  });

  it('swapped in at the last moment: what was opened is outside, and not read', async () => {
    const { root, outside } = await withSecret();
    const path = join(root, 'acl/rules.csv');
    await rm(path);
    await symlink(join(outside, 'key.pem'), path);
    const stats = await stat(path, { bigint: true });
    const seen = { size: Number(stats.size), identity: identityOf(stats) };
    expect(await readUnchanged(await realpath(root), path, seen)).toBeUndefined();
    expect(await readUnchanged(await realpath(outside), path, seen)).toEqual(new Uint8Array(Buffer.from(secret)));
  });

  it('are not taken for inside by a name that begins alike', () => {
    expect(isWithin('/policies', '/policies')).toBe(true);
    expect(isWithin('/policies', '/policies/a')).toBe(true);
    expect(isWithin('/policies', '/policies-of-others/a')).toBe(false);
    expect(isWithin('/', '/anything')).toBe(true);
  });
});

describe('what is no plain file', () => {
  it('is a problem, and nothing waits for it', async () => {
    const { root, source: from } = await source(acl);
    await mkdir(join(root, 'acl/a.csv'));
    execFileSync('mkfifo', [join(root, 'acl/b.csv')]);
    const server = createServer().listen(join(root, 'acl/c.csv'));
    await once(server, 'listening');
    await symlink('/dev/zero', join(root, 'acl/d.csv'));
    const { codes } = await read(from, 'acl');
    server.close();
    expect(codes).toEqual(['a.csv not_a_file', 'b.csv not_a_file', 'c.csv not_a_file', 'd.csv link_leads_out']);
  });

  it('a file of a terabyte of holes is refused by its size', async () => {
    const { root, source: from } = await source(acl);
    await truncate(join(root, 'acl/rules.csv'), 2 ** 40);
    expect((await read(from, 'acl')).codes).toEqual(['rules.csv policy_set_too_large']);
  });

  it('a file that grows while it is read is another file', async () => {
    const { root, source: from } = await source(acl);
    const scan = (await folders(from)).get('acl')!;
    await appendFile(join(root, 'acl/rules.csv'), 'p, mallory, data1, read\n');
    expect(await from.read(scan)).toBe('changed');
  });
});
