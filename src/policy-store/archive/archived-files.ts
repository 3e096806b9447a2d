import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { isVersioned, type PolicyFile, type PolicySetFiles, versionOf } from '../policy-set-files.js';
import type { ArchivedFile } from './archived-version.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** The files of a set that a version consists of, as an archive lists them, each with its content. */
export function archivedFilesOf(set: PolicySetFiles): (ArchivedFile & { readonly bytes: Uint8Array })[] {
  return set.files
    .filter(({ path }) => isVersioned(path))
    .map(({ path, bytes }) => ({ path, digest: digestOfFile(bytes), size: bytes.byteLength, bytes }));
}

/** The content of a file as an archive stores it. */
export function packFile(bytes: Uint8Array): Promise<Buffer> {
  return compress(bytes);
}

/** What is kept of a version is not what it was: nothing that it was asked for will ever be had of it. */
export class DamagedVersion extends Error {}

/**
 * Reads the files of a version.
 *
 * @param contentOf the stored content of a digest; undefined when it is not there
 * @throws DamagedVersion when what is stored is not what the version says
 */
export async function unpackVersion(
  name: string,
  version: string,
  files: readonly ArchivedFile[],
  contentOf: (digest: string) => Promise<Buffer | undefined>,
): Promise<PolicySetFiles> {
  const unpacked: PolicyFile[] = [];
  for (const file of files) unpacked.push({ path: file.path, bytes: await unpack(file, contentOf) });
  if (versionOf(unpacked) !== version)
    throw new DamagedVersion(`the archive's content of ${name} ${version} is damaged`);
  return Object.freeze({ name, files: Object.freeze(unpacked) });
}

/**
 * Reads one file of a version; undefined when the version has no such file.
 *
 * @throws as `unpackVersion` does
 */
export async function unpackFile(
  name: string,
  version: string,
  path: string,
  files: readonly ArchivedFile[],
  contentOf: (digest: string) => Promise<Buffer | undefined>,
): Promise<Uint8Array | undefined> {
  const file = files.find((candidate) => candidate.path === path);
  if (file === undefined) return undefined;
  const bytes = await unpack(file, contentOf);
  if (digestOfFile(bytes) !== file.digest) {
    throw new Error(`the archive's content of ${path} of ${name} ${version} is damaged`);
  }
  return bytes;
}

async function unpack(
  { path, digest }: ArchivedFile,
  contentOf: (digest: string) => Promise<Buffer | undefined>,
): Promise<Uint8Array> {
  const content = await contentOf(digest);
  if (content === undefined) throw new DamagedVersion(`the archive has no content for ${path}, ${digest}`);
  try {
    return await decompress(content);
  } catch (cause) {
    throw new DamagedVersion(`the archive's content for ${path}, ${digest} is damaged`, { cause });
  }
}

function digestOfFile(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
