import { execFileSync } from 'node:child_process';
import { rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { currentSemantics } from '../../src/core/semantics.js';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import { gitCommitOf } from '../../src/policy-store/git-commit.js';
import type { PolicyArchive } from '../../src/policy-store/policy-archive.js';
import { type PolicySetFiles, versionOf } from '../../src/policy-store/policy-set-files.js';
import { PolicyArchive1763700000010 } from '../../src/policy-store/sqlite/migrations/1763700000010-policy-archive.js';
import { SqlitePolicyArchive } from '../../src/policy-store/sqlite/sqlite-policy-archive.js';
import { aclModel, temporaryDirectory, writeTree } from './folders.js';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((archive) => archive.close()));
});

async function archiveAt(path: string): Promise<PolicyArchive> {
  const archive = await SqlitePolicyArchive.open(path);
  open.push(archive);
  return archive;
}

const newFile = () => join(temporaryDirectory(), 'verdict.sqlite');

function set(rules: string, name = 'acl'): PolicySetFiles {
  const file = (path: string, text: string) => ({ path, bytes: Buffer.from(text) });
  return { name, files: [file('model.conf', aclModel), file('rules.csv', rules), file('tests/a.yaml', '[]')] };
}

describe('the archive of policy versions', () => {
  it('gives back the files of a version, byte by byte, without its tests', async () => {
    const path = newFile();
    const kept = set('p, älice, data1, read\r\n');
    const version = versionOf(kept.files);
    const first = await archiveAt(path);
    await first.keep(kept, 1_000, 'c0ffee');
    const again = await archiveAt(path);
    const files = await again.files('acl', version);
    expect(files?.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])).toEqual([
      ['model.conf', aclModel],
      ['rules.csv', 'p, älice, data1, read\r\n'],
    ]);
    expect(await again.version('acl', version)).toMatchObject({
      version,
      gitCommit: 'c0ffee',
      firstServed: '1970-01-01T00:00:01.000Z',
      files: [
        { path: 'model.conf', size: aclModel.length },
        { path: 'rules.csv', size: 24 },
      ],
    });
    expect(await again.files('acl', 'sha256:00')).toBeUndefined();
    expect(await again.files('other', version)).toBeUndefined();
  });

  it('keeps with a version the number of the defaults that it served under last', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    const kept = set('p, alice, data1, read');
    await archive.keep(kept, 1_000);
    const version = versionOf(kept.files);
    const number = async () => (await archive.version('acl', version))?.semantics;
    expect(await number()).toBe(currentSemantics);
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(connection);
    await connection.query('UPDATE policy_version SET semantics = NULL');
    expect(await number()).toBe(1);
    await archive.keep(kept, 2_000);
    expect(await number()).toBe(currentSemantics);
  });

  it('takes the versions of a database without the number for those of 0.1, also where it only reads', async () => {
    const path = newFile();
    const old = await SqliteConnection.open({
      path,
      migrations: [PolicyArchive1763700000010],
      busyTimeoutMs: 1_000,
    });
    const kept = set('p, alice, data1, read');
    const version = versionOf(kept.files);
    await old.query(
      'INSERT INTO policy_version (policy_set, version, files, first_served, last_served) VALUES (?, ?, ?, ?, ?)',
      ['acl', version, '[]', 1, 1],
    );
    await old.close();
    const reader = await SqlitePolicyArchive.openToRead(path);
    expect((await reader.versions('acl', 10)).items).toMatchObject([{ version, semantics: 1 }]);
    await reader.close();
    const archive = await archiveAt(path);
    expect(await archive.version('acl', version)).toMatchObject({ semantics: 1 });
  });

  it('keeps a content once, however many versions and sets have it', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    for (const rules of ['a', 'b', 'a']) await archive.keep(set(rules), 1);
    await archive.keep(set('a', 'other'), 1);
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(connection);
    expect(await connection.query('SELECT count(*) AS n FROM policy_file')).toEqual([{ n: 3 }]);
    expect(await connection.query('SELECT count(*) AS n FROM policy_version')).toEqual([{ n: 3 }]);
  });

  it('lists versions page by page, newest first', async () => {
    const archive = await archiveAt(newFile());
    const versions: string[] = [];
    for (let i = 0; i < 5; i++) {
      const kept = set(`# ${i}`);
      await archive.keep(kept, Math.floor(i / 2));
      versions.unshift(versionOf(kept.files));
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await archive.versions('acl', 2, after);
      expect(page.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.items.map(({ version }) => version));
      after = page.nextCursor;
    } while (after !== undefined);
    expect(seen).toHaveLength(5);
    expect(new Set(seen)).toEqual(new Set(versions));
    expect(seen[0]).toBe(versions[0]);
  });

  it('ends a page of versions where they name more files than one should', async () => {
    const archive = await archiveAt(newFile());
    const files = (version: number, count: number) =>
      Array.from({ length: count }, (_, i) => ({
        path: `rules-${version}-${'x'.repeat(800)}-${i}.csv`,
        bytes: Buffer.from(''),
      }));
    // Some 700 KB of names each, so that two are too many, and one that is too many by itself.
    for (const [version, count] of [700, 700, 1_400].entries()) {
      await archive.keep({ name: 'acl', files: files(version, count) }, version);
    }
    const sizes: number[] = [];
    let after: string | undefined;
    do {
      const page = await archive.versions('acl', 10, after);
      expect(page.items).toHaveLength(1);
      sizes.push(page.items[0]!.files.length);
      after = page.nextCursor;
    } while (after !== undefined);
    expect(sizes).toEqual([1_400, 700, 700]);
  });

  it('remembers what served and what was pinned, until the set is removed', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    await archive.setState({ name: 'acl', version: 'v1' }, 9);
    await archive.setState({ name: 'rbac', version: 'v1', pinnedOver: 'v2' }, 9);
    await archive.setState({ name: 'acl', version: 'v3' }, 9);
    expect(await (await archiveAt(path)).states()).toEqual([
      { name: 'acl', version: 'v3' },
      { name: 'rbac', version: 'v1', pinnedOver: 'v2' },
    ]);
    await archive.setRemoved('rbac', 5);
    expect(await archive.states()).toEqual([{ name: 'acl', version: 'v3' }]);
    await archive.setState({ name: 'rbac', version: 'v2' }, 9);
    expect(await archive.states()).toContainEqual({ name: 'rbac', version: 'v2' });
  });

  it('does not give back what is not what it kept', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    const kept = set('p, alice, data1, read');
    await archive.keep(kept, 1);
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(connection);
    const version = versionOf(kept.files);
    expect(Buffer.from((await archive.file('acl', version, 'rules.csv'))!).toString()).toBe('p, alice, data1, read');
    expect(await archive.file('acl', version, 'tests/a.yaml')).toBeUndefined();
    await connection.query("UPDATE policy_version SET files = replace(files, 'rules.csv', 'ruled.csv')");
    await expect(archive.files('acl', version)).rejects.toThrow('damaged');
    await connection.query('UPDATE policy_file SET content = (SELECT max(content) FROM policy_file)');
    const [one, other] = await Promise.allSettled([
      archive.file('acl', version, 'model.conf'),
      archive.file('acl', version, 'ruled.csv'),
    ]);
    expect([one.status, other.status].sort()).toEqual(['fulfilled', 'rejected']);
    await connection.query('DELETE FROM policy_file');
    await expect(archive.files('acl', version)).rejects.toThrow('no content');
  });
});

describe('the commit of a folder', () => {
  it('is the one checked out, in a work tree, a linked one, with packed references, on a branch or not', async () => {
    const root = temporaryDirectory();
    const git = (at: string, ...args: string[]) =>
      execFileSync('git', ['-C', at, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    const tree = join(root, 'tree');
    await writeTree(tree, { 'policies/acl/model.conf': aclModel });
    const folder = join(tree, 'policies/acl');
    expect(await gitCommitOf(folder)).toBeUndefined();
    git(tree, 'init', '-q', '-b', 'main');
    expect(await gitCommitOf(folder)).toBeUndefined();
    git(tree, 'add', '.');
    git(tree, 'commit', '-qm', 'one');
    const commit = git(tree, 'rev-parse', 'HEAD');
    expect(await gitCommitOf(folder)).toBe(commit);
    git(tree, 'worktree', 'add', '-q', join(root, 'linked'), '-b', 'other');
    expect(await gitCommitOf(join(root, 'linked/policies'))).toBe(commit);
    git(tree, 'pack-refs', '--all');
    expect(await gitCommitOf(folder)).toBe(commit);
    git(tree, 'checkout', '-q', '--detach');
    expect(await gitCommitOf(folder)).toBe(commit);
  });

  it('is unknown where a pipe or a file of holes stands in its place, and nobody waits', async () => {
    const root = temporaryDirectory();
    await writeTree(root, { 'acl/model.conf': aclModel, '.git/x': '' });
    execFileSync('mkfifo', [join(root, '.git/HEAD')]);
    expect(await gitCommitOf(join(root, 'acl'))).toBeUndefined();
    await rm(join(root, '.git'), { recursive: true });
    await writeTree(root, { '.git': '' });
    await truncate(join(root, '.git'), 2 ** 40);
    expect(await gitCommitOf(join(root, 'acl'))).toBeUndefined();
  });
});

describe('the retention of the archive', () => {
  const hour = 3_600_000;
  /** Versions that were put into service an hour after one another, the first at hour 1; returns their digests. */
  async function versionsOf(archive: PolicyArchive, count: number, name = 'acl'): Promise<string[]> {
    const digests: string[] = [];
    for (let each = 1; each <= count; each++) {
      const files = set(`p, alice, data${each}, read\n`, name);
      await archive.keep(files, each * hour);
      await archive.setState({ name, version: versionOf(files.files) }, each * hour);
      digests.push(versionOf(files.files));
    }
    return digests;
  }
  const kept = async (archive: PolicyArchive, name = 'acl') =>
    (await archive.versions(name, 1_000)).items.map(({ version }) => version).reverse();

  it('keeps every version that a retained record can name, and the newest', async () => {
    const archive = await archiveAt(newFile());
    const digests = await versionsOf(archive, 6);
    // The oldest record is of hour 4: the third version served until then, and a decision may have ended a little later.
    expect(await archive.prune(4 * hour, 1)).toBe(1);
    expect(await kept(archive)).toEqual(digests.slice(1));
    expect(await archive.prune(100 * hour, 3)).toBe(2);
    expect(await kept(archive)).toEqual(digests.slice(3));
    expect(await archive.prune(100 * hour, 3)).toBe(0);
  });

  it('keeps a hundred of each set, and not one more', async () => {
    const archive = await archiveAt(newFile());
    await versionsOf(archive, 100);
    const others = await versionsOf(archive, 101, 'other');
    expect(await archive.prune(1_000 * hour)).toBe(1);
    expect(await kept(archive)).toHaveLength(100);
    expect(await kept(archive, 'other')).toEqual(others.slice(1));
  });

  it('keeps what a set serves, however long ago it was put into service', async () => {
    const archive = await archiveAt(newFile());
    const [first] = await versionsOf(archive, 5);
    await archive.setState({ name: 'acl', version: first! }, 6 * hour);
    await archive.prune(100 * hour, 1);
    expect(await kept(archive)).toEqual([first]);
    expect((await archive.files('acl', first!))?.files).toHaveLength(2);
  });

  it('removes the files that only removed versions have, and no other', async () => {
    const path = newFile();
    const archive = await archiveAt(path);
    const digests = await versionsOf(archive, 3);
    await versionsOf(archive, 1, 'other');
    await archive.prune(100 * hour, 1);
    const database = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    open.push(database);
    // The model, which all share; the newest rules of each.
    expect(await database.query('SELECT digest FROM policy_file')).toHaveLength(3);
    expect((await archive.files('acl', digests[2]!))?.files).toHaveLength(2);
  });

  it('keeps the files of a version that is archived meanwhile', async () => {
    const archive = await archiveAt(newFile());
    await versionsOf(archive, 250);
    const again = set('p, alice, data1, read\n');
    const [removed] = await Promise.all([archive.prune(1_000 * hour, 1), archive.keep(again, 1_000 * hour)]);
    expect(removed).toBeGreaterThan(0);
    expect((await archive.files('acl', versionOf(again.files)))?.files).toHaveLength(2);
  });
});
