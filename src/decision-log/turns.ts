import { setTimeout as delay, setImmediate } from 'node:timers/promises';

/**
 * Divides long work into short turns, between which the event loop answers requests.
 *
 *     const turns = new Turns();
 *     for (const record of records) {
 *       look(record);
 *       if (turns.isOver) await turns.next();
 *     }
 */
export class Turns {
  #ends: number;

  /** Lengths in milliseconds. A turn of 1 and a pause of 3 use about a quarter of the event loop. */
  constructor(
    private readonly turnMs = 3,
    private readonly pauseMs = 0,
  ) {
    this.#ends = performance.now() + turnMs;
  }

  get isOver(): boolean {
    return performance.now() > this.#ends;
  }

  /** Resolves when the others had their turn. */
  async next(): Promise<void> {
    if (this.pauseMs === 0) await setImmediate();
    else await delay(this.pauseMs);
    this.#ends = performance.now() + this.turnMs;
  }
}
