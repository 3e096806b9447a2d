import { setTimeout as delay } from 'node:timers/promises';
import { PolicyDirectory } from '../../policy-store/directory/policy-directory.js';

/** Milliseconds between two looks. Polling also works where no file events arrive. */
const intervalMs = 250;

/** Yields at once, and whenever what the paths hold has changed since then and is at rest again; ends with the process. */
export async function* watchFolders(paths: readonly string[]): AsyncGenerator<void> {
  const look = async () => (await Promise.all(paths.map(fingerprintOf))).join('\n');
  let known = await look();
  let before = known;
  yield;
  for (;;) {
    await delay(intervalMs);
    const now = await look();
    if (now === before && now !== known) {
      known = now;
      yield;
    }
    before = now;
  }
}

async function fingerprintOf(path: string): Promise<string> {
  const scan = await new PolicyDirectory(path).scan();
  if (!scan.readable) return scan.problem.code;
  return [...scan.folders.values()].map(({ name, fingerprint }) => `${name}\n${fingerprint}`).join('\n');
}
