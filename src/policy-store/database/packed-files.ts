import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { sha256 } from '../../digest/sha-256.js';
import { packArchive, readArchive } from '../bundle/bundle-archive.js';
import type { PolicySetFiles } from '../policy-set-files.js';
import { defaultSourceLimits } from '../source-limits.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Room that an archive takes beside the files themselves, in bytes a file: a header, and what fills up a block. */
const roomBesideFile = 1_024;

/** The files of a set as the database keeps them: one archive, compressed. */
export interface PackedFiles {
  readonly content: Buffer;
  /** SHA-256 of the archive before it is compressed, in hexadecimal: the same files, tests included, have the same. */
  readonly digest: string;
}

/** @throws BundleArchiveError when a path cannot stand in an archive */
export async function packFiles({ files }: PolicySetFiles): Promise<PackedFiles> {
  const archive = packArchive(files);
  return { content: await compress(archive), digest: sha256([archive]) };
}

/** @throws Error when the content is not what `packFiles` made */
export async function unpackFiles(name: string, content: Buffer): Promise<PolicySetFiles> {
  const { maxBytes, maxFiles } = defaultSourceLimits;
  const archive = await decompress(content, { maxOutputLength: maxBytes + (maxFiles + 1) * roomBesideFile });
  return Object.freeze({ name, files: Object.freeze(readArchive(archive, defaultSourceLimits)) });
}
