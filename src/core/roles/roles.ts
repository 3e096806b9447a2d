/** The links of one role definition and the names that they reach (Casbin's default role manager, in Go). */

import { BoundedCache } from '../bounded-cache.js';
import type { RoleRelation } from '../matcher/scope.js';
import type { Json } from '../request.js';
import { type NameMatching, PatternIndex } from '../rules/pattern-index.js';
import { type StepMeter, unmetered } from '../step-budget.js';
import { CountingMeter, questionAt, type RoleQuestion } from './role-question.js';
import { RoleSet, RoleSets } from './role-sets.js';
import { DomainLinks, type LinkTest, longestKept, type Reached, ReachedNames, RoleView } from './role-view.js';

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
/** Steps for putting a name into a set. */
const stepsPerName = 8;
/** Steps for testing whether a name has a role if its roles are known. */
const stepsPerQuestion = 5;

export class RoleGraph implements RoleRelation {
  private readonly domains = new Map<string, DomainLinks>();
  private readonly sets = new RoleSets();
  private readonly kept = new ReachedNames();
  /** Views by their domains. Many domains are asked for; they match few combinations. */
  private readonly views = new BoundedCache<RoleView>(cachedParts);
  private readonly viewOfDomain = new BoundedCache<{ readonly view: RoleView; readonly steps: number }>(cachedDomains);
  private readonly domainPatterns: PatternIndex | undefined;
  /** One for each graph, so that kept symbols are dropped with the policy set. */
  private readonly noRoles = new RoleSet(new Set(), 0);
  private conditional = false;
  private madeViews = 0;

  constructor(
    links: Iterable<RoleLink>,
    private readonly options: RoleGraphOptions,
  ) {
    if (options.domainMatching !== undefined) this.domainPatterns = new PatternIndex(options.domainMatching);
    for (const link of links) this.add(link);
  }

  /**
   * Adds a link while the graph is built. It must not be called after the first question. @returns whether a pattern
   * was prepared
   */
  add(link: RoleLink): boolean {
    const domain = this.options.hasDomain ? link.domain : '';
    let links = this.domains.get(domain);
    if (links === undefined) {
      links = new DomainLinks(this.domains.size, this.options.nameMatching);
      this.domains.set(domain, links);
      if (this.options.domainMatching?.isPattern(domain) === true) this.domainPatterns?.add(domain);
    }
    this.conditional ||= link.holds !== undefined;
    return links.add(link.child, link);
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

  /** True if links can count in other domains, by a matching function. */
  get matchesDomains(): boolean {
    return this.options.domainMatching !== undefined;
  }

  /** True if links have conditions. */
  get isConditional(): boolean {
    return this.conditional;
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
    return this.viewOf(domain, meter)?.rolesAbove(name, meter) ?? this.noRoles;
  }

  get isListable(): boolean {
    return !this.matchesNames && !this.isConditional;
  }

  /** The domains whose links count for a question about `domain`. */
  domainsOf(domain: string, meter: StepMeter = unmetered): readonly string[] {
    if (!this.options.hasDomain) return [''];
    const { domainPatterns } = this;
    if (domainPatterns === undefined) return [domain];
    const matched = domainPatterns.matchedBy(domain, meter);
    return this.domains.has(domain) && !matched.includes(domain) ? [domain, ...matched] : matched;
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
    if (this.domainPatterns === undefined) {
      const links = this.domains.get(asked);
      if (links === undefined) return undefined;
      return links.viewOr(() => this.makeView([links]));
    }
    const known = asked.length > longestKept ? undefined : this.viewOfDomain.get(asked);
    if (known !== undefined) {
      meter.spend(known.steps);
      return known.view;
    }
    const counting = new CountingMeter(meter);
    const parts = this.domainsOf(asked, counting).map((stored) => this.domains.get(stored) as DomainLinks);
    counting.spend(parts.length * stepsPerQuestion);
    // Sorted as stored, so that paths are found in the order of the file.
    parts.sort((a, b) => a.number - b.number);
    const key = parts.map(({ number }) => number).join();
    const view = this.views.get(key) ?? this.makeView(parts);
    this.views.set(key, view, parts.length + 1);
    if (asked.length <= longestKept) this.viewOfDomain.set(asked, { view, steps: counting.counted });
    return view;
  }

  private makeView(parts: readonly DomainLinks[]): RoleView {
    return new RoleView(this.madeViews++, parts, this.options.nameMatching, this.sets, this.kept);
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

const nothingReached: Reached = Object.freeze({ names: new Set<string>(), patternParents: [], steps: 0 });
