/** The role links that count in one domain, and the names that they reach. */
import { BoundedCache } from '../bounded-cache.js';
import { type NameMatching, PatternIndex } from '../rules/pattern-index.js';
import type { StepMeter } from '../step-budget.js';
import { Links, type Parent } from './links.js';
import { CountingMeter, type RoleQuestion } from './role-question.js';
import { type Remembering, RoleSet, type RoleSets } from './role-sets.js';

/** Most links of a path to a role. */
export const maxHops = 10;

/** Steps for following a link: two look-ups by name. */
const stepsPerLink = 10;
/** Steps for starting with a name: sets are created for the names that it reaches. */
const stepsPerName = 250;
const stepsPerCondition = 20;

/** Links that count in the domain of a question: those of one stored domain. */
export interface DomainPart {
  readonly links: { get(name: string): Links | undefined };
  /** True if a link has a condition. */
  readonly conditional: boolean;
  /** With a matching function: the names of the links that match a pattern, without the pattern itself. */
  namesMatching(pattern: string, matching: NameMatching, meter: StepMeter): readonly string[];
  /** With a matching function: the names of the links that are patterns and match the name. */
  patternsMatching(name: string, meter: StepMeter): readonly string[];
}

/** The links that files have in one domain. */
export class DomainLinks implements DomainPart {
  readonly links = new Map<string, Links>();
  /** With a matching function: every name, and the names that are patterns. */
  private readonly names = new Set<string>();
  private readonly patterns: PatternIndex | undefined;
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
    links.add(link);
    if (holds !== undefined) this.conditional = true;
    if (this.matching === undefined) return false;
    let added = false;
    for (const name of [child, parent]) {
      this.names.add(name);
      if (this.matching.isPattern(name) && this.patterns?.add(name)) added = true;
    }
    return added;
  }

  namesMatching(pattern: string, matching: NameMatching, meter: StepMeter): string[] {
    const found: string[] = [];
    for (const name of this.names) {
      meter.spend(1);
      if (name !== pattern && matching.matches(name, pattern, meter)) found.push(name);
    }
    return found;
  }

  patternsMatching(name: string, meter: StepMeter): readonly string[] {
    return this.patterns?.matchedBy(name, meter) ?? none;
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
  /** Stands for the parts in the sets that were found over them; it refers to nothing, so that they can go. */
  private readonly identity: object = Object.freeze({});

  /** `number` identifies the view within its definition. */
  constructor(
    private readonly number: number,
    private readonly parts: readonly DomainPart[],
    private readonly matching: NameMatching | undefined,
    private readonly sets: RoleSets,
    private readonly kept: ReachedNames,
  ) {
    this.conditional = parts.some((part) => part.conditional);
  }

  /** The roles of a name, which are the same for all questions; undefined if it has none here. */
  rolesAbove(name: string, meter: StepMeter): RoleSet | undefined {
    const { parts } = this;
    if (parts.length === 1) return this.rolesAboveLinks((parts[0] as DomainPart).links.get(name), meter);
    meter.spend(parts.length * stepsPerLink);
    let only: Links | undefined;
    for (const part of parts) {
      const links = part.links.get(name);
      if (links === undefined) continue;
      if (only !== undefined) return this.rolesAboveInAll(name, meter);
      only = links;
    }
    return this.rolesAboveLinks(only, meter);
  }

  private rolesAboveLinks(links: Links | undefined, meter: StepMeter): RoleSet | undefined {
    if (links === undefined) return undefined;
    const { above } = links;
    if (above === undefined || above.links !== this.identity) return this.remember(links, links.parents, meter);
    meter.spend(above.steps);
    return above;
  }

  private rolesAboveInAll(name: string, meter: StepMeter): RoleSet {
    const parents = this.parts.flatMap((part) => part.links.get(name)?.parents ?? []);
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
    return new RoleSet(reached, meter.counted, this.identity);
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
      for (const part of this.parts) for (const known of part.namesMatching(parent, matching, meter)) found.push(known);
    }
    // A pattern of one domain may have parents in all of them.
    for (const patterned of this.parts) {
      for (const pattern of patterned.patternsMatching(current, meter)) {
        if (pattern === current) continue;
        for (const part of this.parts) this.addParents(part, pattern, hop, now, meter, found);
      }
    }
    return found;
  }

  private addParents(part: DomainPart, name: string, hop: number, now: number, meter: StepMeter, to: string[]): void {
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
