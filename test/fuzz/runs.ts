/** How much is tried, and from where: the same numbers in every fuzz test, so that one seed repeats a whole run. */

const given = (name: string) => Number(process.env[`VERDICT_TEST_FUZZ_${name}`]);

/** A run of factor 1 asks about 100,000 questions; `VERDICT_TEST_FUZZ_RUNS=20` is twenty times as much. */
const factor = given('RUNS') || 1;

/**
 * The suite tries the same each time, so that it fails for what was changed; `npm run fuzz` tries something new.
 * `VERDICT_TEST_FUZZ_SEED` repeats the run that printed it.
 */
export const seed = given('SEED') || (given('RUNS') ? Date.now() % 2 ** 31 : 20_261_122);

export function runs(count: number): { numRuns: number; seed: number } {
  return { numRuns: Math.round(count * factor), seed };
}

/** Far more than is needed: a run of factor 1 takes ten seconds on a machine that has nothing else to do. */
export const timeout = 300_000 * Math.max(1, factor);
