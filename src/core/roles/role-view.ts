/** The role links that count in one domain, and the names that they reach. */
import { BoundedCache } from '../bounded-cache.js';
import { type NameMatching, PatternIndex } from '../rules/pattern-index.js';
import type { StepMeter } from '../step-budget.js';
import { CountingMeter, type RoleQuestion } from './role-question.js';
import { type Remembering, RoleSet, type RoleSets } from './role-sets.js';

/** True if a link counts at `now`, as the first of a path or behind `hop` others. */
export type LinkTest = (now: number, hop: number) => boolean;

/** Most links of a path to a role. */
export const maxHops = 10;

/** Steps for following a link: two look-ups by name. */
const stepsPerLink = 10;
/** Steps for starting with a name: sets are created for the names that it reaches. */
const stepsPerName = 250;
const stepsPerCondition = 20;

interface Parent {
  readonly parent: string;
  readonly holds?: LinkTest;
}

/** The links up from one name. */
class Links implements Remembering {
  readonly parents: Parent[] = [];
  above: RoleSet | undefined;
}

/** The links of one stored domain. */
export class DomainLinks {
  readonly links = new Map<string, Links>();
  /** With a matching function: every name, and the names that are patterns. */
  readonly names = new Set<string>();
  readonly patterns: PatternIndex | undefined;
  conditional = false;
  private view: RoleView | undefined;

  /** `number` identifies the domain within its definition. */
  constructor(
    readonly number: number,
    private readonly matching: NameMatching | undefined,
  ) {
    this.patterns = matching === undefined ? undefined : new PatternIndex(matching);
  }

  /** The view of this domain alone, created when it is first asked for. */
  viewOr(make: () => RoleView): RoleView {
    this.view ??= make();
    return this.view;
  }

  /** Returns true if a pattern was added for the first time. */
  add(child: string, { parent, holds }: Parent): boolean {
    const link: Parent = holds === undefined ? { parent } : { parent, holds };
    let links = this.links.get(child);
    if (links === undefined) {
      links = new Links();
      this.links.set(child, links);
    }
    links.parents.push(link);
    if (holds !== undefined) this.conditional = true;
    if (this.matching === undefined) return false;
    let added = false;
    for (const name of [child, parent]) {
      this.names.add(name);
      if (this.matching.isPattern(name) && this.patterns?.add(name)) added = true;
    }
    return added;
  }
}

/** The names that a name reaches. */
export interface Reached {
  /** The name itself and the names that it reaches over links. */
  readonly names: ReadonlySet<string>;
  /** Patterns that are parents of these names. Every name that matches one is reached, too. */
  readonly patternParents: readonly string[];
  readonly steps: number;
}

/** Longest name whose result is kept, in characters. Requests can send any number of long names. */
export const longestKept = 1_024;

/** Most names that are kept in all views of a definition with a matching function. */
const mostReached = 500_000;

/** Results for definitions with a matching function, kept between questions. */
export class ReachedNames {
  readonly byName = new BoundedCache<Reached>(mostReached);
}

/** The links of one domain, or of several that all match the domain of a question. */
export class RoleView {
  private readonly conditional: boolean;

  /** `number` identifies the view within its definition. */
  constructor(
    private readonly number: number,
    private readonly parts: readonly DomainLinks[],
    private readonly matching: NameMatching | undefined,
    private readonly sets: RoleSets,
    private readonly kept: ReachedNames,
  ) {
    this.conditional = parts.some((part) => part.conditional);
  }

  /** The roles of a name, which are the same for all questions; undefined if it has none here. */
  rolesAbove(name: string, meter: StepMeter): RoleSet | undefined {
    const [only] = this.parts;
    const links = only?.links.get(name);
    if (this.parts.length === 1) {
      if (links === undefined) return undefined;
      if (links.above === undefined) return this.remember(links, links.parents, meter);
      meter.spend(links.above.steps);
      return links.above;
    }
    return this.rolesAboveInAll(name, meter);
  }

  private rolesAboveInAll(name: string, meter: StepMeter): RoleSet | undefined {
    meter.spend(this.parts.length * stepsPerLink);
    const parents = this.parts.flatMap((part) => part.links.get(name)?.parents ?? []);
    if (parents.length === 0) return undefined;
    return this.remember({ above: undefined }, parents, meter);
  }

  private remember(name: Remembering, parents: readonly Parent[], meter: StepMeter): RoleSet {
    const names = parents.map(({ parent }) => parent);
    let counted = false;
    const set = this.sets.remember(name, `${this.number}\0${names.join('\0')}`, () => {
      counted = true;
      return this.climb(names, meter);
    });
    if (!counted) meter.spend(set.steps);
    return set;
  }

  /** The parents and the roles above them, starting at the first hop. */
  private climb(parents: readonly string[], asking: StepMeter): RoleSet {
    const meter = new CountingMeter(asking);
    meter.spend(stepsPerName + parents.length * stepsPerLink);
    const reached = new Set(parents);
    let frontier = parents;
    const look = (current: string, next: string[]): void => {
      for (const { links } of this.parts) {
        const above = links.get(current)?.parents ?? [];
        meter.spend(stepsPerLink * (above.length + 1));
        for (const { parent } of above) {
          if (reached.has(parent)) continue;
          reached.add(parent);
          next.push(parent);
        }
      }
    };
    for (let hop = 1; hop < maxHops && frontier.length > 0; hop++) {
      const next: string[] = [];
      for (const current of frontier) look(current, next);
      frontier = next;
    }
    return new RoleSet(reached, meter.counted);
  }

  /** The names that a name reaches, for one question. */
  reached(name: string, question: RoleQuestion): Reached {
    if (this.matching === undefined && !this.conditional) {
      const above = this.rolesAbove(name, question);
      return { names: above?.names ?? noNames, patternParents: none, steps: 0 };
    }
    const isKept = !this.conditional && name.length <= longestKept;
    const key = isKept ? `${this.number}\0${name}` : '';
    let found = isKept ? this.kept.byName.get(key) : undefined;
    if (found === undefined) {
      found = this.explore(name, question);
      if (isKept) this.kept.byName.set(key, found, found.names.size);
    } else {
      question.spend(found.steps);
    }
    return found;
  }

  private explore(name: string, question: RoleQuestion): Reached {
    const meter = new CountingMeter(question);
    meter.spend(stepsPerName);
    const names = new Set([name]);
    const patternParents = new Set<string>();
    let frontier = [name];
    for (let hop = 0; hop < maxHops && frontier.length > 0; hop++) {
      const next: string[] = [];
      for (const current of frontier) {
        for (const neighbour of this.neighbours(current, hop, question.now, meter, patternParents)) {
          if (names.has(neighbour)) continue;
          names.add(neighbour);
          next.push(neighbour);
        }
      }
      frontier = next;
    }
    return { names, patternParents: [...patternParents], steps: meter.counted };
  }

  /** Breadth first, hop by hop. `cameFrom` holds the visited names and the way back. */
  pathTo(name: string, role: string, now: number, meter: StepMeter): readonly string[] | undefined {
    const cameFrom = new Map<string, string | undefined>([[name, undefined]]);
    const patternParents = new Set<string>();
    let frontier = [name];
    for (let hop = 0; hop <= maxHops && frontier.length > 0; hop++) {
      const next: string[] = [];
      for (const current of frontier) {
        if (current === role || this.matching?.matches(current, role, meter) === true) {
          const path = pathBack(cameFrom, current);
          return current === role ? path : [...path, role];
        }
        patternParents.clear();
        const neighbours = this.neighbours(current, hop, now, meter, patternParents);
        for (const parent of patternParents) if (this.matching?.matches(role, parent, meter)) neighbours.push(role);
        for (const neighbour of neighbours) {
          if (cameFrom.has(neighbour)) continue;
          cameFrom.set(neighbour, current);
          next.push(neighbour);
        }
      }
      frontier = next;
    }
    return undefined;
  }

  /**
   * The names one hop away: the parents, the known names that a parent matches as a pattern, and the parents of every
   * pattern that matches the name. Parents that are patterns are noted, since names without links may match them.
   */
  private neighbours(
    current: string,
    hop: number,
    now: number,
    meter: StepMeter,
    patternParents: Set<string>,
  ): string[] {
    const found: string[] = [];
    const { matching } = this;
    for (const part of this.parts) this.addParents(part, current, hop, now, meter, found);
    if (matching === undefined) return found;
    const parents = found.length;
    for (let at = 0; at < parents; at++) {
      const parent = found[at] as string;
      if (!matching.isPattern(parent)) continue;
      patternParents.add(parent);
      for (const { names } of this.parts) {
        for (const known of names) {
          meter.spend(1);
          if (known !== parent && matching.matches(known, parent, meter)) found.push(known);
        }
      }
    }
    // A pattern of one domain may have parents in all of them.
    for (const { patterns } of this.parts) {
      for (const pattern of patterns?.matchedBy(current, meter) ?? []) {
        if (pattern === current) continue;
        for (const part of this.parts) this.addParents(part, pattern, hop, now, meter, found);
      }
    }
    return found;
  }

  private addParents(part: DomainLinks, name: string, hop: number, now: number, meter: StepMeter, to: string[]): void {
    const parents = part.links.get(name)?.parents ?? [];
    meter.spend(stepsPerLink * (parents.length + 1));
    for (const { parent, holds } of parents) {
      if (holds !== undefined) {
        meter.spend(stepsPerCondition);
        if (!holds(now, hop)) continue;
      }
      to.push(parent);
    }
  }
}

const none: readonly never[] = Object.freeze([]);
const noNames: ReadonlySet<string> = new Set();

function pathBack(cameFrom: ReadonlyMap<string, string | undefined>, last: string): string[] {
  const path: string[] = [];
  for (let name: string | undefined = last; name !== undefined; name = cameFrom.get(name)) path.unshift(name);
  return path;
}
