/** A cache that cannot grow without end: what was not asked for during a whole generation is forgotten. */
export class BoundedCache<Value> {
  private recent = new Map<string, Value>();
  private older = new Map<string, Value>();

  /** `capacity` entries a generation; twice as many at most are held. */
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

  set(key: string, value: Value): void {
    if (this.recent.size >= this.capacity) {
      this.older = this.recent;
      this.recent = new Map();
    }
    this.recent.set(key, value);
  }
}
