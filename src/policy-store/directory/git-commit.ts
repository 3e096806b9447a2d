import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { readNote } from './contained-files.js';

/**
 * The commit that is checked out where this folder lies, or `undefined` outside a git work tree. It is a note for
 * people, not an identity: the work tree may differ from its commit, a version cannot differ from its content.
 */
export async function gitCommitOf(folder: string): Promise<string | undefined> {
  try {
    const gitDirectory = await findGitDirectory(resolve(folder));
    return gitDirectory === undefined ? undefined : await readHead(gitDirectory);
  } catch {
    return undefined;
  }
}

async function findGitDirectory(folder: string): Promise<string | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    const candidate = join(at, '.git');
    const stats = await stat(candidate).catch(() => undefined);
    if (stats?.isDirectory()) return candidate;
    if (stats?.isFile()) {
      // A linked work tree or submodule: `gitdir: <path>`.
      const pointer = /^gitdir: (.+)$/m.exec(await readNote(candidate))?.[1];
      return pointer === undefined ? undefined : resolve(at, pointer.trim());
    }
    if (dirname(at) === at) return undefined;
  }
}

async function readHead(gitDirectory: string): Promise<string | undefined> {
  const head = (await readNote(join(gitDirectory, 'HEAD'))).trim();
  const ref = /^ref: (refs\/.+)$/.exec(head)?.[1];
  if (ref === undefined) return commitId(head);
  // The refs of a linked work tree are those of the repository that it belongs to.
  const common = await readNote(join(gitDirectory, 'commondir')).catch(() => '.');
  const repository = resolve(gitDirectory, common.trim());
  const loose = await readNote(join(repository, ref)).catch(() => undefined);
  if (loose !== undefined) return commitId(loose.trim());
  const packed = await readNote(join(repository, 'packed-refs'));
  const line = packed.split('\n').find((entry) => entry.endsWith(` ${ref}`));
  return line === undefined ? undefined : commitId(line.slice(0, line.indexOf(' ')));
}

function commitId(text: string): string | undefined {
  return /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(text) ? text : undefined;
}
