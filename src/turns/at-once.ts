/**
 * Does work on items, at most `most` at once; resolves with the results in the order of the items.
 *
 * @throws the first error; what had begun is awaited before, and nothing more is begun
 */
export async function atOnce<T, R>(items: readonly T[], most: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const waiting = items.entries();
  const failures: unknown[] = [];
  const takeTurns = async () => {
    for (const [at, item] of waiting) {
      if (failures.length > 0) return;
      try {
        results[at] = await work(item);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: most }, takeTurns));
  if (failures.length > 0) throw failures[0];
  return results;
}
