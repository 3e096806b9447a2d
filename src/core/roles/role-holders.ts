/** Role links the other way: from a role to all who hold it. */

import { LookUp } from '../matcher/look-up.js';
import { buildKeyIndex, type RuleKeyIndex } from '../rules/key-index.js';
import type { RuleStore } from '../rules/rule-store.js';
import { itemsPerStep } from '../steps.js';
import { maxHops } from './role-view.js';

/** Made when a search first needs it, and kept: numbers only, about twenty bytes a link. */
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
   * All who reach one of the roles, the roles themselves included, whether the conditions on the links hold or not.
   * Stops when they are more than `most`.
   *
   * @param domains of the links that count; undefined where the definition has none
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
    // All roles begin at once: each name is met on its shortest way, so that no hop too many is counted.
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
