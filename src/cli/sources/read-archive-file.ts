import { readFile } from 'node:fs/promises';
import { UsageError } from '../exit-code.js';

/** @throws UsageError when it cannot be read */
export async function readArchiveFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}
