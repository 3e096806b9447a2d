/**
 * A bundle: the files of one version of a policy set, with a manifest, as one archive (`bundle-archive.ts`).
 *
 * The manifest is the file `bundle.json` of the archive, JSON with these members in this order, indented by two spaces,
 * with a line feed at its end:
 *
 *     format      1
 *     set         name of the set
 *     revision    its number at the source, from 1 on
 *     version     the set's version, `sha256:…`; computed again by the reader
 *     created     RFC 3339; left out where it is not known. It is never the time of the build, so that the same
 *                 commit gives the same bytes
 *     gitCommit   the commit that the files come from, where that is known
 */
import { webcrypto } from 'node:crypto';
import type { PolicyProblem } from '../../core/problem.js';
import { type PolicyFile, type PolicySetFiles, versionOf } from '../policy-set-files.js';
import { sentSetProblems } from '../set-file-problems.js';
import { defaultSourceLimits, type SourceLimits } from '../source-limits.js';
import { BundleArchiveError, packArchive, readArchive } from './bundle-archive.js';
import { BundleError } from './bundle-error.js';
import { bundleFormat, readDigest, readRevisionNumber, readSetName, readTime, requireFormat } from './bundle-format.js';
import { JsonMembers } from './json-members.js';

const manifestPath = 'bundle.json';
/** Largest manifest in bytes. */
const maxManifestBytes = 4_096;

export interface BundleManifest {
  readonly set: string;
  readonly revision: number;
  readonly version: string;
  readonly created?: string | undefined;
  readonly gitCommit?: string | undefined;
}

export interface OpenedBundle {
  readonly manifest: BundleManifest;
  readonly set: PolicySetFiles;
  /** What is wrong with the files before anything in them is read as a policy; with problems the set is not to be used. */
  readonly problems: readonly PolicyProblem[];
}

/**
 * Packs a set. The same arguments give the same bytes on every machine.
 *
 * @throws BundleError when a file cannot stand in a bundle
 */
export function packBundle(set: PolicySetFiles, about: Omit<BundleManifest, 'set' | 'version'>): Buffer {
  const { revision, created, gitCommit } = about;
  const manifest = { format: bundleFormat, set: set.name, revision, version: versionOf(set.files), created, gitCommit };
  const bytes = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  try {
    return packArchive([...set.files, { path: manifestPath, bytes }]);
  } catch (error) {
    throw archiveInvalid(error, set.name);
  }
}

/**
 * Opens a bundle whose bytes are trusted, since their signature or digest was checked, and whose content is not.
 *
 * @param name what it is called in messages
 * @throws BundleError `bundle_archive_invalid`, `bundle_manifest_invalid`, `bundle_too_large`
 */
export function openBundle(archive: Buffer, name: string, limits: SourceLimits = defaultSourceLimits): OpenedBundle {
  let read: readonly PolicyFile[];
  try {
    read = readArchive(archive, { maxBytes: limits.maxBytes + maxManifestBytes, maxFiles: limits.maxFiles + 1 });
  } catch (error) {
    throw archiveInvalid(error, name);
  }
  const about = read.find(({ path }) => path === manifestPath);
  if (about === undefined) throw manifestInvalid(name, `there is no ${manifestPath}`);
  const files = Object.freeze(read.filter((file) => file !== about));
  const manifest = readManifest(about.bytes, name);
  if (manifest.version !== versionOf(files)) {
    throw manifestInvalid(name, `its files are the version ${versionOf(files)}, not ${manifest.version}`);
  }
  const set = Object.freeze({ name: manifest.set, files });
  return { manifest, set, problems: sentSetProblems(set, limits) };
}

/** Largest archive of a set within these limits, in bytes: each file has a header, and is filled up to a block. */
export function largestArchive({ maxBytes, maxFiles }: SourceLimits): number {
  return maxBytes + maxManifestBytes + (maxFiles + 2) * 1_024;
}

/** The digest of an archive, as the index names it; computed beside the event loop, since archives may be large. */
export async function digestOfArchive(archive: Uint8Array): Promise<string> {
  return `sha256:${Buffer.from(await webcrypto.subtle.digest('SHA-256', archive)).toString('hex')}`;
}

function readManifest(bytes: Uint8Array, name: string): BundleManifest {
  const refuse = (message: string) => manifestInvalid(name, message);
  if (bytes.byteLength > maxManifestBytes) throw refuse(`${manifestPath} has more than ${maxManifestBytes} bytes`);
  const members = JsonMembers.parse(Buffer.from(bytes).toString('utf8'), manifestPath, refuse);
  requireFormat(members, refuse);
  const manifest = {
    set: readSetName(members),
    revision: readRevisionNumber(members),
    version: readDigest(members, 'version'),
    created: members.has('created') ? readTime(members, 'created', refuse) : undefined,
    gitCommit: members.optionalText('gitCommit', /^[0-9a-f]{40}([0-9a-f]{24})?$/, 'the id of a commit'),
  };
  members.end();
  return Object.freeze(manifest);
}

function archiveInvalid(error: unknown, name: string): BundleError {
  if (!(error instanceof BundleArchiveError)) throw error;
  const isSize = error.code === 'archive-too-large' || error.code === 'archive-too-many-files';
  const code = isSize ? 'bundle_too_large' : 'bundle_archive_invalid';
  return new BundleError(code, `the archive of ${name} is refused: ${error.message}`);
}

function manifestInvalid(name: string, message: string): BundleError {
  return new BundleError('bundle_manifest_invalid', `the manifest of ${name} is refused: ${message}`);
}
