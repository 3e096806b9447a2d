/** Rules by the values of some of their columns: a hash table of numbers, without an object for each entry. */
import { assert } from '../assert.js';
import type { Choice, LookUp } from '../matcher/look-up.js';
import { type StepMeter, unmetered } from '../step-budget.js';
import { itemsPerStep } from '../steps.js';
import { finishHash, mix } from './rule-store.js';

/** The rules of one key, or of several merged: indexes in ascending order, from `start` to before `end`. */
export interface RuleCandidates {
  readonly rules: Int32Array;
  readonly start: number;
  readonly end: number;
}

export const noCandidates: RuleCandidates = Object.freeze({ rules: new Int32Array(0), start: 0, end: 0 });

/** Builds the index: `columns[i][rule]` is the i-th part of a rule's key. */
export function* buildKeyIndex(columns: readonly Int32Array[], length: number): Generator<void, RuleKeyIndex> {
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
  const width = columns.length + 1;
  const records = new Int32Array((buckets + 1) * width);
  let start = 0;
  for (let bucket = 0; bucket <= buckets; bucket++) {
    if (bucket % itemsPerStep === 0) yield;
    const record = bucket * width;
    for (let part = 0; part < columns.length; part++) {
      records[record + part] = columns[part]?.[firstRules[bucket] as number] ?? 0;
    }
    records[record + columns.length] = start;
    start += counts[bucket] ?? 0;
  }
  const postings = new Int32Array(length);
  // Counts down what was counted up, from the last rule of a bucket to its first.
  for (let rule = length - 1; rule >= 0; rule--) {
    if (rule % itemsPerStep === 0) yield;
    const bucket = bucketOf[rule] as number;
    const left = (counts[bucket] as number) - 1;
    postings[(records[bucket * width + columns.length] as number) + left] = rule;
    counts[bucket] = left;
  }
  return new RuleKeyIndex(columns.length, slots, records, postings);
}

/** The slot of a rule's key: that of its bucket, or the empty slot for a new bucket. */
function slotOf(rule: number, columns: readonly Int32Array[], slots: Int32Array, firstRules: Int32Array): number {
  let hash = startHash;
  for (const column of columns) hash = mix(hash, column[rule] as number);
  const mask = slots.length - 1;
  for (let slot = finishHash(hash) & mask; ; slot = (slot + 1) & mask) {
    const bucket = (slots[slot] as number) - 1;
    if (bucket < 0) return slot;
    const other = firstRules[bucket] as number;
    if (columns.every((column) => column[rule] === column[other])) return slot;
  }
}

/** A look-up reads neighbouring memory: with a million rules, nearly every read of another place waits for memory. */
export class RuleKeyIndex {
  private readonly width: number;

  constructor(
    parts: number,
    /** Slots by hash: the number of a bucket plus 1, or 0 if empty. */
    private readonly slots: Int32Array,
    /**
     * Records by bucket: the parts of its key, then the start of its rules in `postings`. They end at the start of the
     * next bucket's.
     */
    private readonly records: Int32Array,
    private readonly postings: Int32Array,
  ) {
    this.width = parts + 1;
  }

  /** The rules whose key is one of the combinations of the values chosen for each part. */
  find(lookUp: LookUp, meter: StepMeter = unmetered): RuleCandidates {
    assert(lookUp.parts === this.width - 1, 'a look-up chooses values for each part of the key');
    const { buckets } = lookUp;
    buckets.length = 0;
    this.collect(lookUp, 0, startHash);
    const [first] = buckets;
    if (first === undefined) return noCandidates;
    if (buckets.length === 1) return { rules: this.postings, start: this.startOf(first), end: this.startOf(first + 1) };
    return this.merge(buckets, meter);
  }

  private collect(lookUp: LookUp, part: number, hash: number): void {
    const { choices } = lookUp;
    const values = choices[part] as Choice;
    if (typeof values === 'number') this.collectWith(values, lookUp, part, hash);
    else
      for (let index = 0; index < values.length; index++) this.collectWith(values[index] as number, lookUp, part, hash);
  }

  private collectWith(value: number, lookUp: LookUp, part: number, hash: number): void {
    const { key, buckets, parts } = lookUp;
    key[part] = value;
    const mixed = mix(hash, value);
    if (part < parts - 1) {
      this.collect(lookUp, part + 1, mixed);
      return;
    }
    const bucket = this.bucketOf(finishHash(mixed), key);
    if (bucket >= 0) buckets.push(bucket);
  }

  private bucketOf(hash: number, key: readonly number[]): number {
    const { slots, records, width } = this;
    const parts = width - 1;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const bucket = (slots[slot] as number) - 1;
      if (bucket < 0) return -1;
      const record = bucket * width;
      let part = 0;
      while (part < parts && records[record + part] === key[part]) part++;
      if (part === parts) return bucket;
    }
  }

  private startOf(bucket: number): number {
    return this.records[bucket * this.width + this.width - 1] as number;
  }

  private merge(buckets: readonly number[], meter: StepMeter): RuleCandidates {
    let total = 0;
    for (const bucket of buckets) total += this.startOf(bucket + 1) - this.startOf(bucket);
    meter.spend(stepsPerMergedRule * total);
    const rules = new Int32Array(total);
    let at = 0;
    for (const bucket of buckets) {
      const end = this.startOf(bucket + 1);
      for (let from = this.startOf(bucket); from < end; from++) rules[at++] = this.postings[from] as number;
    }
    return { rules: total > 1 ? rules.sort() : rules, start: 0, end: total };
  }
}

/** Steps for each rule when rules of several keys are merged and sorted. */
const stepsPerMergedRule = 6;

const startHash = 0x9e3779b9;
