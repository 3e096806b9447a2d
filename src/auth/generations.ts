/**
 * Most entries in one generation. With more, a generation ends early and forgets entries that still count. Memory stays
 * bounded, and a client with 65,536 addresses has that many limits anyway.
 */
const generationEntries = 65_536;

/**
 * Entries by key that are forgotten when they were not asked for during a time. They are kept in two generations, the older
 * of which is dropped whole: no timers, no sweep.
 */
export class Generations<Entry> {
  private young = new Map<string, Entry>();
  private old = new Map<string, Entry>();
  private turnsOldAt = Number.NEGATIVE_INFINITY;

  /** @param keepMs least time that an entry is kept after it was asked for, in milliseconds */
  constructor(private readonly keepMs: number) {}

  /** @param now milliseconds of a clock that never goes back */
  find(key: string, now: number): Entry | undefined {
    if (now >= this.turnsOldAt || this.young.size >= generationEntries) {
      this.old = this.young;
      this.young = new Map();
      this.turnsOldAt = now + this.keepMs;
    }
    const young = this.young.get(key);
    if (young !== undefined) return young;
    const old = this.old.get(key);
    if (old !== undefined) this.young.set(key, old);
    return old;
  }

  add(key: string, entry: Entry): void {
    this.young.set(key, entry);
  }

  /** The entry, whose time does not begin anew. */
  peek(key: string): Entry | undefined {
    return this.young.get(key) ?? this.old.get(key);
  }
}
