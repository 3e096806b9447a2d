import { randomUUID } from 'node:crypto';
import { chmod, mkdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../exit-code.js';

/**
 * Puts a new text in the place of a file's, whole or not at all: a service that watches the folder never reads half of it.
 * A link stays a link, the mode stays the mode.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const target = await realpath(path);
  const { mode } = await stat(target);
  // A name that begins with a dot is not part of a policy set.
  const draft = join(dirname(target), `.${basename(target)}.${randomUUID()}`);
  try {
    await writeFile(draft, text, { flag: 'wx' });
    await chmod(draft, mode);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Writes the files of a report into a folder, over those of an earlier one. Other files stay. */
export async function writeReport(
  folder: string,
  files: readonly { readonly path: string; readonly text: string }[],
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    for (const { path, text } of files) await writeFile(join(folder, path), text);
  } catch (error) {
    throw new UsageError(`${folder} cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}
