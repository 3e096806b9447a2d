/** The live links of one domain as a question about roles sees them. */
import { type NameMatching, PatternIndex } from '../rules/pattern-index.js';
import { emptyMap, type ShardedMap } from '../sharded-map.js';
import type { StepMeter } from '../step-budget.js';
import { linksPerStep } from '../steps.js';
import type { LinkChange, LinksByChild } from './live-links.js';
import type { DomainPart } from './role-view.js';

const noLinks: LinksByChild = emptyMap();

/**
 * Where names match patterns, names that a pattern may match are found here in the order of their code units: the maps
 * know no order, and the same links must give the same paths (P3).
 */
export class LivePart implements DomainPart {
  readonly conditional = false;

  private constructor(
    readonly links: LinksByChild,
    /** With a matching function: every name, and in how many links it stands. */
    private readonly names: ShardedMap<number>,
    private readonly patterns: PatternIndex | undefined,
  ) {}

  static none(matching: NameMatching | undefined): LivePart {
    return new LivePart(noLinks, emptyMap(), matching === undefined ? undefined : new PatternIndex(matching, true));
  }

  /** The part after a change that led to `links`. */
  *changed(
    links: LinksByChild,
    changes: readonly LinkChange[],
    matching: NameMatching | undefined,
  ): Generator<void, LivePart> {
    if (matching === undefined || this.patterns === undefined) return new LivePart(links, this.names, undefined);
    const names = this.names.edit();
    const counted = new Map<string, number>();
    let done = 0;
    for (const { child, added, removed } of changes) {
      if (++done % linksPerStep === 0) yield;
      const count = (name: string, by: number): void => void counted.set(name, (counted.get(name) ?? 0) + by);
      count(child, added.length - removed.length);
      for (const parent of added) count(parent, 1);
      for (const parent of removed) count(parent, -1);
    }
    const [come, gone]: [string[], string[]] = [[], []];
    for (const [name, by] of counted) {
      if (++done % linksPerStep === 0) yield;
      const before = names.get(name) ?? 0;
      const after = before + by;
      if (after > 0) names.set(name, after);
      else names.delete(name);
      if (before > 0 === after > 0 || !matching.isPattern(name)) continue;
      (after > 0 ? come : gone).push(name);
    }
    const isSame = come.length === 0 && gone.length === 0;
    return new LivePart(links, names.done(), isSame ? this.patterns : this.patterns.changed(come, gone));
  }

  namesMatching(pattern: string, matching: NameMatching, meter: StepMeter): string[] {
    const found: string[] = [];
    for (const name of this.names.keys()) {
      meter.spend(1);
      if (name !== pattern && matching.matches(name, pattern, meter)) found.push(name);
    }
    return found.sort();
  }

  patternsMatching(name: string, meter: StepMeter): string[] {
    return this.patterns?.matchedBy(name, meter).sort() ?? [];
  }
}
