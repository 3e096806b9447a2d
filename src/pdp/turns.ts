/**
 * Long work (batches, searches, large bodies) in turns. One piece of it runs in each round of the event loop, whoever it
 * belongs to: between two of them connections are read, and single decisions answered. With a `setImmediate` of its own,
 * each of sixteen batches would run in the same round, sixteen turns in a row.
 */

/** The longest that a piece of work may hold the event loop, in milliseconds, before it asks for its next turn. */
export const turnMs = 5;

const granted = Promise.resolve();
const waiting: (() => void)[] = [];
/** Whether this round of the event loop has had its piece. */
let isTaken = false;

/** Resolves when it is this piece's turn, at once where nobody else had one in this round: first come, first served. */
export function nextTurn(): Promise<void> {
  if (isTaken) {
    return new Promise((resolve) => {
      waiting.push(resolve);
    });
  }
  isTaken = true;
  setImmediate(nextRound);
  return granted;
}

function nextRound(): void {
  const first = waiting.shift();
  isTaken = first !== undefined;
  if (first === undefined) return;
  first();
  setImmediate(nextRound);
}
