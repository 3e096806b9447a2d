/** The links of one role definition and the names that they reach (Casbin's default role manager, in Go). */

import { BoundedCache } from '../bounded-cache.js';
import type { RoleRelation } from '../matcher/scope.js';
import type { Json } from '../request.js';
import { type NameMatching, PatternIndex } from '../rules/pattern-index.js';
import { emptyMap, type ShardedMap } from '../sharded-map.js';
import { type StepMeter, unmetered } from '../step-budget.js';
import { linksPerStep } from '../steps.js';
import type { Links, LinkTest } from './links.js';
import { type LinkChange, LiveLinks } from './live-links.js';
import { LivePart } from './live-part.js';
import { CountingMeter, questionAt, type RoleQuestion } from './role-question.js';
import { RoleSet, RoleSets } from './role-sets.js';
import { DomainLinks, type DomainPart, longestKept, type Reached, ReachedNames, RoleView } from './role-view.js';

export interface RoleLink {
  readonly child: string;
  readonly parent: string;
  /** `''` if the definition has no domain. */
  readonly domain: string;
  /** The condition on the link's further columns, tested with the decision's clock. */
  readonly holds?: LinkTest;
}

export interface RoleGraphOptions {
  readonly hasDomain: boolean;
  readonly nameMatching?: NameMatching;
  readonly domainMatching?: NameMatching;
}

/** Bounds of the cache of views: domains of questions, and domains that views of several refer to. */
const cachedDomains = 1_000;
const cachedParts = 100_000;
/** Of views with live links: each may keep some kilobytes of data that was changed since. */
const cachedMixedParts = 2_000;
/** Parents of one name that are looked through one by one. */
const fewParents = 16;
/** Steps for putting a name into a set. */
const stepsPerName = 8;
/** Steps for testing whether a name has a role if its roles are known. */
const stepsPerQuestion = 5;

/** The links of the files, and what graphs with the same ones share, whatever live links they have beside them. */
class StoredLinks {
  readonly domains = new Map<string, DomainLinks>();
  readonly patterns: PatternIndex | undefined;
  readonly sets = new RoleSets();
  readonly kept = new ReachedNames();
  /** Views by their domains. Many domains are asked for; they match few combinations. */
  readonly views = new BoundedCache<RoleView>(cachedParts);
  /** Those with live links, which keep data alive that may be of the past. */
  readonly mixedViews = new BoundedCache<RoleView>(cachedMixedParts);
  /** One for each definition, so that kept symbols are dropped with the policy set. */
  readonly noRoles = new RoleSet(new Set(), 0, this);
  conditional = false;
  /** The parents of names that have many. A change of live data asks about each of its links. */
  private readonly parentSets = new Map<Links, ReadonlySet<string>>();
  private madeViews = 0;
  private madeDomains = 0;

  constructor(private readonly options: RoleGraphOptions) {
    if (options.domainMatching !== undefined) this.patterns = new PatternIndex(options.domainMatching);
  }

  domainFor(domain: string): DomainLinks {
    let links = this.domains.get(domain);
    if (links === undefined) {
      links = new DomainLinks(this.domains.size, this.options.nameMatching);
      this.domains.set(domain, links);
      if (this.options.domainMatching?.isPattern(domain) === true) this.patterns?.add(domain);
    }
    return links;
  }

  has(domain: string, child: string, parent: string): boolean {
    const links = this.domains.get(domain)?.links.get(child);
    if (links === undefined) return false;
    if (links.parents.length <= fewParents) return links.parents.some((known) => known.parent === parent);
    let parents = this.parentSets.get(links);
    if (parents === undefined) {
      parents = new Set(links.parents.map((known) => known.parent));
      this.parentSets.set(links, parents);
    }
    return parents.has(parent);
  }

  makeView(parts: readonly DomainPart[]): RoleView {
    return new RoleView(this.madeViews++, parts, this.options.nameMatching, this.sets, this.kept);
  }

  /** Identifies a domain with live links. */
  nextNumber(): number {
    return this.madeDomains++;
  }
}

/** A domain that has live links, perhaps beside links of the files. */
class MixedDomain {
  private view: RoleView | undefined;

  constructor(
    /** Identifies these links within the definition. */
    readonly number: number,
    readonly stored: DomainLinks | undefined,
    readonly live: LivePart,
  ) {}

  /** The view of this domain alone, made when it is first asked for. */
  viewOr(make: (parts: readonly DomainPart[]) => RoleView): RoleView {
    this.view ??= make(this.stored === undefined ? [this.live] : [this.stored, this.live]);
    return this.view;
  }
}

/** The live links of a graph. */
interface LiveDomains {
  readonly links: LiveLinks;
  readonly mixed: ShardedMap<MixedDomain>;
  /** With a matching function for domains: those with live links that are patterns. */
  readonly patterns: PatternIndex | undefined;
}

export class RoleGraph implements RoleRelation {
  private readonly stored: StoredLinks;
  private readonly live: LiveDomains;
  private readonly viewOfDomain = new BoundedCache<{ readonly view: RoleView; readonly steps: number }>(cachedDomains);

  constructor(
    links: Iterable<RoleLink>,
    private readonly options: RoleGraphOptions,
    /** The graph of which this one differs by its live links. */
    from?: { readonly stored: StoredLinks; readonly live: LiveDomains },
  ) {
    const patterns = options.domainMatching && new PatternIndex(options.domainMatching, true);
    this.stored = from?.stored ?? new StoredLinks(options);
    this.live = from?.live ?? { links: LiveLinks.none(options.hasDomain), mixed: emptyMap(), patterns };
    for (const link of links) this.add(link);
  }

  /**
   * Adds a link while the graph is built. It must not be called after the first question. @returns whether a pattern
   * was prepared
   */
  add(link: RoleLink): boolean {
    this.stored.conditional ||= link.holds !== undefined;
    return this.stored.domainFor(this.options.hasDomain ? link.domain : '').add(link.child, link);
  }

  /** The links that are live data. */
  get liveLinks(): LiveLinks {
    return this.live.links;
  }

  /**
   * A graph with other live links; this one stays as it is. Both share what the changes leave alone.
   *
   * @param links those that the changes lead to from the live links of this graph
   */
  *withLive(links: LiveLinks, changes: Iterable<LinkChange>): Generator<void, RoleGraph> {
    const { stored, live, options } = this;
    const byDomain = new Map<string, LinkChange[]>();
    let done = 0;
    for (const change of changes) {
      if (++done % linksPerStep === 0) yield;
      const known = byDomain.get(change.domain);
      if (known === undefined) byDomain.set(change.domain, [change]);
      else known.push(change);
    }
    const mixed = live.mixed.edit();
    const [come, gone]: [string[], string[]] = [[], []];
    for (const [domain, changed] of byDomain) {
      if (++done % linksPerStep === 0) yield;
      const before = mixed.get(domain);
      const after = links.in(domain);
      if (after === undefined) mixed.delete(domain);
      else {
        const live = before?.live ?? LivePart.none(options.nameMatching);
        const part = yield* live.changed(after, changed, options.nameMatching);
        mixed.set(domain, new MixedDomain(stored.nextNumber(), stored.domains.get(domain), part));
      }
      if ((before === undefined) === (after === undefined)) continue;
      if (options.domainMatching?.isPattern(domain) === true) (after === undefined ? gone : come).push(domain);
    }
    const isSame = come.length === 0 && gone.length === 0;
    const patterns = isSame ? live.patterns : live.patterns?.changed(come, gone);
    return new RoleGraph([], options, { stored, live: { links, mixed: mixed.done(), patterns } });
  }

  /** Whether a file has the link. */
  isInFiles(domain: string, child: string, parent: string): boolean {
    return this.stored.has(domain, child, parent);
  }

  /** The parents of a name in a stored domain, by links of the files and live ones. */
  parentsIn(domain: string, name: string): readonly string[] {
    const stored = this.stored.domains.get(domain)?.links.get(name)?.parents ?? none;
    const live = this.live.links.in(domain)?.get(name)?.parents ?? none;
    return (stored.length === 0 ? live : live.length === 0 ? stored : [...stored, ...live]).map(({ parent }) => parent);
  }

  /** The names that stand as a role in links of a stored domain; a name may come several times. */
  *rolesIn(domain: string): Generator<string> {
    for (const links of [this.stored.domains.get(domain)?.links, this.live.links.in(domain)]) {
      if (links === undefined) continue;
      for (const { parents } of links.values()) for (const { parent } of parents) yield parent;
    }
  }

  /** Prepares a role of a rule that may be a pattern. */
  prepareRole(role: string): void {
    const { nameMatching } = this.options;
    if (nameMatching?.isPattern(role) === true) nameMatching.prepare?.(role);
  }

  /** True if names can have roles without a link, by a matching function. */
  get matchesNames(): boolean {
    return this.options.nameMatching !== undefined;
  }

  /** Whether a name of a link stands for another name: it is the same, or a pattern that matches it. */
  standsFor(stored: string, name: string): boolean {
    return stored === name || this.options.nameMatching?.matches(name, stored, unmetered) === true;
  }

  /** True if links can count in other domains, by a matching function. */
  get matchesDomains(): boolean {
    return this.options.domainMatching !== undefined;
  }

  /** True if links have conditions. */
  get isConditional(): boolean {
    return this.stored.conditional;
  }

  /** As `isRole`, outside an evaluation. */
  reaches(name: string, role: string, domain: string | undefined, now: number): boolean {
    return this.isRole(name, role, domain, questionAt(now));
  }

  isRole(name: string, role: string, domain: string | undefined, question: RoleQuestion): boolean {
    question.spend(stepsPerQuestion);
    if (name === role) return true;
    const { nameMatching } = this.options;
    if (nameMatching === undefined) return this.reached(name, domain, question)?.names.has(role) ?? false;
    if (nameMatching.matches(name, role, question)) return true;
    const reached = this.reached(name, domain, question);
    return reached !== undefined && isAmong(reached, role, nameMatching, question);
  }

  isRoleOfAny(names: readonly Json[], role: string, domain: string | undefined, question: RoleQuestion): boolean {
    question.spend(stepsPerQuestion);
    const memory = this.memoryOf(question);
    if (memory.list !== names || memory.listDomain !== domain) {
      memory.reachedByAny = this.reachedByAny(names, domain, question);
      memory.list = names;
      memory.listDomain = domain;
    }
    return isAmong(memory.reachedByAny, role, this.options.nameMatching, question);
  }

  /** The names that the names of a list reach together, with themselves. */
  private reachedByAny(list: readonly Json[], domain: string | undefined, question: RoleQuestion): Reached {
    const names = new Set<string>();
    const patternParents = new Set<string>();
    question.spend(stepsPerName * list.length);
    for (const name of list) {
      if (typeof name !== 'string') continue;
      names.add(name);
      const reached = this.reached(name, domain, question);
      if (reached === undefined) continue;
      question.spend(stepsPerName * reached.names.size);
      for (const above of reached.names) names.add(above);
      for (const pattern of reached.patternParents) patternParents.add(pattern);
    }
    return { names, patternParents: [...patternParents], steps: 0 };
  }

  /**
   * The roles above a name, without the name itself. Undefined if they cannot be listed: with a matching function a
   * name may have roles without a link, and conditional links change with time.
   */
  rolesAbove(name: string, domain: string | undefined, meter: StepMeter = unmetered): RoleSet | undefined {
    if (!this.isListable) return undefined;
    return this.viewOf(domain, meter)?.rolesAbove(name, meter) ?? this.stored.noRoles;
  }

  get isListable(): boolean {
    return !this.matchesNames && !this.isConditional;
  }

  /** The domains whose links count for a question about `domain`. */
  domainsOf(domain: string, meter: StepMeter = unmetered): readonly string[] {
    if (!this.options.hasDomain) return [''];
    const { stored, live } = this;
    if (stored.patterns === undefined) return [domain];
    const matched = stored.patterns.matchedBy(domain, meter);
    const beside = live.mixed.size === 0 ? [] : (live.patterns?.matchedBy(domain, meter) ?? []);
    const isStored = stored.domains.has(domain) || live.mixed.has(domain);
    return [...new Set(isStored ? [domain, ...matched, ...beside] : [...matched, ...beside])];
  }

  /**
   * How `name` reaches `role`: every name of a shortest path, with both ends; undefined if it does not. For
   * explanations.
   */
  pathTo(
    name: string,
    role: string,
    domain: string | undefined,
    now: number,
    meter: StepMeter = unmetered,
  ): readonly string[] | undefined {
    if (name === role) return [name];
    if (this.options.nameMatching?.matches(name, role, meter) === true) return [name, role];
    return this.viewOf(domain, meter)?.pathTo(name, role, now, meter);
  }

  /** The names that a name reaches, found once for each evaluation. */
  private reached(name: string, domain: string | undefined, question: RoleQuestion): Reached | undefined {
    const memory = this.memoryOf(question);
    if (memory.name === name && memory.domain === domain) return memory.reached;
    const key = `${domain?.length} ${domain} ${name}`;
    let reached = memory.all.get(key);
    if (reached === undefined) {
      reached = { found: this.viewOf(domain, question)?.reached(name, question) };
      memory.all.set(key, reached);
    }
    memory.name = name;
    memory.domain = domain;
    memory.reached = reached.found;
    return reached.found;
  }

  private memoryOf(question: RoleQuestion): RoleMemory {
    let memory = question.memory.get(this) as RoleMemory | undefined;
    if (memory === undefined) {
      memory = new RoleMemory();
      question.memory.set(this, memory);
    }
    return memory;
  }

  /** A question without a domain is answered from the domain `''`. */
  private viewOf(domain: string | undefined, meter: StepMeter): RoleView | undefined {
    const asked = this.options.hasDomain ? (domain ?? '') : '';
    const { stored, live } = this;
    if (stored.patterns !== undefined) return this.viewOfMatching(asked, meter);
    if (live.mixed.size > 0) {
      const mixed = live.mixed.get(asked);
      if (mixed !== undefined) return mixed.viewOr((parts) => stored.makeView(parts));
    }
    const links = stored.domains.get(asked);
    return links?.viewOr(() => stored.makeView([links]));
  }

  private viewOfMatching(asked: string, meter: StepMeter): RoleView {
    const { stored, live } = this;
    const known = asked.length > longestKept ? undefined : this.viewOfDomain.get(asked);
    if (known !== undefined) {
      meter.spend(known.steps);
      return known.view;
    }
    const counting = new CountingMeter(meter);
    const names = this.domainsOf(asked, counting);
    // Sorted as stored, so that paths are found in the order of the file; the live ones, which have none, by their names.
    const ofFiles = names.map((name) => stored.domains.get(name)).filter((part) => part !== undefined);
    ofFiles.sort((a, b) => a.number - b.number);
    const ofData = live.mixed.size === 0 ? [] : [...names].sort().map((name) => live.mixed.get(name));
    const mixed = ofData.filter((part) => part !== undefined);
    const parts = [...ofFiles, ...mixed.map((part) => part.live)];
    counting.spend(parts.length * stepsPerQuestion);
    const key = `${ofFiles.map(({ number }) => number).join()};${mixed.map(({ number }) => number).join()}`;
    const views = mixed.length === 0 ? stored.views : stored.mixedViews;
    const view = views.get(key) ?? stored.makeView(parts);
    views.set(key, view, parts.length + 1);
    if (asked.length <= longestKept) this.viewOfDomain.set(asked, { view, steps: counting.counted });
    return view;
  }
}

function isAmong(
  { names, patternParents }: Reached,
  role: string,
  matching: NameMatching | undefined,
  meter: StepMeter,
): boolean {
  if (names.has(role)) return true;
  if (matching === undefined) return false;
  if (patternParents.some((pattern) => matching.matches(role, pattern, meter))) return true;
  if (!matching.isPattern(role)) return false;
  for (const name of names) if (matching.matches(name, role, meter)) return true;
  return false;
}

/** Results of one evaluation. The next question is nearly always about the last name or list. */
class RoleMemory {
  readonly all = new Map<string, { readonly found: Reached | undefined }>();
  name: string | undefined;
  domain: string | undefined;
  reached: Reached | undefined;
  list: readonly Json[] | undefined;
  listDomain: string | undefined;
  reachedByAny: Reached = nothingReached;
}

const none: readonly never[] = Object.freeze([]);
const nothingReached: Reached = Object.freeze({ names: new Set<string>(), patternParents: [], steps: 0 });
