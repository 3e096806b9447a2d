/** The links of one role definition and what can be reached over them (Casbin's default role manager, in Go). */

import { BoundedCache } from '../bounded-cache.js';
import type { RoleRelation } from '../matcher/environment.js';

export interface RoleLink {
  readonly child: string;
  readonly parent: string;
  /** `''` where the definition has no domain. */
  readonly domain: string;
  /** Holds while the condition on the link's further columns does; it is asked with the decision's clock. */
  readonly holds?: LinkCondition;
}

/** Whether a link counts now, as the first of a way or behind `hop` others. */
export type LinkCondition = (now: number, hop: number) => boolean;

/** A matching function of Casbin (AddNamedMatchingFunc): `(name, pattern) => boolean`. Must not throw. */
export interface NameMatching {
  matches(name: string, pattern: string): boolean;
  /** False for names that match nothing but themselves: most names of most policies. */
  isPattern(name: string): boolean;
}

export interface RoleGraphOptions {
  readonly hasDomain: boolean;
  readonly nameMatching?: NameMatching;
  readonly domainMatching?: NameMatching;
}

/** A role is found over ten links, not over eleven. */
export const maxHops = 10;
const cachedDomains = 1_000;
/** Sets of roles, each shared by all who have the same parents; and names whose set is at hand, in each domain. */
const cachedRoleSets = 20_000;

export class RoleGraph implements RoleRelation {
  private readonly domains = new Map<string, DomainGraph>();
  private readonly combined = new BoundedCache<DomainGraph>(cachedDomains);
  /** A graph's own, so that what an index keeps in it goes with the policy set. */
  private readonly noRoles = new RoleSet(new Set());
  private conditional = false;

  constructor(
    links: Iterable<RoleLink>,
    private readonly options: RoleGraphOptions,
  ) {
    for (const link of links) this.add(link);
  }

  /** For whoever makes the graph, in steps; once it is asked it stays as it is. */
  add(link: RoleLink): void {
    const domain = this.options.hasDomain ? link.domain : '';
    let graph = this.domains.get(domain);
    if (graph === undefined) {
      graph = new DomainGraph(this.options.nameMatching);
      this.domains.set(domain, graph);
    }
    graph.add(link.child, link);
    this.conditional ||= link.holds !== undefined;
  }

  /** Whether names have roles that nobody wrote down. */
  get matchesNames(): boolean {
    return this.options.nameMatching !== undefined;
  }

  /** Whether links hold in more domains than the one that they name. */
  get matchesDomains(): boolean {
    return this.options.domainMatching !== undefined;
  }

  /** Whether links come and go. */
  get isConditional(): boolean {
    return this.conditional;
  }

  reaches(name: string, role: string, domain: string | undefined, now: number): boolean {
    if (name === role) return true;
    if (this.options.nameMatching?.matches(name, role) === true) return true;
    return this.graphOf(domain)?.reaches(name, role, now) ?? false;
  }

  /**
   * The roles above a name, the name itself not among them. Undefined where they cannot be listed: with a matching
   * function a name may have roles that nobody wrote down, and conditional links come and go.
   */
  rolesAbove(name: string, domain: string | undefined): RoleSet | undefined {
    if (!this.isListable) return undefined;
    return this.graphOf(domain)?.rolesAbove(name) ?? this.noRoles;
  }

  get isListable(): boolean {
    return !this.matchesNames && !this.isConditional;
  }

  /** The domains of links that count where `domain` is asked for. */
  domainsOf(domain: string): readonly string[] {
    const { hasDomain, domainMatching } = this.options;
    if (!hasDomain) return [''];
    if (domainMatching === undefined) return [domain];
    return [...this.domains.keys()].filter((stored) => stored === domain || domainMatching.matches(domain, stored));
  }

  /**
   * How `name` reaches `role`: every name on the way, both ends included; undefined when it does not. For
   * explanations; of several ways one of the shortest.
   */
  pathTo(name: string, role: string, domain: string | undefined, now: number): readonly string[] | undefined {
    if (name === role) return [name];
    if (this.options.nameMatching?.matches(name, role) === true) return [name, role];
    return this.graphOf(domain)?.pathTo(name, role, now);
  }

  /** Asked without a domain, a definition with domains answers from the domain `''`. */
  private graphOf(domain: string | undefined): DomainGraph | undefined {
    const asked = this.options.hasDomain ? (domain ?? '') : '';
    const { domainMatching } = this.options;
    if (!this.options.hasDomain || domainMatching === undefined) return this.domains.get(asked);
    return this.combined.getOrMake(asked, () => this.combine(asked));
  }

  /** The links of all stored domains that are the asked one or a pattern that it matches, as one graph. */
  private combine(asked: string): DomainGraph {
    const graph = new DomainGraph(this.options.nameMatching);
    for (const stored of this.domainsOf(asked)) graph.addAll(this.domains.get(stored) as DomainGraph);
    return graph;
  }
}

/** Roles that somebody has; one object for all who have the same. */
export class RoleSet {
  private index: object | undefined;
  private keys: Int32Array | undefined;
  private others: Map<object, Int32Array> | undefined;

  constructor(readonly names: ReadonlySet<string>) {}

  /** The symbols of these roles among the keys of an index, as they were kept. */
  keysIn(index: object): Int32Array | undefined {
    return this.index === index ? this.keys : this.others?.get(index);
  }

  /** Nearly every set has one index that asks; that one is found without another look-up. */
  keepKeys(index: object, keys: Int32Array): void {
    if (this.index === undefined) {
      this.index = index;
      this.keys = keys;
    } else {
      this.others ??= new Map();
      this.others.set(index, keys);
    }
  }
}

interface Parent {
  readonly parent: string;
  readonly holds?: LinkCondition;
}

/** The links up from one name. */
class Links {
  readonly parents: Parent[] = [];
  /** What is above the name, while it is remembered. */
  above: RoleSet | undefined;
}

class DomainGraph {
  private readonly links = new Map<string, Links>();
  private readonly roleSets = new BoundedCache<RoleSet>(cachedRoleSets);
  /** Whose `above` is set. */
  private remembering: Links[] = [];
  /** Names of this graph that match more than themselves; empty without a matching function. */
  private readonly patterns = new Set<string>();
  private readonly names = new Set<string>();
  conditional = false;

  constructor(private readonly matching: NameMatching | undefined) {}

  add(child: string, { parent, holds }: Parent): void {
    const link: Parent = holds === undefined ? { parent } : { parent, holds };
    let links = this.links.get(child);
    if (links === undefined) {
      links = new Links();
      this.links.set(child, links);
    }
    links.parents.push(link);
    if (holds !== undefined) this.conditional = true;
    if (this.matching === undefined) return;
    for (const name of [child, parent]) {
      this.names.add(name);
      if (this.matching.isPattern(name)) this.patterns.add(name);
    }
  }

  addAll(other: DomainGraph): void {
    for (const [child, { parents }] of other.links) for (const link of parents) this.add(child, link);
  }

  reaches(name: string, role: string, now: number): boolean {
    if (this.matching !== undefined || this.conditional) return this.pathTo(name, role, now) !== undefined;
    return this.rolesAbove(name)?.names.has(role) ?? false;
  }

  rolesAbove(name: string): RoleSet | undefined {
    const links = this.links.get(name);
    if (links === undefined) return undefined;
    if (links.above === undefined) this.remember(links);
    return links.above;
  }

  private remember(links: Links): void {
    if (this.remembering.length >= cachedRoleSets) {
      for (const forgotten of this.remembering) forgotten.above = undefined;
      this.remembering = [];
    }
    const parents = links.parents.map(({ parent }) => parent);
    links.above = this.roleSets.getOrMake(parents.join('\0'), () => new RoleSet(this.climb(parents)));
    this.remembering.push(links);
  }

  /** The parents and what is above them: they are one hop up already. */
  private climb(parents: readonly string[]): ReadonlySet<string> {
    const reached = new Set(parents);
    let frontier = parents;
    for (let hop = 1; hop < maxHops && frontier.length > 0; hop++) {
      const next: string[] = [];
      for (const current of frontier) {
        for (const { parent } of this.links.get(current)?.parents ?? []) {
          if (reached.has(parent)) continue;
          reached.add(parent);
          next.push(parent);
        }
      }
      frontier = next;
    }
    return reached;
  }

  /** Breadth first, hop by hop; `cameFrom` is at once what was visited and the way back. */
  pathTo(name: string, role: string, now: number): readonly string[] | undefined {
    const cameFrom = new Map<string, string | undefined>([[name, undefined]]);
    let frontier = [name];
    for (let hop = 0; hop <= maxHops && frontier.length > 0; hop++) {
      const next: string[] = [];
      for (const current of frontier) {
        if (current === role || this.matching?.matches(current, role) === true) {
          const path = pathBack(cameFrom, current);
          return current === role ? path : [...path, role];
        }
        for (const neighbour of this.neighbours(current, hop, name, role, now)) {
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
   * Where one hop leads: to the parents, to the known names that a parent which is a pattern matches, and to the
   * parents of every pattern that matches the name. The two names asked for count as known.
   */
  private *neighbours(current: string, hop: number, from: string, to: string, now: number): Generator<string> {
    yield* this.liveParents(current, hop, now);
    const { matching } = this;
    if (matching === undefined) return;
    for (const parent of this.liveParents(current, hop, now)) {
      if (!matching.isPattern(parent)) continue;
      for (const known of [...this.names, from, to]) {
        if (known !== parent && matching.matches(known, parent)) yield known;
      }
    }
    for (const pattern of this.patterns) {
      if (pattern !== current && matching.matches(current, pattern)) yield* this.liveParents(pattern, hop, now);
    }
  }

  private *liveParents(name: string, hop: number, now: number): Generator<string> {
    for (const link of this.links.get(name)?.parents ?? []) {
      if (link.holds === undefined || link.holds(now, hop)) yield link.parent;
    }
  }
}

function pathBack(cameFrom: ReadonlyMap<string, string | undefined>, last: string): string[] {
  const path: string[] = [];
  for (let name: string | undefined = last; name !== undefined; name = cameFrom.get(name)) path.unshift(name);
  return path;
}
