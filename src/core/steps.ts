/** Long work in steps: a generator pauses, so that its caller can let other work run. */

/** Items of a list between two pauses: some milliseconds. */
export const itemsPerStep = 10_000;

/** Links of live data that are read, hashed or put in their place between two pauses. Of entities each is a step: one may be long. */
export const linksPerStep = 200;

/** Patterns that are prepared between two pauses; one may take some tenths of a millisecond. */
export const patternsPerStep = 50;

/** Runs all steps at once. */
export function finish<Result>(steps: Generator<void, Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Texts in the order of their code units, as `sort` would put them: parts are sorted, then merged two by two. */
export function* sortInSteps(texts: readonly string[]): Generator<void, readonly string[]> {
  let parts: (readonly string[])[] = [];
  for (let from = 0; from < texts.length; from += itemsPerStep) {
    parts.push(texts.slice(from, from + itemsPerStep).sort());
    yield;
  }
  while (parts.length > 1) {
    const merged: (readonly string[])[] = [];
    for (let at = 0; at < parts.length; at += 2) merged.push(yield* merge(parts[at] ?? [], parts[at + 1] ?? []));
    parts = merged;
  }
  return parts[0] ?? [];
}

function* merge(left: readonly string[], right: readonly string[]): Generator<void, readonly string[]> {
  if (right.length === 0) return left;
  const merged: string[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (fromLeft < left.length || fromRight < right.length) {
    const [one, other] = [left[fromLeft], right[fromRight]];
    if (other === undefined || (one !== undefined && one <= other)) {
      merged.push(one as string);
      fromLeft++;
    } else {
      merged.push(other);
      fromRight++;
    }
    if (merged.length % itemsPerStep === 0) yield;
  }
  return merged;
}
