/** A cache with a bound. Entries that were not read during a whole generation are forgotten. */
export class BoundedCache<Value> {
  private recent = new Map<string, Value>();
  private older = new Map<string, Value>();
  private size = 0;

  /** `capacity` is the size of one generation. The cache holds two generations at most, and the largest entry. */
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

  /** Keeps a value; `size` counts towards the capacity. */
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
