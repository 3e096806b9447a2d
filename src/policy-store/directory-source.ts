/**
 * Policy sets in a directory: what is there, whether it changed, and its bytes. Nothing a directory can hold makes this
 * throw; what cannot be read becomes a problem with a place and a hint.
 */
import { type BigIntStats, constants, type Dirent } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../core/problem.js';
import { fileRole, intendedName, type PolicyFile, type PolicySetFiles } from './policy-set-files.js';
import { textProblem } from './text-problem.js';

export interface SourceLimits {
  /** Bytes of one set. A rule takes many times its bytes once it is compiled: a set must not exhaust the process. */
  readonly maxBytes: number;
  /** Files of one set. */
  readonly maxFiles: number;
}

export const defaultLimits: SourceLimits = Object.freeze({ maxBytes: 64 * 1024 * 1024, maxFiles: 10_000 });

/** What one look at the root found. */
export type RootScan =
  | { readonly readable: true; readonly folders: ReadonlyMap<string, FolderScan> }
  | { readonly readable: false; readonly problem: Problem };

/** What one look at a folder found, without reading a file. */
export interface FolderScan {
  readonly name: string;
  readonly path: string;
  /** `unknown`: the folder is there, but cannot be looked into. */
  readonly hasModel: boolean | 'unknown';
  readonly files: readonly ScannedFile[];
  readonly problems: readonly Problem[];
  /** Another text whenever a file came, went or changed: names, sizes, inodes and times. */
  readonly fingerprint: string;
}

interface ScannedFile {
  readonly path: string;
  readonly size: number;
  readonly identity: string;
}

/** The files of a folder; with problems of severity error they are not to be used, and may be incomplete. */
export interface FolderContent {
  readonly set: PolicySetFiles;
  readonly problems: readonly Problem[];
}

/** With one of these the set cannot load whatever its files say. */
const WITHOUT_READING = new Set([
  'bad_set_name',
  'conflicting_sets',
  'policy_set_too_large',
  'too_many_files',
  'unreadable_folder',
]);

/** The name of the set whose files lie directly in the root. */
const ROOT_SET = 'default';
const SET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export class DirectorySource {
  constructor(
    readonly root: string,
    private readonly limits: SourceLimits = defaultLimits,
  ) {}

  /**
   * Every folder of the root that is not hidden, whether it holds a policy set or not; and the root itself under the
   * name `default` if files of a policy set lie in it.
   */
  async scan(): Promise<RootScan> {
    let entries: Dirent[];
    try {
      entries = await readdir(this.root, { withFileTypes: true });
    } catch (error) {
      return { readable: false, problem: unreadableRoot(error) };
    }
    const scans = await Promise.all(
      entries
        // `lost+found` is the file system's own and readable by root alone; `..data` is a mount's of Kubernetes.
        .filter(({ name }) => !name.startsWith('.') && name !== 'lost+found')
        .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
        .map((entry) => this.scanFolder(entry.name)),
    );
    const folders = new Map<string, FolderScan>();
    for (const scan of scans) if (scan !== undefined) folders.set(scan.name, scan);

    if (entries.some(({ name }) => fileRole(name) !== undefined)) {
      const own = await scanFiles(ROOT_SET, this.root, this.limits);
      const twin = folders.get(ROOT_SET);
      folders.set(ROOT_SET, twin === undefined || twin.hasModel === false ? own : sameNameTwice(own, twin));
      // The root's own `tests` are tests, not a set.
      if (folders.get('tests')?.hasModel === false) folders.delete('tests');
    }
    return { readable: true, folders };
  }

  /** `undefined` for what is no folder. */
  private async scanFolder(name: string): Promise<FolderScan | undefined> {
    const path = join(this.root, name);
    try {
      if (!(await stat(path)).isDirectory()) return undefined;
    } catch (error) {
      return unreadableFolder(name, path, error);
    }
    const scan = await scanFiles(name, path, this.limits);
    if (scan.hasModel === false || SET_NAME.test(name)) return scan;
    const problem = atFolder(
      'bad_set_name',
      `${JSON.stringify(name)} cannot be the name of a policy set`,
      'use letters, digits, ".", "_" and "-", a letter or digit first, at most 128',
    );
    return { ...scan, problems: [problem, ...scan.problems] };
  }

  /**
   * Reads the files that the scan saw. `changed` means that they are not those any more: what was read may be a mixture
   * and is thrown away.
   */
  async read(scan: FolderScan): Promise<FolderContent | 'changed'> {
    const files: PolicyFile[] = [];
    const problems = [...scan.problems];
    if (!problems.some(({ code }) => WITHOUT_READING.has(code))) {
      for (const file of scan.files) {
        try {
          const bytes = await readUnchanged(join(scan.path, file.path), file);
          if (bytes === undefined) return 'changed';
          files.push({ path: file.path, bytes });
          const problem = textProblem(file.path, bytes);
          if (problem !== undefined) problems.push(problem);
        } catch (error) {
          if (isErrno(error, 'ENOENT')) return 'changed';
          problems.push(unreadableFile(file.path, error));
        }
      }
      // Each file was whole; that they belong together is only known when none of them changed meanwhile.
      const after = await scanFiles(scan.name, scan.path, this.limits);
      if (after.fingerprint !== scan.fingerprint) return 'changed';
    }
    return { set: Object.freeze({ name: scan.name, files: Object.freeze(files) }), problems };
  }
}

async function scanFiles(name: string, path: string, limits: SourceLimits): Promise<FolderScan> {
  const problems: Problem[] = [];
  const files: ScannedFile[] = [];
  const marks: string[] = [];
  let entries: Dirent[];
  try {
    entries = [
      ...(await readdir(path, { withFileTypes: true })),
      ...(await readdir(join(path, 'tests'), { withFileTypes: true }).catch(noTests)),
    ];
  } catch (error) {
    return unreadableFolder(name, path, error);
  }
  const named = entries
    .map((entry) => ({ entry, path: entry.parentPath === path ? entry.name : `tests/${entry.name}` }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const { path: misnamed } of named) {
    const intended = intendedName(misnamed);
    if (intended === undefined) continue;
    marks.push(`misnamed ${misnamed}`);
    problems.push(
      problem(misnamed, 'misnamed_file', 'this file would not be read under this name', `rename it to ${intended}`),
    );
  }
  const own = named.filter(({ path }) => fileRole(path) !== undefined);
  if (own.length > limits.maxFiles) {
    problems.push(
      atFolder('too_many_files', `${own.length} files; a policy set may have ${limits.maxFiles}`, 'join rule files'),
    );
  }
  const found = await Promise.all(
    own.slice(0, limits.maxFiles).map(async ({ entry, path: file }) => {
      try {
        return { file, stats: await stat(join(path, file), { bigint: true }) };
      } catch (error) {
        // A plain file that is listed and then not there was deleted in between; a link leads nowhere.
        return entry.isSymbolicLink() || !isErrno(error, 'ENOENT') ? { file, error } : { file };
      }
    }),
  );
  let size = 0;
  for (const { file, stats, error } of found) {
    if (stats?.isFile()) {
      const identity = identityOf(stats);
      size += Number(stats.size);
      files.push({ path: file, size: Number(stats.size), identity });
      marks.push(`${file} ${identity}`);
    } else if (stats !== undefined) {
      problems.push(problem(file, 'not_a_file', 'this is not a file', 'remove it, or give it another name'));
      marks.push(`${file} ${identityOf(stats)}`);
    } else if (error !== undefined) {
      problems.push(unreadableFile(file, error));
      marks.push(`${file} ${errnoOf(error)}`);
    }
  }
  if (size > limits.maxBytes) {
    const [largest] = [...files].sort((a, b) => b.size - a.size);
    problems.push(
      problem(
        largest?.path ?? '.',
        'policy_set_too_large',
        `the files of this set have ${size} bytes; ${limits.maxBytes} are allowed`,
        'split the set, or keep attributes with who asks',
      ),
    );
  }
  const names = new Set(own.map((file) => file.path));
  if (names.has('entities.yaml') && names.has('entities.json')) {
    problems.push(
      problem('entities.json', 'conflicting_files', 'there are entities.yaml and entities.json', 'keep one of them'),
    );
  }
  const hasModel = names.has('model.conf');
  if (!hasModel) {
    problems.push(atFolder('model_missing', 'there is no model.conf', 'a policy set needs a Casbin model'));
  }
  return { name, path, hasModel, files, problems, fingerprint: marks.join('\n') };
}

/** The bytes of a file, if it is still the one that was scanned. */
async function readUnchanged(path: string, scanned: ScannedFile): Promise<Uint8Array | undefined> {
  // Without O_NONBLOCK, opening a named pipe that took the file's place would wait for its other end.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (identityOf(await handle.stat({ bigint: true })) !== scanned.identity) return undefined;
    const bytes = new Uint8Array(scanned.size);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) return undefined;
      length += bytesRead;
    }
    return identityOf(await handle.stat({ bigint: true })) === scanned.identity ? bytes : undefined;
  } finally {
    await handle.close();
  }
}

function identityOf(stats: BigIntStats): string {
  return `${stats.dev} ${stats.ino} ${stats.mode} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
}

function noTests(error: unknown): Dirent[] {
  if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
  throw error;
}

function sameNameTwice(own: FolderScan, twin: FolderScan): FolderScan {
  const problem = atFolder(
    'conflicting_sets',
    `a folder "${ROOT_SET}" and the files beside it both make the set "${ROOT_SET}"`,
    'move the files into a folder of their own',
  );
  return {
    ...own,
    hasModel: own.hasModel || twin.hasModel,
    problems: [problem, ...own.problems],
    fingerprint: `${own.fingerprint}\n\n${twin.fingerprint}`,
  };
}

function unreadableRoot(error: unknown): Problem {
  return isErrno(error, 'ENOENT')
    ? atFolder('policy_dir_missing', 'the policy directory does not exist', 'see VERDICT_POLICY_DIR')
    : atFolder(
        'policy_dir_unreadable',
        `the policy directory cannot be read: ${errnoOf(error)}`,
        'see its permissions',
      );
}

function unreadableFolder(name: string, path: string, error: unknown): FolderScan {
  const problem = atFolder('unreadable_folder', `this folder cannot be read: ${reasonOf(error)}`, hintFor(error));
  return { name, path, hasModel: 'unknown', files: [], problems: [problem], fingerprint: errnoOf(error) };
}

function unreadableFile(file: string, error: unknown): Problem {
  return problem(file, 'unreadable_file', `this file cannot be read: ${reasonOf(error)}`, hintFor(error));
}

function reasonOf(error: unknown): string {
  switch (errnoOf(error)) {
    case 'ENOENT':
      return 'it is a link that leads nowhere';
    case 'ELOOP':
      return 'it is a link that leads in a circle';
    case 'EACCES':
    case 'EPERM':
      return 'permission is denied';
    default:
      return errnoOf(error);
  }
}

function hintFor(error: unknown): string {
  return isErrno(error, 'EACCES') || isErrno(error, 'EPERM')
    ? 'let the account that the service runs as read it'
    : 'repair or remove it';
}

function atFolder(code: string, message: string, hint: string): Problem {
  return problem('.', code, message, hint);
}

function problem(file: string, code: string, message: string, hint: string): Problem {
  return { severity: 'error', code, message, file, line: 1, column: 1, hint };
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown error';
}

function isErrno(error: unknown, code: string): boolean {
  return errnoOf(error) === code;
}
