import { open, rename, rm } from 'node:fs/promises';

/**
 * Replaces a file as a whole: a reader, also after a power loss, finds the old content or the new one. The file is
 * its owner's alone.
 *
 * @throws the file system's error; the old content is there still
 */
export async function replacePrivateFile(path: string, content: Uint8Array): Promise<void> {
  const next = `${path}.new`;
  // One that a process left behind when it was killed may have other rights.
  await rm(next, { force: true });
  const file = await open(next, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
}
