/** The values that a part of a key may have, each once: one of them, or a list that nobody else changes. */
export type Choice = number | ArrayLike<number>;

/** The state of one look-up by keys. An evaluation has its own, so that a compiled set is never written to. */
export class LookUp {
  /** Of how many parts the key is. */
  parts = 0;
  /** How many combinations of values are looked for. */
  size = 1;
  /** By part. What lies behind the last part is of earlier look-ups. */
  readonly choices: Choice[] = [];
  /** The combination of values at hand. */
  readonly key: number[] = [];
  /** Where the combinations were found. */
  readonly buckets: number[] = [];

  begin(): void {
    this.parts = 0;
    this.size = 1;
  }

  /** Chooses the values of the next part. */
  choose(values: Choice): void {
    this.choices[this.parts++] = values;
    if (typeof values !== 'number') this.size *= values.length;
  }
}
