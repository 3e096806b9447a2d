/**
 * Possible values of one part of a key, each once: a single value, or a list that stays unchanged during the look-up.
 */
export type Choice = number | ArrayLike<number>;

/** The state of one look-up by keys. An evaluation has its own, so that a compiled set is never written to. */
export class LookUp {
  /** Number of parts of the key. */
  parts = 0;
  /** Number of combinations of values. */
  size = 1;
  /** Choices by part. Entries behind the last part are from earlier look-ups. */
  readonly choices: Choice[] = [];
  /** The current combination of values. */
  readonly key: number[] = [];
  /** Buckets that were found. */
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
