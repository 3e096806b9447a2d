import { setTimeout as delay } from 'node:timers/promises';
import { ChangeSignal } from '../../policy-store/directory/change-signal.js';
import { PolicyDirectory } from '../../policy-store/directory/policy-directory.js';

/** Milliseconds between two looks where no file event arrives, as on network mounts. */
const intervalMs = 250;
/** Milliseconds after an event until the second look, which must find the same. */
const settleMs = 50;

/** Yields at once, and whenever what the paths hold has changed since then and is at rest again; ends with the process. */
export async function* watchFolders(paths: readonly string[]): AsyncGenerator<void> {
  let wake = (): void => undefined;
  const signal = new ChangeSignal(() => wake());
  const look = async () => {
    const looks = await Promise.all(paths.map(lookAt));
    signal.watch(looks.flatMap(({ folders }) => folders));
    return looks.map(({ fingerprint }) => fingerprint).join('\n');
  };
  try {
    let known = await look();
    let before = known;
    yield;
    for (;;) {
      // What changed between two looks is looked at once more, soon.
      const event = new AbortController();
      wake = () => event.abort();
      if (before === known) await delay(intervalMs, undefined, { signal: event.signal }).catch(() => undefined);
      else await delay(settleMs);
      const now = await look();
      if (now === before && now !== known) {
        known = now;
        yield;
      }
      before = now;
    }
  } finally {
    signal.close();
  }
}

async function lookAt(path: string): Promise<{ readonly fingerprint: string; readonly folders: readonly string[] }> {
  const scan = await new PolicyDirectory(path).scan();
  if (!scan.readable) return { fingerprint: scan.problem.code, folders: [] };
  const folders = [...scan.folders.values()];
  return {
    fingerprint: folders.map(({ name, fingerprint }) => `${name}\n${fingerprint}`).join('\n'),
    folders: [path, ...folders.map((folder) => folder.path)],
  };
}
