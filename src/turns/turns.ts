/**
 * Long work of the process (batches, large bodies, searches, counts, exports, comparisons, loads) in turns. In each
 * round of the event loop one piece of it runs, for all requests together: between two rounds connections are read and
 * single decisions answered. If each of sixteen batches yielded by a `setImmediate` of its own, each round would hold
 * sixteen turns.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** The longest time in milliseconds that a piece of work may run before it asks for its next turn. */
export const turnMs = 5;

const granted = Promise.resolve();
const waiting: (() => void)[] = [];
/** Whether this round of the event loop has had its piece. */
let isTaken = false;
/** Counts the rounds that had a piece: a turn ends with its round. */
let round = 0;

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
  round++;
  const first = waiting.shift();
  isTaken = first !== undefined;
  if (first === undefined) return;
  first();
  setImmediate(nextRound);
}

/**
 * The turns of one piece of work. The first one has to be asked for, too, and one that waited for something (a query)
 * has lost its turn.
 *
 *     const turns = new Turns();
 *     for (const record of records) {
 *       if (turns.isOver) await turns.next();
 *       look(record);
 *     }
 */
export class Turns {
  private ends = 0;
  private round = -1;

  /**
   * @param pauseMs milliseconds to wait before each turn, for work that has time
   * @param lengthMs longest time of a turn, in milliseconds; every request waits for the one that runs
   */
  constructor(
    private readonly pauseMs = 0,
    private readonly lengthMs = turnMs,
  ) {}

  get isOver(): boolean {
    return this.round !== round || performance.now() > this.ends;
  }

  /** Resolves when it is this piece's turn. */
  async next(): Promise<void> {
    if (this.pauseMs > 0) await delay(this.pauseMs);
    await nextTurn();
    this.round = round;
    this.ends = performance.now() + this.lengthMs;
  }
}

/** Runs work that pauses between its steps, in turns. A step that has to wait for something pauses before it goes on. */
export async function inTurns<Result>(
  steps: Generator<unknown, Result> | AsyncGenerator<unknown, Result>,
): Promise<Result> {
  const turns = new Turns();
  for (;;) {
    if (turns.isOver) await turns.next();
    const pending = steps.next();
    const step = pending instanceof Promise ? await pending : pending;
    if (step.done === true) return step.value;
  }
}
