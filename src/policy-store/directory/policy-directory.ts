/**
 * Policy sets in a directory: what is there, whether it changed, and its bytes. Nothing a directory can hold makes this
 * throw; what cannot be read becomes a problem with a place and a hint. Nothing outside the directory is read.
 */
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyProblem } from '../../core/problem.js';
import { fileRole, type PolicyFile, type PolicySetFiles } from '../policy-set-files.js';
import {
  listingProblems,
  misnamedFileProblem,
  problemOfFile,
  problemOfSet,
  setNameProblem,
  tooManyFilesProblem,
} from '../set-file-problems.js';
import { defaultSourceLimits, type SourceLimits } from '../source-limits.js';
import { textProblem } from '../text-problem.js';
import { identityOf, leadsWithin, readUnchanged, type SeenFile } from './contained-files.js';

/** The result of one look at the root. */
export type RootScan =
  | { readonly readable: true; readonly folders: ReadonlyMap<string, FolderScan> }
  | { readonly readable: false; readonly problem: PolicyProblem };

/** The result of one look at a folder, without reading a file. */
export interface FolderScan {
  readonly name: string;
  readonly path: string;
  /** The real path of the directory for this look. Nothing outside of it is read. */
  readonly root: string;
  /** Path of the folder in `root`; it may be a link. */
  readonly realPath: string;
  /** `unknown`: the folder exists and cannot be read. */
  readonly hasModel: boolean | 'unknown';
  readonly files: readonly ScannedFile[];
  readonly problems: readonly PolicyProblem[];
  /** A text that changes if a file comes, goes or changes: names, sizes, inodes and times. */
  readonly fingerprint: string;
}

interface ScannedFile extends SeenFile {
  readonly path: string;
}

/** The files of a folder; with problems of severity error they are not to be used, and may be incomplete. */
export interface FolderContent {
  readonly set: PolicySetFiles;
  readonly problems: readonly PolicyProblem[];
}

/** Problems with which the set cannot load, whatever its files contain. */
const withoutReading = new Set([
  'bad_set_name',
  'conflicting_sets',
  'policy_set_too_large',
  'too_many_files',
  'unreadable_folder',
]);

function preventsReading({ code, file }: PolicyProblem): boolean {
  return withoutReading.has(code) || (code === 'link_leads_out' && file === '.');
}

/** The name of the set whose files lie directly in the root. */
const rootSet = 'default';

export class PolicyDirectory {
  constructor(
    readonly root: string,
    private readonly limits: SourceLimits = defaultSourceLimits,
  ) {}

  /**
   * Every folder of the root that is not hidden, whether it holds a policy set or not; and the root itself under the
   * name `default` if files of a policy set lie in it.
   */
  async scan(): Promise<RootScan> {
    let entries: Dirent[];
    let root: string;
    try {
      // The directory itself may be a link, which somebody may swap while we look: one look goes through one directory.
      root = await realpath(this.root);
      entries = await readdir(root, { withFileTypes: true });
    } catch (error) {
      return { readable: false, problem: unreadableRoot(error) };
    }
    const scans = await Promise.all(
      entries
        // `lost+found` is the file system's own and readable by root alone; `..data` is a mount's of Kubernetes.
        .filter(({ name }) => !name.startsWith('.') && name !== 'lost+found')
        .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
        .map((entry) => this.scanFolder(root, entry)),
    );
    const folders = new Map<string, FolderScan>();
    for (const scan of scans) if (scan !== undefined) folders.set(scan.name, scan);

    if (entries.some(({ name }) => fileRole(name) !== undefined)) {
      const own = await this.scanFiles({ name: rootSet, path: this.root, root, realPath: root });
      const twin = folders.get(rootSet);
      folders.set(rootSet, twin === undefined || twin.hasModel === false ? own : sameNameTwice(own, twin));
      // The root's own `tests` are tests, not a set.
      if (folders.get('tests')?.hasModel === false) folders.delete('tests');
    }
    return { readable: true, folders };
  }

  /** Returns undefined if it is not a folder. */
  private async scanFolder(root: string, entry: Dirent): Promise<FolderScan | undefined> {
    const { name } = entry;
    const folder = { name, path: join(this.root, name), root, realPath: join(root, name) };
    try {
      if (!(await stat(folder.realPath)).isDirectory()) return undefined;
      if (entry.isSymbolicLink() && !(await leadsWithin(root, folder.realPath))) return await leadingOut(folder);
    } catch (error) {
      return unreadableFolder(folder, error);
    }
    const scan = await this.scanFiles(folder);
    const problem = scan.hasModel === false ? undefined : setNameProblem(name);
    return problem === undefined ? scan : { ...scan, problems: [problem, ...scan.problems] };
  }

  private scanFiles(folder: Folder): Promise<FolderScan> {
    return scanFiles(folder, this.limits);
  }

  /**
   * Reads the files that the scan saw. `changed`: they have changed since, so the result could be a mixture and is
   * dropped.
   */
  async read(scan: FolderScan): Promise<FolderContent | 'changed'> {
    const files: PolicyFile[] = [];
    const problems = [...scan.problems];
    if (!problems.some(preventsReading)) {
      for (const file of scan.files) {
        try {
          const bytes = await readUnchanged(scan.root, join(scan.realPath, file.path), file);
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
      const after = await this.scanFiles(scan);
      if (after.fingerprint !== scan.fingerprint) return 'changed';
    }
    return { set: Object.freeze({ name: scan.name, files: Object.freeze(files) }), problems };
  }
}

type Folder = Pick<FolderScan, 'name' | 'path' | 'root' | 'realPath'>;

async function scanFiles(folder: Folder, limits: SourceLimits): Promise<FolderScan> {
  const { root, realPath } = folder;
  const problems: PolicyProblem[] = [];
  const files: ScannedFile[] = [];
  const marks: string[] = [];
  let entries: Dirent[];
  try {
    entries = await readdir(realPath, { withFileTypes: true });
    const tests = join(realPath, 'tests');
    const isLink = entries.some((entry) => entry.name === 'tests' && entry.isSymbolicLink());
    if (!isLink || (await leadsWithin(root, tests))) {
      entries.push(...(await readdir(tests, { withFileTypes: true }).catch(noTests)));
    } else {
      problems.push(linkLeadsOut('tests'));
      marks.push('tests leads out');
    }
  } catch (error) {
    return unreadableFolder(folder, error);
  }
  const named = entries
    .map((entry) => ({ entry, path: entry.parentPath === realPath ? entry.name : `tests/${entry.name}` }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const { path: misnamed } of named) {
    const problem = misnamedFileProblem(misnamed);
    if (problem === undefined) continue;
    marks.push(`misnamed ${misnamed}`);
    problems.push(problem);
  }
  const own = named.filter(({ path }) => fileRole(path) !== undefined);
  const tooMany = tooManyFilesProblem(own.length, limits);
  if (tooMany !== undefined) problems.push(tooMany);
  const found = await Promise.all(
    own.slice(0, limits.maxFiles).map(async ({ entry, path: file }) => {
      const at = join(realPath, file);
      try {
        if (entry.isSymbolicLink() && !(await leadsWithin(root, at))) return { file, isOutside: true };
        return { file, stats: await stat(at, { bigint: true }) };
      } catch (error) {
        // A plain file that is listed and then not there was deleted in between; a link leads nowhere.
        return entry.isSymbolicLink() || !isErrno(error, 'ENOENT') ? { file, error } : { file };
      }
    }),
  );
  const sizes = new Map(own.map((file) => [file.path, 0]));
  for (const { file, stats, error, isOutside } of found) {
    if (isOutside === true) {
      problems.push(linkLeadsOut(file));
      marks.push(`${file} leads out`);
    } else if (stats?.isFile()) {
      const identity = identityOf(stats);
      sizes.set(file, Number(stats.size));
      files.push({ path: file, size: Number(stats.size), identity });
      marks.push(`${file} ${identity}`);
    } else if (stats !== undefined) {
      problems.push(problemOfFile(file, 'not_a_file', 'this is not a file', 'remove it, or give it another name'));
      marks.push(`${file} ${identityOf(stats)}`);
    } else if (error !== undefined) {
      problems.push(unreadableFile(file, error));
      marks.push(`${file} ${errnoOf(error)}`);
    }
  }
  problems.push(
    ...listingProblems(
      [...sizes].map(([path, size]) => ({ path, size })),
      limits,
    ),
  );
  const hasModel = sizes.has('model.conf');
  return { ...folder, hasModel, files, problems, fingerprint: marks.join('\n') };
}

/** The target of a link that leads out is not read. A model in it would show that a set was meant. */
async function leadingOut(folder: Folder): Promise<FolderScan> {
  const model = await stat(join(folder.realPath, 'model.conf')).catch(() => undefined);
  return {
    ...folder,
    hasModel: model !== undefined,
    files: [],
    problems: [linkLeadsOut('.')],
    fingerprint: 'leads out',
  };
}

function linkLeadsOut(file: string): PolicyProblem {
  const message = 'this is a link that leads out of the policy directory';
  return problemOfFile(
    file,
    'link_leads_out',
    message,
    'put a copy here: nothing outside the policy directory is read',
  );
}

function noTests(error: unknown): Dirent[] {
  if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
  throw error;
}

function sameNameTwice(own: FolderScan, twin: FolderScan): FolderScan {
  const problem = problemOfSet(
    'conflicting_sets',
    `a folder "${rootSet}" and the files beside it both make the set "${rootSet}"`,
    'move the files into a folder of their own',
  );
  return {
    ...own,
    hasModel: own.hasModel || twin.hasModel,
    problems: [problem, ...own.problems],
    fingerprint: `${own.fingerprint}\n\n${twin.fingerprint}`,
  };
}

function unreadableRoot(error: unknown): PolicyProblem {
  return isErrno(error, 'ENOENT')
    ? problemOfSet('policy_dir_missing', 'the policy directory does not exist', 'see VERDICT_POLICY_DIR')
    : problemOfSet(
        'policy_dir_unreadable',
        `the policy directory cannot be read: ${errnoOf(error)}`,
        'see its permissions',
      );
}

function unreadableFolder(folder: Folder, error: unknown): FolderScan {
  const problem = problemOfSet('unreadable_folder', `this folder cannot be read: ${reasonOf(error)}`, hintFor(error));
  return { ...folder, hasModel: 'unknown', files: [], problems: [problem], fingerprint: errnoOf(error) };
}

function unreadableFile(file: string, error: unknown): PolicyProblem {
  return problemOfFile(file, 'unreadable_file', `this file cannot be read: ${reasonOf(error)}`, hintFor(error));
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

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown error';
}

function isErrno(error: unknown, code: string): boolean {
  return errnoOf(error) === code;
}
