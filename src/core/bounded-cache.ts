/** A cache that cannot grow without end: what was not asked for during a whole generation is forgotten. */
export class BoundedCache<Value> {
  private recent = new Map<string, Value>();
  private older = new Map<string, Value>();
  private size = 0;

  /** Entries of that size together make a generation; twice as much at most is held, beside the largest one. */
  constructor(private readonly capacity: number) {}

  getOrMake(key: string, make: () => Value): Value {
    const found = this.recent.get(key);
    if (found !== undefined) return found;
    const value = this.older.get(key) ?? make();
    this.set(key, value);
    return value;
  }

  get(key: string): Value | undefined {
    return this.recent.get(key) ?? this.older.get(key);
  }

  /** An entry is of size 1 where its value is no list. */
  set(key: string, value: Value, size = 1): void {
    if (this.size >= this.capacity) {
      this.older = this.recent;
      this.recent = new Map();
      this.size = 0;
    }
    if (!this.recent.has(key)) this.size += size;
    this.recent.set(key, value);
  }
}
