/** Reads the members of a JSON object that came from elsewhere, and refuses what is not as it should be. */
export class JsonMembers {
  private readonly members: ReadonlyMap<string, unknown>;
  private readonly read = new Set<string>();

  /**
   * @param what the object in messages: `the index`
   * @param refuse makes the error of a message
   */
  constructor(
    value: unknown,
    private readonly what: string,
    private readonly refuse: (message: string) => Error,
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(`${what} is not an object`);
    this.members = new Map(Object.entries(value));
  }

  /** @throws the error of `refuse` for text that is not JSON of an object */
  static parse(text: string, what: string, refuse: (message: string) => Error): JsonMembers {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw refuse(`${what} is not JSON`);
    }
    return new JsonMembers(value, what, refuse);
  }

  has(name: string): boolean {
    return this.members.has(name);
  }

  text(name: string, format: RegExp, expected: string): string {
    const value = this.take(name);
    if (typeof value === 'string' && format.test(value)) return value;
    throw this.refuse(`${name} of ${this.what} is not ${expected}`);
  }

  optionalText(name: string, format: RegExp, expected: string): string | undefined {
    return this.has(name) ? this.text(name, format, expected) : undefined;
  }

  /** A whole number from `least` on that JavaScript holds exactly. */
  integer(name: string, least: number): number {
    const value = this.take(name);
    if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
    throw this.refuse(`${name} of ${this.what} is not a whole number from ${least} on`);
  }

  /** False where it is left out. */
  flag(name: string): boolean {
    const value = this.take(name) ?? false;
    if (typeof value === 'boolean') return value;
    throw this.refuse(`${name} of ${this.what} is neither true nor false`);
  }

  any(name: string): unknown {
    return this.take(name);
  }

  /** The members of a member that is an object. */
  entries(name: string): readonly (readonly [string, unknown])[] {
    return [...new JsonMembers(this.take(name), `${name} of ${this.what}`, this.refuse).members];
  }

  list(name: string): readonly unknown[] {
    const value = this.take(name);
    if (Array.isArray(value)) return value;
    throw this.refuse(`${name} of ${this.what} is not a list`);
  }

  /** Refuses members that were not read: a typing slip, or a meaning that this version does not know. */
  end(): void {
    const unknown = [...this.members.keys()].find((name) => !this.read.has(name));
    if (unknown !== undefined)
      throw this.refuse(`${this.what} has the unknown member ${JSON.stringify(unknown.slice(0, 40))}`);
  }

  private take(name: string): unknown {
    this.read.add(name);
    return this.members.get(name);
  }
}
