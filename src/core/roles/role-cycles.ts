/** Cycles among role links: refused where a definition has no domain, a warning within a domain. */
import { itemsPerStep } from '../steps.js';
import type { RoleLink } from './roles.js';

/**
 * The first cycle among the links, as the names on it with the first one repeated at the end; undefined when there is
 * none.
 *
 *     finish(findCycle([{ child: 'a', parent: 'b' }, { child: 'b', parent: 'a' }]))   // ['a', 'b', 'a']
 */
export function* findCycle(
  links: readonly Pick<RoleLink, 'child' | 'parent'>[],
): Generator<void, readonly string[] | undefined> {
  const parents = new Map<string, string[]>();
  for (const [at, { child, parent }] of links.entries()) {
    if (at % itemsPerStep === itemsPerStep - 1) yield;
    const known = parents.get(child);
    if (known === undefined) parents.set(child, [parent]);
    else known.push(parent);
  }
  return yield* findCycleFrom(parents.keys(), (name) => parents.get(name) ?? []);
}

/** The first cycle above some names. Depth first without recursion: a chain may be as long as the file. */
export function* findCycleFrom(
  names: Iterable<string>,
  parentsOf: (name: string) => readonly string[],
): Generator<void, readonly string[] | undefined> {
  const done = new Set<string>();
  for (const start of names) {
    if (done.has(start)) continue;
    // Of most names, users, all that is above them was seen with others.
    const above = parentsOf(start);
    if (above.every((name) => name !== start && done.has(name))) {
      done.add(start);
      if (done.size % itemsPerStep === 0) yield;
      continue;
    }
    const path = [start];
    const onPath = new Set(path);
    const pending = [[...above]];
    while (path.length > 0) {
      const next = pending.at(-1)?.pop();
      if (next === undefined) {
        const finished = path.pop() as string;
        onPath.delete(finished);
        done.add(finished);
        pending.pop();
        if (done.size % itemsPerStep === 0) yield;
      } else if (onPath.has(next)) {
        return [...path.slice(path.indexOf(next)), next];
      } else if (!done.has(next)) {
        path.push(next);
        onPath.add(next);
        pending.push([...parentsOf(next)]);
      }
    }
  }
  return undefined;
}
