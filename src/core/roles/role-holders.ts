/** Role links in reverse: from a role to its holders. */

import { LookUp } from '../matcher/look-up.js';
import { buildKeyIndex, type RuleKeyIndex } from '../rules/key-index.js';
import type { RuleStore } from '../rules/rule-store.js';
import { itemsPerStep } from '../steps.js';
import { maxHops } from './role-view.js';

/** Built when a search first needs it, then kept: about twenty bytes for each link. */
export class RoleHolders {
  private constructor(
    private readonly links: RuleStore,
    private readonly byParent: RuleKeyIndex,
  ) {}

  static *build(links: RuleStore, hasDomain: boolean): Generator<void, RoleHolders> {
    const [, parents, domains] = links.columns as [Int32Array, Int32Array, Int32Array?];
    const keys = hasDomain && domains !== undefined ? [parents, domains] : [parents];
    return new RoleHolders(links, yield* buildKeyIndex(keys, links.length));
  }

  /**
   * Finds all names that reach one of the roles, with the roles themselves, without asking the conditions on links.
   * Stops at more than `most`.
   *
   * @param domains domains whose links count; undefined if the definition has none
   */
  *below(
    roles: Iterable<number>,
    domains: readonly number[] | undefined,
    most: number,
  ): Generator<void, ReadonlySet<number>> {
    const children = this.links.columns[0] as Int32Array;
    const holders = new Set(roles);
    const lookUp = new LookUp();
    let frontier: readonly number[] = [...holders];
    // Starts from all roles at once, so that each name is found on its shortest path and no hop is counted too many.
    for (let hop = 0; hop < maxHops && frontier.length > 0; hop++) {
      const next: number[] = [];
      for (const role of frontier) {
        lookUp.begin();
        lookUp.choose(role);
        if (domains !== undefined) lookUp.choose(domains);
        const { rules, start, end } = this.byParent.find(lookUp);
        for (let at = start; at < end; at++) {
          const child = children[rules[at] as number] as number;
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
}
