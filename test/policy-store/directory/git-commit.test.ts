import { execFileSync } from 'node:child_process';
import { rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitCommitOf } from '../../../src/policy-store/directory/git-commit.js';
import { idModel } from '../../models.js';
import { temporaryDirectory, writeTree } from '../folders.js';

describe('the commit of a folder', () => {
  it('is the one checked out, in a work tree, a linked one, with packed references, on a branch or not', async () => {
    const root = temporaryDirectory();
    const git = (at: string, ...args: string[]) =>
      execFileSync('git', ['-C', at, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    const tree = join(root, 'tree');
    await writeTree(tree, { 'policies/acl/model.conf': idModel });
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
    await writeTree(root, { 'acl/model.conf': idModel, '.git/x': '' });
    execFileSync('mkfifo', [join(root, '.git/HEAD')]);
    expect(await gitCommitOf(join(root, 'acl'))).toBeUndefined();
    await rm(join(root, '.git'), { recursive: true });
    await writeTree(root, { '.git': '' });
    await truncate(join(root, '.git'), 2 ** 40);
    expect(await gitCommitOf(join(root, 'acl'))).toBeUndefined();
  });
});
