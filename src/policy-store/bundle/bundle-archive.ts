/**
 * The archive of a bundle: the files of one policy set as one sequence of bytes, which a signature can cover.
 *
 * It is a POSIX ustar file, so `tar -tf` lists it and `tar -xf` unpacks it, in exactly one form: the same files give
 * the same bytes on every machine. Per file, in the order of the paths by code unit:
 *
 *     header, 512 bytes    name (100), mode `0000644`, uid and gid `0000000`, size in 11 octal digits, mtime 0,
 *                          checksum, type `0` (a plain file), magic `ustar`, version `00`; all else is zero
 *     content              its bytes, filled up with zeros to a multiple of 512
 *
 * Two blocks of zeros end it, and nothing follows them. It is not compressed: what deflate writes depends on the build
 * of zlib and on the processor, and an archive that cannot be inflated cannot be a decompression bomb either.
 *
 * A reader accepts this form alone. So links, devices, extended headers and other modes are refused by one comparison.
 */
import type { PolicyFile } from '../policy-set-files.js';

const blockSize = 512;
const endSize = 2 * blockSize;
/** Longest path, in bytes of UTF-8: what the name field of a header holds. */
const longestPath = 100;
/** Largest size of a file that 11 octal digits hold, in bytes. */
const largestSize = 8 ** 11 - 1;

export interface ArchiveLimits {
  /** Most bytes of all files together, without headers. */
  readonly maxBytes: number;
  readonly maxFiles: number;
}

export type ArchiveProblem =
  | 'archive-truncated'
  | 'archive-not-canonical'
  | 'archive-kind'
  | 'archive-path'
  | 'archive-order'
  | 'archive-too-large'
  | 'archive-too-many-files';

/** Why an archive is refused. `path` is the file at fault, as far as its name could be read. */
export class BundleArchiveError extends Error {
  constructor(
    readonly code: ArchiveProblem,
    message: string,
    readonly path?: string,
  ) {
    super(message);
  }
}

/**
 * Packs files in the order of their paths.
 *
 * @throws BundleArchiveError when a path cannot stand in an archive or stands in it twice
 */
export function packArchive(files: readonly PolicyFile[]): Buffer {
  const parts: Uint8Array[] = [];
  let previous: string | undefined;
  for (const { path, bytes } of files.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))) {
    checkPath(path, previous);
    previous = path;
    if (bytes.byteLength > largestSize) throw tooLarge(path, largestSize);
    parts.push(headerOf(path, bytes.byteLength), bytes, new Uint8Array(paddingOf(bytes.byteLength)));
  }
  return Buffer.concat([...parts, new Uint8Array(endSize)]);
}

/**
 * Reads the files of an archive, each a view of `archive`.
 *
 * @throws BundleArchiveError at the first thing that `packArchive` would not have written, or beyond the limits
 */
export function readArchive(archive: Buffer, limits: ArchiveLimits): readonly PolicyFile[] {
  const files: PolicyFile[] = [];
  let total = 0;
  let at = 0;
  let previous: string | undefined;
  for (;;) {
    const header = archive.subarray(at, at + blockSize);
    if (header.length < blockSize) throw truncated(previous);
    if (header[0] === 0) break;
    const path = pathOf(header);
    checkPath(path, previous);
    if (header[156] !== 0x30) throw new BundleArchiveError('archive-kind', `${path} is not a plain file`, path);
    const size = sizeOf(header);
    if (size === undefined || !header.equals(headerOf(path, size))) {
      throw new BundleArchiveError('archive-not-canonical', `the header of ${path} is not in the one form`, path);
    }
    if (files.length === limits.maxFiles) {
      throw new BundleArchiveError('archive-too-many-files', `it has more than ${limits.maxFiles} files`, path);
    }
    total += size;
    if (total > limits.maxBytes) throw tooLarge(path, limits.maxBytes);
    const start = at + blockSize;
    at = start + size + paddingOf(size);
    if (at > archive.length) throw truncated(path);
    requireZeros(archive.subarray(start + size, at), path);
    files.push({ path, bytes: archive.subarray(start, start + size) });
    previous = path;
  }
  if (archive.length - at < endSize) throw truncated(previous);
  requireZeros(archive.subarray(at, at + endSize), previous);
  if (archive.length - at > endSize) {
    throw new BundleArchiveError('archive-not-canonical', 'bytes follow the end of the archive');
  }
  return files;
}

function headerOf(path: string, size: number): Buffer {
  const header = Buffer.alloc(blockSize);
  header.write(path, 0, 'utf8');
  header.write('0000644', 100, 'latin1');
  header.write('0000000', 108, 'latin1');
  header.write('0000000', 116, 'latin1');
  header.write(size.toString(8).padStart(11, '0'), 124, 'latin1');
  header.write('00000000000', 136, 'latin1');
  // POSIX: the checksum is the sum of the header's bytes with its own field taken as eight spaces.
  header.fill(' ', 148, 156);
  header.write('0', 156, 'latin1');
  header.write('ustar', 257, 'latin1');
  header.write('00', 263, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function pathOf(header: Buffer): string {
  const end = header.indexOf(0);
  return header.toString('utf8', 0, end === -1 ? longestPath : Math.min(end, longestPath));
}

function sizeOf(header: Buffer): number | undefined {
  const digits = header.toString('latin1', 124, 135);
  return /^[0-7]{11}$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

/** Refuses a path that could lead out of a set's folder, or mean another file on another system. */
function checkPath(path: string, previous: string | undefined): void {
  const refuse = (reason: string) =>
    new BundleArchiveError('archive-path', `the path ${JSON.stringify(path)} ${reason}`, path);
  if (Buffer.byteLength(path) > longestPath) throw refuse(`is longer than ${longestPath} bytes`);
  if (/[\p{Cs}\ufffd]/u.test(path)) throw refuse('is not UTF-8');
  if (/[\p{Cc}\\:]/u.test(path)) throw refuse('has a control character, a backslash or a colon');
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw refuse('is absolute, or has an empty part, `.` or `..`');
  }
  if (previous === undefined || path > previous) return;
  const message = path === previous ? `${path} stands twice` : `${path} stands after ${previous}`;
  throw new BundleArchiveError('archive-order', message, path);
}

function requireZeros(bytes: Buffer, path: string | undefined): void {
  if (bytes.every((byte) => byte === 0)) return;
  throw new BundleArchiveError('archive-not-canonical', 'what fills up a block is not zero', path);
}

function paddingOf(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

function truncated(path: string | undefined): BundleArchiveError {
  return new BundleArchiveError('archive-truncated', 'the archive ends before its end', path);
}

function tooLarge(path: string, most: number): BundleArchiveError {
  return new BundleArchiveError('archive-too-large', `with ${path} the files have more than ${most} bytes`, path);
}
