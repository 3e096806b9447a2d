import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseRfc3339 } from '../../core/rfc3339.js';
import { openBundle, packBundle } from '../../policy-store/bundle/bundle.js';
import { signArchive } from '../../policy-store/bundle/bundle-signature.js';
import { fileRole } from '../../policy-store/policy-set-files.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { printProblems } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { foldersOf, type PolicyFolder } from '../sources/policy-folder.js';
import { readArchiveFile } from '../sources/read-archive-file.js';
import { type KeyOptions, signingKeyOf } from './bundle-options.js';
import { lintFolder } from './lint-command.js';

interface BuildOptions {
  readonly revision: string;
  readonly out: string;
  readonly created?: string;
  readonly commit?: string;
}

/** What a manifest says of where the files come from. */
export interface BundleOrigin {
  /** RFC 3339. */
  readonly created?: string | undefined;
  readonly gitCommit?: string | undefined;
}

const run = promisify(execFile);

export async function buildBundles(
  paths: readonly string[],
  options: BuildOptions,
  terminal: Terminal,
): Promise<number> {
  const { revision, out, created, commit } = options;
  if (!/^[1-9]\d{0,14}$/.test(revision)) throw new UsageError(`--revision ${revision} is not a whole number from 1 on`);
  if (commit !== undefined && !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(commit)) {
    throw new UsageError(`--commit ${commit} is not the full id of a commit`);
  }
  const given = created === undefined ? undefined : timeOf('--created', parseRfc3339(created));
  const folders = await foldersOf(paths);
  if (!(await allLoad(folders, terminal))) return exitCodes.findings;
  await writing(out, () => mkdir(out, { recursive: true }));
  for (const folder of folders) {
    const origin = await originOf(folder, terminal);
    const about = {
      revision: Number(revision),
      created: given ?? origin.created,
      gitCommit: commit ?? origin.gitCommit,
    };
    const archive = packBundle({ name: folder.name, files: folder.files }, about);
    // A name that a service would refuse is refused here.
    openBundle(archive, folder.name);
    const path = join(out, `${folder.name}-${revision}.tar`);
    await writing(path, () => writeFile(path, archive));
    terminal.print(path);
  }
  return exitCodes.fine;
}

export async function signBundles(paths: readonly string[], options: KeyOptions, terminal: Terminal): Promise<number> {
  const key = await signingKeyOf(options);
  for (const path of paths) {
    const archive = await readArchiveFile(path);
    openBundle(archive, path);
    const signature = `${path}.jws`;
    const jws = await signArchive(archive, key);
    await writing(signature, () => writeFile(signature, `${jws}\n`));
    terminal.print(`${signature} by the key ${key.kid}`);
  }
  return exitCodes.fine;
}

/** Checks sets as the service does when it loads them, and prints what is wrong; warnings stop nothing. */
export async function allLoad(folders: readonly PolicyFolder[], terminal: Terminal): Promise<boolean> {
  let good = true;
  for (const folder of folders) {
    terminal.progress(`checking ${folder.name}`);
    const errors = (await lintFolder(folder)).filter(({ severity }) => severity === 'error');
    terminal.progress('');
    printProblems(terminal, { name: folder.name, path: folder.path, problems: errors });
    good &&= errors.length === 0;
  }
  return good;
}

/**
 * Where the files of a folder come from: the commit that is checked out there and its time, or SOURCE_DATE_EPOCH
 * (https://reproducible-builds.org/specs/source-date-epoch/). Files that are not as the commit has them come from none.
 */
export async function originOf({ name, path }: PolicyFolder, terminal: Terminal): Promise<BundleOrigin> {
  const epoch = process.env.SOURCE_DATE_EPOCH ?? '';
  const isSeconds = /^\d{1,11}$/.test(epoch);
  const given = epoch === '' ? undefined : timeOf('SOURCE_DATE_EPOCH', isSeconds ? Number(epoch) * 1_000 : undefined);
  const shown = await git(path, ['show', '-s', '--format=%H %ct', 'HEAD']);
  if (shown === undefined) return { created: given };
  if (await hasOtherFiles(path)) {
    terminal.remark(`${name}: its files are not those of the commit, so the bundle names none`);
    return { created: given };
  }
  const [gitCommit, seconds] = shown.split(' ');
  return { gitCommit, created: given ?? timeOf('the commit', Number(seconds) * 1_000) };
}

/** Whether a file of the set is not as the commit has it. What else lies in the folder does not count. */
async function hasOtherFiles(folder: string): Promise<boolean> {
  const prefix = (await git(folder, ['rev-parse', '--show-prefix'])) ?? '';
  const options = ['--porcelain', '--ignored', '--untracked-files=all', '-z'];
  const status = (await git(folder, ['status', ...options, '--', '.'])) ?? '';
  // An entry is two letters, a space, and the path from the root of the work tree.
  const changed = status.split('\0').map((entry) => entry.slice(3));
  return changed.some((path) => path.startsWith(prefix) && fileRole(path.slice(prefix.length)) !== undefined);
}

/** Undefined without git, or outside of a work tree. */
async function git(folder: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await run('git', ['-C', folder, ...args])).stdout.replace(/\n$/, '');
  } catch {
    return undefined;
  }
}

function timeOf(what: string, ms: number | undefined): string {
  if (ms === undefined) throw new UsageError(`${what} is not a time`, '--created takes 2026-03-03T10:00:00Z');
  return new Date(ms).toISOString();
}

async function writing(path: string, write: () => Promise<unknown>): Promise<void> {
  await write().catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be written: ${error.code ?? error.message}`);
  });
}
