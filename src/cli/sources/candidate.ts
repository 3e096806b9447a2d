/** A policy set that does not serve yet: a folder, a bundle, a git revision, or a version that has served. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { openBundle } from '../../policy-store/bundle/bundle.js';
import { BundleError } from '../../policy-store/bundle/bundle-error.js';
import { UsageError } from '../exit-code.js';
import { readRevision } from './git-folder.js';
import { type PolicyFolder, readPolicyFolders } from './policy-folder.js';
import { fullVersion, isVersion, type PolicyVersions, readVersion } from './policy-versions.js';
import { readArchiveFile } from './read-archive-file.js';

/**
 * What `<candidate> [path]` stands for: `policies/invoices`, `invoices.bundle`, `main policies`, `sha256:1f09…`.
 *
 * @param policySet the set that is meant; by default the only one there
 * @param openVersions where versions are; undefined where nothing says so
 * @throws UsageError when there is no such set, or several
 */
export async function readCandidate(
  candidate: string,
  path: string | undefined,
  policySet: string | undefined,
  openVersions: (() => Promise<PolicyVersions>) | undefined,
): Promise<PolicyFolder> {
  const only = (what: string): void => {
    if (path !== undefined) throw new UsageError(`${what} is a candidate by itself: ${path} goes with a git revision`);
  };
  if (isVersion(candidate)) {
    only(candidate);
    if (openVersions === undefined)
      throw new UsageError(`where is ${candidate} from?`, '--database or --url says which service served it');
    if (policySet === undefined) throw new UsageError('say which policy set the version is of: --policy-set');
    const versions = await openVersions();
    try {
      return await readVersion(versions, policySet, await fullVersion(versions, policySet, candidate));
    } finally {
      await versions.close();
    }
  }
  const found = await stat(candidate).catch(() => undefined);
  if (found?.isDirectory() === true) {
    only(candidate);
    return choose(await readPolicyFolders(candidate), policySet, candidate, true);
  }
  if (found !== undefined) {
    only(candidate);
    return choose([await readBundle(candidate)], policySet, candidate, false);
  }
  if (candidate.includes('..')) {
    throw new UsageError(`${candidate} is no candidate`, 'a folder, a bundle, a version, or one git revision');
  }
  const { folders } = await readRevision(candidate, path ?? 'policies').catch((error: unknown) => {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`there is no folder, bundle or git revision ${candidate}: ${error.message}`, error.hint);
  });
  return choose(folders, policySet, path ?? 'policies', true);
}

/**
 * A folder that is a set may have another name than the set: it is the one that was asked for. One that only holds it, and a
 * bundle, say by the name which set it is: another one must not answer in its place.
 */
function choose(
  folders: readonly PolicyFolder[],
  policySet: string | undefined,
  path: string,
  isFolder: boolean,
): PolicyFolder {
  const [only] = folders;
  if (only !== undefined && folders.length === 1) {
    const isSetItself = isFolder && resolve(only.path) === resolve(path);
    if (policySet === undefined || policySet === only.name) return only;
    if (isSetItself) return { ...only, name: policySet };
  }
  const found = folders.find(({ name }) => name === policySet);
  if (found !== undefined) return found;
  const names = folders.map(({ name }) => name).join(', ');
  if (policySet === undefined)
    throw new UsageError(`${path} holds ${folders.length} policy sets`, `--policy-set says which: ${names}`);
  throw new UsageError(`${path} holds no policy set "${policySet}"`, `there are ${names}`);
}

async function readBundle(path: string): Promise<PolicyFolder> {
  const archive = await readArchiveFile(path);
  try {
    const { set, problems } = openBundle(archive, path);
    return { name: set.name, path, files: set.files, problems };
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw new UsageError(
      `${path} is no candidate: ${error.message}`,
      'a folder, a bundle, a version, or a git revision',
    );
  }
}
