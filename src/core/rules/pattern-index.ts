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
  private readonly byPrefix = new Map<string, Entry[]>();
  private readonly known = new Set<string>();
  /** Lengths of the prefixes, the shortest first. */
  private lengths: number[] = [];

  constructor(private readonly matching: NameMatching) {}

  get size(): number {
    return this.known.size;
  }

  /** Returns false if the pattern was there already. */
  add(pattern: string): boolean {
    if (this.known.has(pattern)) return false;
    this.known.add(pattern);
    const { matching } = this;
    const matches = matching.prepare?.(pattern) ?? ((name, meter) => matching.matches(name, pattern, meter));
    const texts = matching.textsOf?.(pattern) ?? noTexts;
    const { prefix } = texts;
    const entries = this.byPrefix.get(prefix);
    if (entries !== undefined) {
      entries.push({ pattern, texts, matches });
      return true;
    }
    this.byPrefix.set(prefix, [{ pattern, texts, matches }]);
    if (!this.lengths.includes(prefix.length)) {
      this.lengths.push(prefix.length);
      this.lengths.sort((a, b) => a - b);
    }
    return true;
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
