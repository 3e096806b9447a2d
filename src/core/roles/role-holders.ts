/** Role links in reverse: from a role to its holders. */

import { LookUp } from '../matcher/look-up.js';
import { buildKeyIndex, type RuleKeyIndex } from '../rules/key-index.js';
import type { RuleStore } from '../rules/rule-store.js';
import { itemsPerStep } from '../steps.js';
import type { LiveLinks } from './live-links.js';
import { maxHops } from './role-view.js';

/** Built when a search first needs it, then kept: about twenty bytes for each link of the files, more for a live one. */
export class RoleHolders {
  private constructor(
    private readonly links: RuleStore,
    private readonly byParent: RuleKeyIndex,
    private readonly hasDomain: boolean,
    /** By domain, then by parent. */
    private readonly live: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>,
  ) {}

  static *build(links: RuleStore, live: LiveLinks): Generator<void, RoleHolders> {
    const [, parents, domains] = links.columns as [Int32Array, Int32Array, Int32Array?];
    const keys = live.hasDomain && domains !== undefined ? [parents, domains] : [parents];
    const byParent = yield* buildKeyIndex(keys, links.length);
    return new RoleHolders(links, byParent, live.hasDomain, yield* childrenByParent(live));
  }

  /**
   * Finds all names that reach one of the roles, with the roles themselves, without asking the conditions on links.
   * Stops at more than `most`.
   *
   * @param domains domains whose links count; ignored if the definition has none
   */
  *below(roles: Iterable<string>, domains: readonly string[], most: number): Generator<void, ReadonlySet<string>> {
    const { symbols } = this.links;
    const inDomains = domains.map((domain) => symbols.find(domain)).filter((symbol) => symbol !== undefined);
    const ofData = (this.hasDomain ? domains : ['']).map((domain) => this.live.get(domain));
    const live = ofData.filter((children) => children !== undefined);
    const holders = new Set(roles);
    const lookUp = new LookUp();
    let frontier: readonly string[] = [...holders];
    // Starts from all roles at once, so that each name is found on its shortest path and no hop is counted too many.
    for (let hop = 0; hop < maxHops && frontier.length > 0; hop++) {
      const next: string[] = [];
      for (const role of frontier) {
        for (const child of this.childrenOf(role, inDomains, live, lookUp)) {
          if (holders.has(child)) continue;
          holders.add(child);
          next.push(child);
          if (holders.size > most) return holders;
          if (holders.size % itemsPerStep === 0) yield;
        }
      }
      frontier = next;
    }
    return holders;
  }

  private *childrenOf(
    role: string,
    domains: readonly number[],
    live: readonly ReadonlyMap<string, readonly string[]>[],
    lookUp: LookUp,
  ): Generator<string> {
    const { symbols } = this.links;
    const symbol = symbols.find(role);
    if (symbol !== undefined && this.links.length > 0) {
      lookUp.begin();
      lookUp.choose(symbol);
      if (this.hasDomain) lookUp.choose(domains);
      const children = this.links.columns[0] as Int32Array;
      const { rules, start, end } = this.byParent.find(lookUp);
      for (let at = start; at < end; at++) yield symbols.text(children[rules[at] as number] as number);
    }
    for (const children of live) yield* children.get(role) ?? [];
  }
}

function* childrenByParent(links: LiveLinks): Generator<void, ReadonlyMap<string, ReadonlyMap<string, string[]>>> {
  const domains = new Map<string, Map<string, string[]>>();
  let done = 0;
  for (const { domain, child, added: parents } of links.asChanges()) {
    if (++done % itemsPerStep === 0) yield;
    const byParent = domains.get(domain) ?? new Map<string, string[]>();
    domains.set(domain, byParent);
    for (const parent of parents) {
      const children = byParent.get(parent);
      if (children === undefined) byParent.set(parent, [child]);
      else children.push(child);
    }
  }
  return domains;
}
