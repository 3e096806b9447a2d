import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
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

/**
 * Writes the files of a report into a folder, over those of an earlier one. Other files stay.
 *
 * @param isOwn whether a file that is there is one of an earlier report
 * @throws UsageError for a folder that cannot be written, and where something else has the name of one of the files: nothing is written then
 */
export async function writeReport(
  folder: string,
  files: readonly { readonly path: string; readonly text: string }[],
  isOwn: (path: string, text: string) => boolean,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    for (const { path } of files) {
      const known = await readFile(join(folder, path), 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (known !== undefined && !isOwn(path, known))
        throw new UsageError(`${join(folder, path)} is not of an earlier report`, 'name another folder, or remove it');
    }
    for (const { path, text } of files) await writeFile(join(folder, path), text);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${folder} cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}
