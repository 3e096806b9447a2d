import { setImmediate } from 'node:timers/promises';

/** How long a computation may hold the event loop at a time, in milliseconds. */
const turnMs = 8;

/** Runs a long computation in short turns between which the event loop answers requests. */
export async function inTurns<T>(steps: Generator<unknown, T>): Promise<T> {
  let since = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - since < turnMs) continue;
    await setImmediate();
    since = performance.now();
  }
}
