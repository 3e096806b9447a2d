/** Policy sets that a command is given by a path, read by the service's own rules. */
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { LiveData } from '../../core/data/live-data.js';
import type { NamedText } from '../../core/manifest/yaml-document.js';
import { addDataInSteps } from '../../core/policy/change-data.js';
import { type CompiledPolicySet, type CompileOptions, compileInSteps } from '../../core/policy/compile.js';
import { DataError } from '../../core/policy/data-change.js';
import { formatProblem, PolicyError, type PolicyProblem } from '../../core/problem.js';
import { currentSemantics, type Semantics } from '../../core/semantics.js';
import { finish } from '../../core/steps.js';
import { sha256 } from '../../digest/sha-256.js';
import type { StoredEntries } from '../../policy-store/data/entries.js';
import { unfitData } from '../../policy-store/data/unfit-data.js';
import { type FolderScan, PolicyDirectory } from '../../policy-store/directory/policy-directory.js';
import { fileRole, type PolicyFile, versionOf } from '../../policy-store/policy-set-files.js';
import { compileOptions, textsOf } from '../../policy-store/policy-set-texts.js';
import { UsageError } from '../exit-code.js';

export interface PolicyFolder {
  readonly name: string;
  /** The path as the user gave it, for messages: `policies/invoices`. */
  readonly path: string;
  readonly files: readonly PolicyFile[];
  /** Why files could not be read as they are. */
  readonly problems: readonly PolicyProblem[];
  /** The live data that the set has beside its files, where it is one of a service. */
  readonly data?: StoredEntries | undefined;
}

/**
 * The policy set in a folder, or the sets in its folders.
 *
 * @throws UsageError when there is none.
 */
export async function readPolicyFolders(path: string): Promise<readonly PolicyFolder[]> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) throw new UsageError(`there is no ${path}`);
  if (!stats.isDirectory())
    throw new UsageError(`${path} is not a folder`, 'a policy set is a folder with a model.conf');
  const source = new PolicyDirectory(path);
  const scanned = await source.scan();
  if (!scanned.readable) throw new UsageError(`${path}: ${scanned.problem.message}`);
  const scans = [...scanned.folders.values()];
  // The name `default` is the service's for a set that lies in its root; here the folder's own is plainer.
  const own = scans.find((scan) => resolve(scan.path) === resolve(path));
  const named = own === undefined ? scans.filter(holdsPolicies) : [{ ...own, name: basename(resolve(path)) }];
  if (named.length === 0) {
    const hint = '`verdict init` makes one; a policy set is a folder with a model.conf';
    throw new UsageError(`${path} holds no policy set`, hint);
  }
  const folders: PolicyFolder[] = [];
  for (const scan of named) {
    folders.push(await readFolder(source, scan, own === undefined ? join(path, scan.name) : path));
  }
  return folders.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The sets that a command is given, by as many paths as there are; without one those of the usual place. */
export async function foldersOf(paths: readonly string[]): Promise<readonly PolicyFolder[]> {
  const folders: PolicyFolder[] = [];
  for (const path of await givenPaths(paths)) folders.push(...(await readPolicyFolders(path)));
  return folders;
}

/** The paths that a command is given; without one the usual place. */
export async function givenPaths(paths: readonly string[]): Promise<readonly string[]> {
  return paths.length === 0 ? [await defaultPath()] : paths;
}

/** @throws UsageError when the path holds another number of sets than one. */
export async function readPolicyFolder(path: string): Promise<PolicyFolder> {
  const folders = await readPolicyFolders(path);
  const [folder] = folders;
  if (folder !== undefined && folders.length === 1) return folder;
  const hint = `name one: ${folders.map((candidate) => candidate.path).join(', ')}`;
  throw new UsageError(`${path} holds ${folders.length} policy sets`, hint);
}

/** The folder that a command takes when none is named. */
async function defaultPath(): Promise<string> {
  if (await isThere('model.conf')) return '.';
  if (await isThere('policies')) return 'policies';
  throw new UsageError('say which folder: there is neither ./model.conf nor ./policies');
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function holdsPolicies({ hasModel, files, problems }: FolderScan): boolean {
  return hasModel !== false || files.length > 0 || problems.some(({ code }) => code === 'misnamed_file');
}

/** Files that change while they are read are read again, a few times. */
const attempts = 5;

async function readFolder(source: PolicyDirectory, scan: FolderScan, path: string): Promise<PolicyFolder> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const content = await source.read(scan);
    if (content !== 'changed') {
      return { name: scan.name, path, files: content.set.files, problems: content.problems };
    }
  }
  throw new UsageError(`${path} keeps changing while it is read`);
}

export interface CompiledFolder {
  readonly folder: PolicyFolder;
  readonly version: string;
  readonly options: CompileOptions;
  /** Undefined when the set cannot be compiled at all. */
  readonly compiled: CompiledPolicySet | undefined;
  readonly tests: readonly NamedText[];
  /** The files of the set, and of its tests. */
  readonly texts: readonly NamedText[];
  /** Problems of the files and of the compiler. Tests are not run. */
  readonly problems: readonly PolicyProblem[];
}

/** Compiles a set as far as possible. Problems are in the result; none is thrown. */
export function compileFolder(folder: PolicyFolder, semantics: Semantics = currentSemantics): CompiledFolder {
  const unreadable = new Set(folder.problems.filter(({ severity }) => severity === 'error').map(({ file }) => file));
  const readable = folder.files.filter(({ path }) => !unreadable.has(path));
  const options = { ...compileOptions(readable), strict: false, semantics };
  const version = versionOf(folder.files);
  const common = {
    folder,
    version,
    options,
    tests: textsOf(readable, 'test'),
    texts: allTexts(readable),
  };
  const isWhole = readable.some(({ path }) => fileRole(path) === 'model') && !unreadable.has('.');
  // The meaning of the other files depends on the manifest.
  if (!isWhole || unreadable.has('policy-set.yaml'))
    return { ...common, compiled: undefined, problems: folder.problems };
  try {
    const compiled = withDataOf(folder, finish(compileInSteps(options, () => version, noData)));
    const problems = [...folder.problems, ...compiled.problems.filter(doesNotFollowFrom(unreadable))];
    return { ...common, compiled: unreadable.size === 0 ? compiled : undefined, problems };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const problems = [...folder.problems, ...error.problems.filter(doesNotFollowFrom(unreadable))];
    return { ...common, compiled: undefined, problems };
  }
}

/** The files of a set, and of its tests, as texts. */
export function allTexts(files: readonly PolicyFile[]): readonly NamedText[] {
  const roles = ['model', 'rules', 'manifest', 'entities', 'schema', 'test'] as const;
  return roles.flatMap((role) => textsOf(files, role));
}

const noData = LiveData.empty(sha256);

/** @throws PolicyError where the live data does not fit the files */
function withDataOf({ data }: PolicyFolder, compiled: CompiledPolicySet): CompiledPolicySet {
  if (data === undefined || compiled.data === undefined) return compiled;
  try {
    return finish(addDataInSteps(compiled, data));
  } catch (error) {
    throw error instanceof DataError ? new PolicyError(error.problems.map(unfitData)) : error;
  }
}

/** Rules that could not be read are not missing. */
function doesNotFollowFrom(unreadable: ReadonlySet<string>): (problem: PolicyProblem) => boolean {
  const hasUnreadRules = [...unreadable].some((file) => fileRole(file) === 'rules');
  return ({ code }) => code !== 'empty_policy' || !hasUnreadRules;
}

export interface LoadedFolder extends CompiledFolder {
  readonly compiled: CompiledPolicySet;
}

/** @throws UsageError with every problem when the set does not load. */
export async function loadFolder(path: string | undefined): Promise<LoadedFolder> {
  return loadSet(await readPolicyFolder(path ?? (await defaultPath())));
}

/** @throws UsageError with every problem when the set does not load. */
export function loadSet(folder: PolicyFolder, semantics?: Semantics): LoadedFolder {
  const compiled = compileFolder(folder, semantics);
  const errors = compiled.problems.filter(({ severity }) => severity === 'error');
  if (compiled.compiled !== undefined && errors.length === 0) return { ...compiled, compiled: compiled.compiled };
  const listed = errors.slice(0, maxListed).map((problem) => `\n  ${formatProblem(problem)}`);
  const rest = errors.length > maxListed ? `\n  and ${errors.length - maxListed} more: see \`verdict lint\`` : '';
  throw new UsageError(`${compiled.folder.path} does not load${listed.join('')}${rest}`);
}

const maxListed = 10;
