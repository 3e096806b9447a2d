/** Patterns of role names or domains, found by a text that all names hold which the pattern matches. */
import type { PatternTest } from '../matcher/functions/function-definition.js';
import { type StepMeter, stepsForText } from '../step-budget.js';

/** A matching function of Casbin (AddNamedMatchingFunc): `(name, pattern) => boolean`. */
export interface NameMatching {
  matches(name: string, pattern: string, meter: StepMeter): boolean;
  /** False for names that match only themselves, as most names do. */
  isPattern(name: string): boolean;
  /** Prepares a pattern of the policy once; evaluations do not count it. The test must not throw. */
  readonly prepare?: (pattern: string) => PatternTest;
  /** As `prepare`, for a pattern of live data: it is not kept for longer than its test, since such patterns come and go. */
  readonly testOf?: (pattern: string) => PatternTest;
  /** Texts that all names hold which the pattern matches; empty if unknown. */
  readonly textsOf?: (pattern: string) => PatternTexts;
}

export interface PatternTexts {
  /** The beginning of the name. */
  readonly prefix: string;
  /** The end of the name. */
  readonly suffix: string;
  /** A text anywhere in the name. */
  readonly infix: string;
}

export const noTexts: PatternTexts = Object.freeze({ prefix: '', suffix: '', infix: '' });

interface Entry {
  readonly pattern: string;
  readonly texts: PatternTexts;
  readonly matches: PatternTest;
}

const stepsPerLength = 8;
const stepsPerEntry = 6;

export class PatternIndex {
  private byPrefix = new Map<string, readonly Entry[]>();
  private known = new Set<string>();
  /** Lengths of the prefixes, the shortest first. */
  private lengths: number[] = [];

  constructor(
    private readonly matching: NameMatching,
    /** Patterns of files stay as long as the set; those of live data may go. */
    private readonly isLive = false,
  ) {}

  get size(): number {
    return this.known.size;
  }

  /** Returns false if the pattern was there already. */
  add(pattern: string): boolean {
    if (this.known.has(pattern)) return false;
    this.known.add(pattern);
    const { matching } = this;
    const prepared = this.isLive ? matching.testOf?.(pattern) : matching.prepare?.(pattern);
    const matches = prepared ?? ((name, meter) => matching.matches(name, pattern, meter));
    const texts = this.textsOf(pattern);
    const { prefix } = texts;
    const entries = this.byPrefix.get(prefix);
    if (entries !== undefined) {
      (entries as Entry[]).push({ pattern, texts, matches });
      return true;
    }
    this.byPrefix.set(prefix, [{ pattern, texts, matches }]);
    if (!this.lengths.includes(prefix.length)) {
      this.lengths.push(prefix.length);
      this.lengths.sort((a, b) => a - b);
    }
    return true;
  }

  private textsOf(pattern: string): PatternTexts {
    return this.matching.textsOf?.(pattern) ?? noTexts;
  }

  /** An index with other patterns. What both have was prepared once; this index stays as it is. */
  changed(added: readonly string[], removed: readonly string[]): PatternIndex {
    const index = new PatternIndex(this.matching, this.isLive);
    index.byPrefix = new Map(this.byPrefix);
    index.known = new Set(this.known);
    for (const prefix of new Set([...added, ...removed].map((pattern) => this.textsOf(pattern).prefix))) {
      const entries = index.byPrefix.get(prefix);
      if (entries !== undefined) index.byPrefix.set(prefix, [...entries]);
    }
    for (const pattern of removed) index.remove(pattern);
    index.lengths = [...new Set([...index.byPrefix.keys()].map(({ length }) => length))].sort((a, b) => a - b);
    for (const pattern of added) index.add(pattern);
    return index;
  }

  private remove(pattern: string): void {
    this.known.delete(pattern);
    const { prefix } = this.textsOf(pattern);
    const left = (this.byPrefix.get(prefix) ?? []).filter((entry) => entry.pattern !== pattern);
    if (left.length > 0) this.byPrefix.set(prefix, left);
    else this.byPrefix.delete(prefix);
  }

  /** The patterns that a name matches. */
  matchedBy(name: string, meter: StepMeter): string[] {
    const found: string[] = [];
    for (const length of this.lengths) {
      if (length > name.length) break;
      meter.spend(stepsPerLength);
      const entries = this.byPrefix.get(name.slice(0, length));
      if (entries === undefined) continue;
      meter.spend((stepsPerEntry + stepsForText(name.length)) * entries.length);
      for (const { pattern, texts, matches } of entries) {
        if (name.endsWith(texts.suffix) && name.includes(texts.infix) && matches(name, meter)) found.push(pattern);
      }
    }
    return found;
  }
}
