import type { LoadedPolicySet } from '../load-policy-set.js';
import type { Copied, SpoolCopy } from '../spool-copy.js';
import type { CopiedData } from './data-copy.js';
import type { DataSnapshot } from './live-data-store.js';

/** Pause between two looks at what is to be copied, in milliseconds. */
const copyMs = 1_000;
/** Copies take a fiftieth of the time at most: those of a million entries come some minutes apart. */
const copyShare = 50;
/** While changes have been known for longer than this, in milliseconds, the copy is not confirmed. */
const freshMs = 3_000;

/** Keeps a copy of the live data that serve, for a start while the database is away. */
export class DataCopying {
  private timer: NodeJS.Timeout | undefined;
  private copying: Promise<void> | undefined;
  /** By the monotonic clock: before then nothing is copied. */
  private nextCopy = 0;
  /** What serves and is not copied yet. */
  private readonly uncopied = new Map<string, CopiedData>();
  /** Sets that serve live data. */
  private readonly serving = new Set<string>();
  /** What was there at the start. */
  private copied: Promise<Copied<CopiedData> | undefined> | undefined;

  constructor(private readonly copy: SpoolCopy<CopiedData>) {}

  /** @param ageOf says how long ago all changes of live data were known, in milliseconds */
  start(ageOf: () => number): void {
    this.timer = setInterval(() => this.copySoon(ageOf), copyMs).unref();
  }

  /** Resolves when nothing is being copied; what was not copied yet is copied now. */
  async stop(ageMs: number): Promise<void> {
    clearInterval(this.timer);
    await this.copying;
    if (this.uncopied.size > 0) await this.copyNow(ageMs);
  }

  /** Notes what serves of a set, to be copied. */
  noteServed(name: string, { served, data: revisions }: LoadedPolicySet): void {
    const { data } = served.compiled;
    if (data === undefined || revisions === undefined) {
      this.noteGone(name);
      return;
    }
    this.serving.add(name);
    this.uncopied.set(name, { name, revisions, roles: () => data.roles(), entities: () => data.entities() });
  }

  /** Notes that a set serves no live data any more. */
  noteGone(name: string): void {
    this.serving.delete(name);
    this.uncopied.delete(name);
  }

  /** The live data of a set in the copy that was there at the start, and its time; undefined without one. */
  async read(name: string): Promise<{ readonly snapshot: DataSnapshot; readonly confirmed: number } | undefined> {
    this.copied ??= this.copy.read(Date.now());
    const copied = await this.copied;
    const content = copied?.sets.find((set) => set.name === name)?.content;
    if (copied === undefined || content === undefined) return undefined;
    const { revisions, roles, entities } = content;
    return { snapshot: { revisions, roles: [...roles()], entities: [...entities()] }, confirmed: copied.confirmed };
  }

  private copySoon(ageOf: () => number): void {
    if (this.copying !== undefined || performance.now() < this.nextCopy) return;
    this.copying = this.copyNow(ageOf()).finally(() => {
      this.copying = undefined;
    });
  }

  /** Copies what is not copied yet; where all is, the copy is as old as what is known of changes. Does not throw. */
  private async copyNow(ageMs: number): Promise<void> {
    if (ageMs > freshMs) return;
    const began = performance.now();
    const known = Date.now() - ageMs;
    const [contents, names] = [[...this.uncopied.values()], [...this.serving].sort()];
    const kept = await this.copy.keep(contents);
    for (const content of kept) {
      if (this.uncopied.get(content.name) === content) this.uncopied.delete(content.name);
    }
    // What has changed while it was copied is newer than what is confirmed here, and waits for the next round.
    if (kept.length === contents.length) await this.copy.confirm(names, known);
    const took = performance.now() - began;
    this.nextCopy = performance.now() + copyShare * took;
  }
}
