/**
 * Files of a directory, read without leaving it (P10). A link in a policy folder may lead anywhere, also to a private
 * key, and its author can swap it at any moment. So a path is judged by its real path, and a file by what was really
 * opened.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';

/** Whether a real path lies in the directory `root`, a real path too, or is that. */
export function isWithin(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);
}

/**
 * Whether what a path leads to lies within `root`, a real path. A link that leads nowhere is judged by where it points.
 *
 * @throws the system's error when the path cannot be followed and points inside
 */
export async function leadsWithin(root: string, path: string): Promise<boolean> {
  try {
    return isWithin(root, await realpath(path));
  } catch (error) {
    const [target, folder] = await Promise.all([readlink(path), realpath(dirname(path))]).catch(() => []);
    if (target !== undefined && folder !== undefined && !isWithin(root, resolve(folder, target))) return false;
    throw error;
  }
}

/** A file as one look at a directory saw it. */
export interface SeenFile {
  readonly size: number;
  /** `identityOf` its stats. */
  readonly identity: string;
}

/** A text that changes if the file is replaced or written. */
export function identityOf(stats: BigIntStats): string {
  return `${stats.dev} ${stats.ino} ${stats.mode} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
}

/** Reads a file if it is still the one that was seen, within `root`. A file that grew counts as another one. */
export async function readUnchanged(root: string, path: string, seen: SeenFile): Promise<Uint8Array | undefined> {
  // Without O_NONBLOCK, opening a named pipe that took the file's place would wait for its other end.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const opened = await handle.stat({ bigint: true });
    if (identityOf(opened) !== seen.identity || !(await isOpenedWithin(root, handle, path, opened))) return undefined;
    const bytes = new Uint8Array(seen.size);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) return undefined;
      length += bytesRead;
    }
    return identityOf(await handle.stat({ bigint: true })) === seen.identity ? bytes : undefined;
  } finally {
    await handle.close();
  }
}

/**
 * Linux says where the file that was opened lies. Elsewhere the path is followed again and must lead to that file, which
 * a swap in exactly that moment could still deceive.
 */
async function isOpenedWithin(root: string, handle: FileHandle, path: string, opened: BigIntStats): Promise<boolean> {
  const real = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => undefined);
  if (real !== undefined) return isWithin(root, real);
  const followed = await realpath(path);
  if (!isWithin(root, followed)) return false;
  const { dev, ino } = await stat(followed, { bigint: true });
  return dev === opened.dev && ino === opened.ino;
}

/** Largest file beside the policies that is read, in bytes, such as `.git/packed-refs`. */
const mostBytesOfANote = 16 * 1024 * 1024;

/** Reads a plain file of at most 16 MiB. Opening a pipe in its place would wait. */
export async function readNote(path: string): Promise<string> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > mostBytesOfANote) throw new Error(`${path} is not a small file`);
    return (await handle.read(Buffer.alloc(stats.size), 0, stats.size, 0)).buffer.toString('utf8');
  } finally {
    await handle.close();
  }
}
