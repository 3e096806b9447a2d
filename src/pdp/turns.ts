/**
 * Long work (batches, searches, large bodies) in turns. One piece of it runs in each round of the event loop, whoever it
 * belongs to: between two of them connections are read, and single decisions answered. With a `setImmediate` of its own,
 * each of sixteen batches would run in the same round, sixteen turns in a row.
 */

/** The longest that a piece of work may hold the event loop, in milliseconds, before it asks for its next turn. */
export const TURN_MS = 5;

const waiting: (() => void)[] = [];

/** Resolves when it is this piece's turn: first come, first served. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(grant);
  });
}

function grant(): void {
  waiting.shift()!();
  if (waiting.length > 0) setImmediate(grant);
}
