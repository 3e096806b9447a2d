import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';

/**
 * File events of some folders. They are only a hint to look sooner: on network mounts they do not come at all, and a
 * folder that cannot be watched (no more watches, no permission) is not an error, since the store looks by itself too.
 */
export class ChangeSignal {
  private readonly watchers = new Map<string, FSWatcher>();

  constructor(private readonly onChange: () => void) {}

  /** Watches these folders, each without what lies below it, and no others. */
  watch(folders: readonly string[]): void {
    const wanted = new Set(folders.flatMap((folder) => [folder, join(folder, 'tests')]));
    for (const [folder, watcher] of this.watchers) {
      if (wanted.has(folder)) continue;
      watcher.close();
      this.watchers.delete(folder);
    }
    for (const folder of wanted) {
      if (!this.watchers.has(folder)) this.add(folder);
    }
  }

  close(): void {
    this.watch([]);
  }

  private add(folder: string): void {
    const discard = (watcher: FSWatcher) => {
      watcher.close();
      if (this.watchers.get(folder) === watcher) this.watchers.delete(folder);
    };
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        // A folder that was itself moved or deleted reports its own name; its watch would follow it or stay silent.
        if (name === null || folder.endsWith(`/${name}`)) discard(watcher);
        this.onChange();
      });
      watcher.on('error', () => discard(watcher));
      this.watchers.set(folder, watcher);
    } catch {
      // Missing, or cannot be watched: tried again with the next look.
    }
  }
}
