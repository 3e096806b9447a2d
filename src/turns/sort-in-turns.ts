import type { Turns } from './turns.js';

/** Items that are sorted, or merged, between two looks at the clock. */
const itemsAtOnce = 512;

/** The items in order, as `sort` would put them: runs are sorted, then merged two by two. */
export async function sortInTurns<Item>(
  items: readonly Item[],
  compare: (a: Item, b: Item) => number,
  turns: Turns,
): Promise<readonly Item[]> {
  let runs: Item[][] = [];
  for (let from = 0; from < items.length; from += itemsAtOnce) {
    runs.push(items.slice(from, from + itemsAtOnce).sort(compare));
    if (turns.isOver) await turns.next();
  }
  while (runs.length > 1) {
    const merged: Item[][] = [];
    for (let at = 0; at < runs.length; at += 2) merged.push(await merge(runs[at]!, runs[at + 1] ?? [], compare, turns));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<Item>(
  left: readonly Item[],
  right: readonly Item[],
  compare: (a: Item, b: Item) => number,
  turns: Turns,
): Promise<Item[]> {
  const merged: Item[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (fromLeft < left.length && fromRight < right.length) {
    // At a tie the left one, as in a stable sort.
    if (compare(left[fromLeft]!, right[fromRight]!) <= 0) merged.push(left[fromLeft++]!);
    else merged.push(right[fromRight++]!);
    if (merged.length % itemsAtOnce === 0 && turns.isOver) await turns.next();
  }
  return merged.concat(left.slice(fromLeft), right.slice(fromRight));
}
