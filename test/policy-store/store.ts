import { afterEach } from 'vitest';
import type { PolicyArchive } from '../../src/policy-store/archive/policy-archive.js';
import { SqlitePolicyArchive } from '../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { DirectorySource, type DirectorySourceOptions } from '../../src/policy-store/directory/directory-source.js';
import type { PolicySetStatus } from '../../src/policy-store/policy-set-status.js';
import { PolicyStore } from '../../src/policy-store/policy-store.js';
import type { LoadEvent, PolicyStoreOptions } from '../../src/policy-store/policy-store-options.js';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly details: object;
}

export interface TestStore {
  readonly store: PolicyStore;
  readonly log: readonly LogLine[];
  readonly events: readonly LoadEvent[];
}

const running: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const started of running.splice(0).reverse()) await started.stop();
});

type TestStoreOptions = Partial<PolicyStoreOptions & DirectorySourceOptions>;

/** A store that looks often and settles soon; it is stopped after the test. */
export function newStore(directory: string, options: TestStoreOptions = {}): TestStore {
  const log: LogLine[] = [];
  const events: LoadEvent[] = [];
  const write = (level: string) => (details: object, message: string) => void log.push({ level, message, details });
  const onDefect = (error: unknown) => write('error')({ err: error }, 'a defect of the source');
  const store = new PolicyStore({
    source: new DirectorySource({ directory, pollMs: 50, settleMs: 20, onDefect, ...options }),
    log: { info: write('info'), warn: write('warn'), error: write('error') },
    onLoad: (event) => events.push(event),
    ...options,
  });
  running.push(store);
  return { store, log, events };
}

export async function startedStore(directory: string, options: TestStoreOptions = {}): Promise<TestStore> {
  const made = newStore(directory, options);
  await made.store.start();
  return made;
}

export async function openArchive(path: string): Promise<PolicyArchive> {
  const archive = await SqlitePolicyArchive.open(path);
  running.push({ stop: () => archive.close() });
  return archive;
}

/** Waits until something holds, looking often; fails with what was seen last. */
export async function until<T>(see: () => T, holds: (seen: T) => boolean, withinMs = 5_000): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const seen = see();
    if (holds(seen)) return seen;
    if (performance.now() > end) throw new Error(`still ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a status says, in short: `acl active`, `acl stale [rules.csv:1 unknown_ptype]`. */
export function brief(status: PolicySetStatus): string {
  const problems = status.problems.map(({ file, line, code }) => `${file}:${line} ${code}`);
  return `${status.name} ${status.state}${problems.length > 0 ? ` [${problems.join(', ')}]` : ''}`;
}
