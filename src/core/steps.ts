/** Long work in steps: a generator pauses, so that whoever runs it can let others have the thread. */

/** How many items of a list are worked on between two pauses: some milliseconds' worth. */
export const itemsPerStep = 10_000;

/** Runs all steps at once. */
export function finish<Result>(steps: Generator<void, Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
