/** Who has which role: a search over the links, hop by hop, begun anew for every question. */

import type { Matching } from './functions.js';
import { timeMatch } from './functions.js';
import type { RoleColumns } from './model.js';

export interface RoleDefinition extends RoleColumns {
  readonly links: readonly (readonly string[])[];
  readonly matchName?: Matching | undefined;
  readonly matchDomain?: Matching | undefined;
  /** Whether conditions count for the first link of a path only. */
  readonly firstLinkOnly?: boolean;
}

const maxHops = 10;

export function hasRole(definition: RoleDefinition, user: string, role: string, domain: string, now: number): boolean {
  const { matchName } = definition;
  const isOrMatches = (name: string, pattern: string) => name === pattern || matchName?.(name, pattern) === true;
  if (isOrMatches(user, role)) return true;

  const links = linksIn(definition, domain);
  const names = new Set([...links.flatMap(([child, parent]) => [child!, parent!]), user, role]);
  const matching = (pattern: string) =>
    [...names].filter((name) => name !== pattern && matchName?.(name, pattern) === true);
  const patternsOf = (name: string) =>
    [...names].filter((pattern) => pattern !== name && matchName?.(name, pattern) === true);
  const parentsOf = (name: string, hops: number) =>
    links.filter((link) => link[0] === name && linkHolds(definition, link, hops, now)).map((link) => link[1]!);

  let reached = new Set([user]);
  for (let hops = 0; hops <= maxHops; hops++) {
    if ([...reached].some((name) => isOrMatches(name, role))) return true;
    reached = new Set(
      [...reached].flatMap((name) => {
        const parents = parentsOf(name, hops);
        const ofPatterns = patternsOf(name).flatMap((pattern) => parentsOf(pattern, hops));
        return [...parents, ...parents.flatMap(matching), ...ofPatterns];
      }),
    );
  }
  return false;
}

function linksIn({ links, columns, matchDomain }: RoleDefinition, domain: string): (readonly string[])[] {
  if (columns < 3) return [...links];
  return links.filter(([, , stored]) => stored === domain || matchDomain?.(domain, stored!) === true);
}

/** A conditional definition counts a link only while the present lies between its two times. */
function linkHolds(definition: RoleDefinition, link: readonly string[], hops: number, now: number): boolean {
  const { columns, conditions } = definition;
  if (conditions === 0 || (definition.firstLinkOnly === true && hops > 0)) return true;
  return conditions === 2 && timeMatch(link[columns], link[columns + 1], now);
}

/** The first repeated name on a path of links, or undefined: only definitions without domain must be free of cycles. */
export function findCycle(definition: RoleDefinition): string | undefined {
  if (definition.columns >= 3) return undefined;
  const finished = new Set<string>();
  const visit = (name: string, path: ReadonlySet<string>): string | undefined => {
    if (path.has(name)) return name;
    if (finished.has(name)) return undefined;
    const longer = new Set([...path, name]);
    for (const [child, parent] of definition.links) {
      const cycle = child === name ? visit(parent!, longer) : undefined;
      if (cycle !== undefined) return cycle;
    }
    finished.add(name);
    return undefined;
  };
  for (const [child] of definition.links) {
    const cycle = visit(child!, new Set());
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
