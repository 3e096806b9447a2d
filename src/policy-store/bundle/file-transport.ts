import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { identityOf, isWithin } from '../directory/contained-files.js';
import { BundleError } from './bundle-error.js';
import type { FetchedFile, GetOptions, PutCondition } from './bundle-transport.js';
import { BundleTransport } from './bundle-transport.js';
import { changedMeanwhile, tooLarge } from './http-exchange.js';

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
      if (
        condition !== undefined &&
        (await this.etagOf(at)) !== (condition === 'absent' ? undefined : condition.etag)
      ) {
        throw changedMeanwhile(at);
      }
      await rename(draft, at);
    } catch (error) {
      await rm(draft, { force: true });
      throw asBundleError(error, at);
    }
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
