/** What `verdict diff <from> [to]` compares: folders, git revisions, or versions that a service has served. */
import { stat } from 'node:fs/promises';
import { UsageError } from '../exit-code.js';
import { readRevision } from './git-folder.js';
import { foldersOf, type PolicyFolder, readPolicyFolder, readPolicyFolders } from './policy-folder.js';
import {
  fullVersion,
  isVersion,
  type PolicyVersions,
  readServed,
  readVersion,
  versionsOfServer,
} from './policy-versions.js';
import type { ServerOptions } from './server.js';

export interface DiffSides extends ServerOptions {
  readonly database?: string;
  readonly set?: string;
}

/** One policy set, before and after. */
export interface Pair {
  readonly name: string;
  readonly before: PolicyFolder;
  readonly after: PolicyFolder;
}

/** What `<from> [to]` stand for. */
export async function pairsOf(from: string, to: string | undefined, options: DiffSides): Promise<readonly Pair[]> {
  if (options.url === undefined && options.database === undefined) {
    if (options.set !== undefined) throw new UsageError('--set goes with --url or --database');
    return pairsOfFolders(from, to);
  }
  const versions =
    options.database === undefined
      ? versionsOfServer(options)
      : await (await import('./versions-in-database.js')).versionsInDatabase(options.database);
  try {
    return await pairsWithVersions(from, to, options.set, versions);
  } finally {
    await versions.close();
  }
}

/** Two folders, or a revision (or two) and the folder that is compared. */
async function pairsOfFolders(from: string, to: string | undefined): Promise<readonly Pair[]> {
  for (const side of [from, to ?? '']) {
    if (isVersion(side))
      throw new UsageError(`where is ${side} from?`, '--url or --database says which service served it');
  }
  const range = /^(.*?)\.\.\.?(.*)$/.exec(from);
  if (range !== null && !(await isFolder(from))) {
    const path = to ?? 'policies';
    const [, first = '', second = ''] = range;
    return pair(
      (await readRevision(first, path)).folders,
      (await readRevision(second === '' ? 'HEAD' : second, path)).folders,
    );
  }
  if (await isFolder(from)) {
    if (to === undefined) throw new UsageError('diff needs two folders, or a git revision and a folder');
    const [before, after] = [await readPolicyFolders(from), await readPolicyFolders(to)];
    const [one, other] = [before[0], after[0]];
    if (before.length === 1 && after.length === 1 && one !== undefined && other !== undefined) {
      return [{ name: other.name, before: one, after: other }];
    }
    return pair(before, after);
  }
  const folders = await foldersOf(to === undefined ? [] : [to]);
  return pair((await readRevision(from, to ?? 'policies')).folders, folders);
}

/** What is served and a folder; or versions, of which the second may be left out for what is served; or one of each. */
async function pairsWithVersions(
  from: string,
  to: string | undefined,
  set: string | undefined,
  versions: PolicyVersions,
): Promise<readonly Pair[]> {
  if (to === undefined && !isVersion(from)) return servedAndFolder(from, set, versions);
  if (to !== undefined && !isVersion(from) && !isVersion(to))
    throw new UsageError('--url and --database have no effect on two folders: name a version, or one folder');
  const [before, after] = [await sideOf(from), to === undefined ? undefined : await sideOf(to)];
  const name = set ?? before?.name ?? after?.name;
  if (name === undefined) throw new UsageError('say which policy set the versions are of: --set');
  return [
    {
      name,
      before: before ?? (await readVersion(versions, name, await fullVersion(versions, name, from))),
      after: after ?? (await afterwards(name)),
    },
  ];

  /** Undefined for a version. */
  function sideOf(text: string): Promise<PolicyFolder> | undefined {
    return isVersion(text) ? undefined : readPolicyFolder(text);
  }

  async function afterwards(name: string): Promise<PolicyFolder> {
    if (to === undefined) return readServed(versions, name);
    return readVersion(versions, name, await fullVersion(versions, name, to));
  }
}

async function servedAndFolder(
  path: string,
  set: string | undefined,
  versions: PolicyVersions,
): Promise<readonly Pair[]> {
  const folders = await readPolicyFolders(path);
  const [only] = folders;
  const isOne = only !== undefined && folders.length === 1 && (set !== undefined || only.path === path);
  const served = await versions.served();
  // A mistyped name must not look like a change without effect.
  if (set !== undefined && !served.has(set) && !folders.some(({ name }) => name === set)) {
    throw new UsageError(`there is no policy set "${set}", neither served nor in ${path}`);
  }
  const wanted = isOne ? [set ?? only.name] : [...served.keys()].filter((name) => set === undefined || name === set);
  const before: PolicyFolder[] = [];
  for (const name of wanted) {
    const version = served.get(name);
    if (version !== undefined) before.push(await readVersion(versions, name, version));
  }
  // What serves in place of a set has its live data.
  const withData = (folder: PolicyFolder) => ({
    ...folder,
    data: before.find(({ name }) => name === folder.name)?.data,
  });
  if (isOne) return pair(before, [withData({ ...only, name: set ?? only.name })]);
  return pair(before, folders.filter(({ name }) => set === undefined || name === set).map(withData));
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

/** A set on one side only: all that it allows is gained or lost. */
function pair(before: readonly PolicyFolder[], after: readonly PolicyFolder[]): readonly Pair[] {
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  return names.map((name) => {
    const [old, now] = [before, after].map((folders) => folders.find((folder) => folder.name === name));
    const nothing: PolicyFolder = { name, path: '', files: [], problems: [] };
    return { name, before: old ?? nothing, after: now ?? nothing };
  });
}
