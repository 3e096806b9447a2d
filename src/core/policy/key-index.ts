/** Rules by the values of some of their columns: a hash table of numbers, without an object for each entry. */
import { itemsPerStep } from '../steps.js';
import { finish, mix } from './rule-store.js';

/** The rules of one key, or of several merged: indexes in ascending order, from `start` to before `end`. */
export interface Candidates {
  readonly rules: Int32Array;
  readonly start: number;
  readonly end: number;
}

export const noCandidates: Candidates = Object.freeze({ rules: new Int32Array(0), start: 0, end: 0 });

/** Builds the index: `columns[i][rule]` is the i-th part of a rule's key. */
export function* buildKeyIndex(columns: readonly Int32Array[], length: number): Generator<void, KeyIndex> {
  let capacity = 16;
  while (capacity < 2 * length) capacity *= 2;
  const slots = new Int32Array(capacity);
  const bucketOf = new Int32Array(length);
  const firstRules = new Int32Array(length);
  const counts = new Int32Array(length);
  let buckets = 0;
  for (let rule = 0; rule < length; rule++) {
    if (rule % itemsPerStep === 0) yield;
    const slot = slotOf(rule, columns, slots, firstRules);
    let bucket = (slots[slot] as number) - 1;
    if (bucket < 0) {
      bucket = buckets++;
      firstRules[bucket] = rule;
      slots[slot] = buckets;
    }
    bucketOf[rule] = bucket;
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  const starts = new Int32Array(buckets + 1);
  for (let bucket = 0; bucket < buckets; bucket++) {
    starts[bucket + 1] = (starts[bucket] as number) + (counts[bucket] as number);
  }
  const postings = new Int32Array(length);
  const next = starts.slice();
  for (let rule = 0; rule < length; rule++) {
    if (rule % itemsPerStep === 0) yield;
    const bucket = bucketOf[rule] as number;
    const at = next[bucket] as number;
    postings[at] = rule;
    next[bucket] = at + 1;
  }
  return new KeyIndex(columns, slots, firstRules.slice(0, buckets), starts, postings);
}

/** The slot of a rule's key: its bucket's, or the empty one where a new bucket belongs. */
function slotOf(rule: number, columns: readonly Int32Array[], slots: Int32Array, firstRules: Int32Array): number {
  let hash = startHash;
  for (const column of columns) hash = mix(hash, column[rule] as number);
  const mask = slots.length - 1;
  for (let slot = finish(hash) & mask; ; slot = (slot + 1) & mask) {
    const bucket = (slots[slot] as number) - 1;
    if (bucket < 0) return slot;
    const other = firstRules[bucket] as number;
    if (columns.every((column) => column[rule] === column[other])) return slot;
  }
}

export class KeyIndex {
  constructor(
    private readonly columns: readonly Int32Array[],
    /** By hash: one more than the number of a bucket, 0 where there is none. */
    private readonly slots: Int32Array,
    /** By bucket: a rule whose columns are the bucket's key, and where its rules begin in `postings`. */
    private readonly firstRules: Int32Array,
    private readonly starts: Int32Array,
    private readonly postings: Int32Array,
  ) {
    this.key = new Int32Array(columns.length);
  }

  /** Of the look-up at hand; nothing else runs while it does. */
  private readonly key: Int32Array;
  private readonly buckets: number[] = [];

  /**
   * The rules whose key is one of the combinations of the values given for each part. `choices[i]` are the values of
   * the i-th part, each once.
   */
  find(choices: readonly ArrayLike<number>[]): Candidates {
    const { buckets } = this;
    buckets.length = 0;
    this.collect(choices, 0, startHash);
    const [first] = buckets;
    if (first === undefined) return noCandidates;
    if (buckets.length === 1) {
      return { rules: this.postings, start: this.starts[first] as number, end: this.starts[first + 1] as number };
    }
    return this.merge(buckets);
  }

  private collect(choices: readonly ArrayLike<number>[], part: number, hash: number): void {
    const values = choices[part] as ArrayLike<number>;
    const last = part === choices.length - 1;
    for (let index = 0; index < values.length; index++) {
      const value = values[index] as number;
      this.key[part] = value;
      const mixed = mix(hash, value);
      if (!last) {
        this.collect(choices, part + 1, mixed);
        continue;
      }
      const bucket = this.bucketOf(finish(mixed), this.key);
      if (bucket >= 0) this.buckets.push(bucket);
    }
  }

  private bucketOf(hash: number, key: Int32Array): number {
    const { slots, columns } = this;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const bucket = (slots[slot] as number) - 1;
      if (bucket < 0) return -1;
      const rule = this.firstRules[bucket] as number;
      let same = true;
      for (let part = 0; part < key.length; part++) {
        if ((columns[part] as Int32Array)[rule] !== key[part]) {
          same = false;
          break;
        }
      }
      if (same) return bucket;
    }
  }

  private merge(buckets: readonly number[]): Candidates {
    let total = 0;
    for (const bucket of buckets) total += (this.starts[bucket + 1] as number) - (this.starts[bucket] as number);
    const rules = new Int32Array(total);
    let at = 0;
    for (const bucket of buckets) {
      for (let from = this.starts[bucket] as number; from < (this.starts[bucket + 1] as number); from++) {
        rules[at++] = this.postings[from] as number;
      }
    }
    return { rules: total > 1 ? rules.sort() : rules, start: 0, end: total };
  }
}

const startHash = 0x9e3779b9;
