import { setTimeout as delay } from 'node:timers/promises';
import { DirectorySource } from '../policy-store/directory-source.js';
import type { PolicyFolder } from './policy-folder.js';

/** Between two looks, in milliseconds. Looking is enough, and works where file events do not come. */
const INTERVAL_MS = 250;

/** Yields whenever the folders have changed and are at rest again; ends with the process. */
export async function* watchFolders(folders: readonly PolicyFolder[]): AsyncGenerator<void> {
  const look = async () => (await Promise.all(folders.map(({ path }) => fingerprintOf(path)))).join('\n');
  let known = await look();
  let before = known;
  for (;;) {
    await delay(INTERVAL_MS);
    const now = await look();
    if (now === before && now !== known) {
      known = now;
      yield;
    }
    before = now;
  }
}

async function fingerprintOf(path: string): Promise<string> {
  const scan = await new DirectorySource(path).scan();
  if (!scan.readable) return scan.problem.code;
  return [...scan.folders.values()].map(({ name, fingerprint }) => `${name}\n${fingerprint}`).join('\n');
}
