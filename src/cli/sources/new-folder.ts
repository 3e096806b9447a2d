/** Folders that a command makes, whole or not at all. Existing files are not overwritten. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NamedText } from '../../core/manifest/yaml-document.js';
import { UsageError } from '../exit-code.js';

/**
 * Makes a folder, or takes an empty one, and lets `fill` write into it. When that fails, what was made is removed.
 *
 * @throws UsageError when it cannot be made, or holds something.
 */
export async function fillNewFolder(folder: string, fill: () => Promise<void>): Promise<void> {
  const made = await makeEmptyFolder(folder);
  try {
    await fill();
  } catch (error) {
    // What was there before was an empty folder.
    for (const name of await readdir(folder).catch(() => [])) await rm(join(folder, name), { recursive: true });
    if (made !== undefined) await rm(made, { recursive: true, force: true });
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`${folder} cannot be written: ${code ?? message}`, 'nothing of it was kept');
  }
}

/** The uppermost folder that had to be made; undefined if it was there. */
async function makeEmptyFolder(folder: string): Promise<string | undefined> {
  let made: string | undefined;
  try {
    made = await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length === 0) return made;
  } catch (error) {
    throw new UsageError(`${folder} cannot be made: ${(error as NodeJS.ErrnoException).code}`);
  }
  throw new UsageError(`${folder} is not empty`, 'name a new folder, or remove it first: nothing is overwritten');
}

/** Whether a folder holds these files and nothing else. */
export async function holdsExactly(folder: string, files: readonly NamedText[]): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  if (names.length !== files.length) return false;
  for (const { file, text } of files) {
    const bytes = await readFile(join(folder, file)).catch(() => undefined);
    if (bytes === undefined || !bytes.equals(Buffer.from(text))) return false;
  }
  return true;
}

export async function writeNewFiles(folder: string, files: readonly NamedText[]): Promise<void> {
  for (const { file, text } of files) await writeFile(join(folder, file), text, { flag: 'wx' });
}
