/** Orders of rules other than that of the file. */

import type { RuleStore } from './rule-store.js';

/**
 * Reads an integer as Go's Atoi: decimal digits with an optional sign. Undefined beyond the exact range of a number.
 */
export function parseInteger(text: string): number | undefined {
  const value = /^[+-]?[0-9]+$/.test(text) ? Number(text) : undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Sorts by the priority column, ascending and stable. The values have been checked to be integers. */
export function sortByPriority(rules: RuleStore, column: number): RuleStore {
  return sortBy(rules, (rule) => parseInteger(rules.text(column, rule)) ?? 0);
}

/**
 * Sorts by the depth of the rule's first column in the tree of `g`, deepest first, stable. With a domain column, depths
 * are by domain.
 */
export function sortBySubjectDepth(
  rules: RuleStore,
  depths: ReadonlyMap<string, number>,
  domainColumn: number | undefined,
): RuleStore {
  return sortBy(rules, (rule) => {
    const domain = domainColumn === undefined ? '' : rules.text(domainColumn, rule);
    return -(depths.get(`${domain}::${rules.text(0, rule)}`) ?? 0);
  });
}

function sortBy(rules: RuleStore, rankOf: (rule: number) => number): RuleStore {
  const ranks = Float64Array.from({ length: rules.length }, (_, rule) => rankOf(rule));
  const order = Array.from({ length: rules.length }, (_, rule) => rule);
  return rules.reordered(order.sort((a, b) => (ranks[a] as number) - (ranks[b] as number)));
}

/**
 * Depth of each name below a root in the tree of the grouping rules, by `domain::name`. A third column is a domain
 * here, whatever the role definition says. Below several roots the greatest depth counts (the reference takes the one
 * that it happens to visit last).
 *
 * @returns undefined when a root reaches a cycle: the reference would never end.
 */
export function subjectDepths(groupings: RuleStore): ReadonlyMap<string, number> | undefined {
  const children = new Map<string, string[]>();
  const depths = new Map<string, number>();
  const hasParent = new Set<string>();
  for (const { fields } of groupings) {
    const domain = fields.length === 2 ? '' : (fields[2] ?? '');
    const [child, parent] = [`${domain}::${fields[0]}`, `${domain}::${fields[1]}`];
    const known = children.get(parent);
    if (known === undefined) children.set(parent, [child]);
    else known.push(child);
    hasParent.add(child);
    for (const name of [child, parent]) if (!depths.has(name)) depths.set(name, 0);
  }
  // A name on a cycle that no root reaches keeps its first depth.
  for (const name of hasParent) depths.set(name, 1);
  let level = [...depths.keys()].filter((name) => !hasParent.has(name));
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > depths.size) return undefined;
    for (const name of level) depths.set(name, depth);
    level = [...new Set(level.flatMap((name) => children.get(name) ?? []))];
  }
  return depths;
}
