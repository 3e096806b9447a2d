import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { identityOf, isWithin } from '../directory/contained-files.js';
import { BundleError } from './bundle-error.js';
import type { FetchedFile, GetOptions, PutCondition } from './bundle-transport.js';
import { BundleTransport } from './bundle-transport.js';
import { changedMeanwhile, tooLarge } from './http-exchange.js';

/** Age in milliseconds from which a lock is left over: one is held for a look at a file and its renaming. */
const staleLockMs = 30_000;
/** Longest wait for a lock, in milliseconds; longer than `staleLockMs`. */
const maxLockWaitMs = 40_000;
/** Time between two tries to take a lock, in milliseconds. */
const lockPollMs = 10;

/** Bundles in a folder. The identity of a file (inode, size, times) is its ETag. */
export class FileTransport extends BundleTransport {
  readonly place: string;

  constructor(private readonly folder: string) {
    super();
    this.place = folder;
  }

  async get(path: string, { maxBytes, etag }: GetOptions): Promise<FetchedFile | 'unchanged'> {
    const at = join(this.folder, path);
    try {
      // A link may lead to another file of the folder, and the folder may be one, but nothing else is read.
      const real = await realpath(at);
      if (!isWithin(await realpath(this.folder), real))
        throw unreadable(at, 'it is a link that leads out of the folder');
      // Opening a pipe in the place of the file would wait for its other end.
      const handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      try {
        const stats = await handle.stat({ bigint: true });
        const identity = identityOf(stats);
        if (!stats.isFile()) throw unreadable(at, 'it is not a file');
        if (identity === etag) return 'unchanged';
        if (stats.size > maxBytes) throw tooLarge(at, maxBytes);
        const bytes = Buffer.alloc(Number(stats.size));
        let length = 0;
        while (length < bytes.length) {
          const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
          if (bytesRead === 0) break;
          length += bytesRead;
        }
        if (length < bytes.length || identityOf(await handle.stat({ bigint: true })) !== identity) {
          throw unreadable(at, 'it changed while it was read');
        }
        return { bytes, etag: identity };
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw asBundleError(error, at);
    }
  }

  async put(path: string, bytes: Uint8Array, condition?: PutCondition): Promise<void> {
    const at = join(this.folder, path);
    const draft = join(dirname(at), `.${randomUUID()}`);
    try {
      await mkdir(dirname(at), { recursive: true });
      await writeFile(draft, bytes, { flag: 'wx', flush: true });
      if (condition === undefined) await rename(draft, at);
      else await holding(join(dirname(at), `.${basename(at)}.lock`), () => this.replace(at, draft, condition));
    } catch (error) {
      await rm(draft, { force: true });
      throw asBundleError(error, at);
    }
  }

  private async replace(at: string, draft: string, condition: PutCondition): Promise<void> {
    const began = performance.now();
    const wanted = condition === 'absent' ? undefined : condition.etag;
    if ((await this.etagOf(at)) !== wanted) throw changedMeanwhile(at);
    // A process that was stopped meanwhile holds no lock any more.
    if (performance.now() - began > staleLockMs / 2) throw changedMeanwhile(at);
    await rename(draft, at);
  }

  /** Undefined when the file is not there. */
  private async etagOf(at: string): Promise<string | undefined> {
    const handle = await open(at, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY).catch((error) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    try {
      return handle === undefined ? undefined : identityOf(await handle.stat({ bigint: true }));
    } finally {
      await handle?.close();
    }
  }
}

/**
 * Does work while no other process holds the lock, which is a file: two that compare and replace a file at the same moment
 * would both find it as they know it. A lock older than `staleLockMs` is of a process that was killed, and goes.
 */
async function holding(lock: string, work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + maxLockWaitMs;
  while (!(await takeLock(lock))) {
    if (await isStale(lock)) await breakStale(lock);
    if (performance.now() > deadline) {
      const hint = `remove it, and ${basename(guardOf(lock))} if it is there, if nobody publishes now`;
      throw new BundleError('bundle_unreachable', `${lock} does not go away`, { hint });
    }
    await setTimeout(lockPollMs);
  }
  const taken = performance.now();
  try {
    await work();
  } finally {
    // After a pause as long as that another process may hold it.
    if (performance.now() - taken < staleLockMs) await rm(lock, { force: true });
  }
}

/**
 * Removes a lock that is stale, while no other process does: of two that found it so, the second would remove the lock that
 * the first one has made since. A guard is held for one look; one that a killed process left is for people to remove.
 */
async function breakStale(lock: string): Promise<void> {
  const guard = guardOf(lock);
  if (!(await takeLock(guard))) return;
  try {
    if (await isStale(lock)) await rm(lock, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

async function isStale(lock: string): Promise<boolean> {
  const stats = await stat(lock).catch(() => undefined);
  return stats !== undefined && Date.now() - stats.mtimeMs > staleLockMs;
}

function guardOf(lock: string): string {
  return `${lock}.stale`;
}

/** Makes the lock; false where it is there. */
async function takeLock(lock: string): Promise<boolean> {
  try {
    await (await open(lock, 'wx')).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function unreadable(at: string, reason: string): BundleError {
  return new BundleError('bundle_unreachable', `${at} cannot be read: ${reason}`);
}

function asBundleError(error: unknown, at: string): BundleError {
  if (error instanceof BundleError) return error;
  const { code = (error as Error).message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new BundleError('bundle_missing', `there is no ${at}`);
  const isDenied = code === 'EACCES' || code === 'EPERM';
  return new BundleError(isDenied ? 'bundle_access_denied' : 'bundle_unreachable', `${at}: ${code}`, { cause: error });
}
