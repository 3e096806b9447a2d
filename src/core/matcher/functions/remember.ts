const generationSize = 500;
const longestRemembered = 1024;

/**
 * Keeps what was prepared for the patterns used lately, so that a pattern known only when a request comes is not
 * prepared each time. Bounded: entries live in two generations of 500; the older one goes when the younger one is full,
 * and whatever is used moves into the younger one. Failures and long patterns are not kept.
 *
 *     const compile = remember(compileRegularExpression);
 *     compile('^a+$') === compile('^a+$')  // true
 */
export function remember<T extends object>(prepare: (pattern: string) => T): (pattern: string) => T {
  let young = new Map<string, T>();
  let old = new Map<string, T>();
  return (pattern) => {
    const known = young.get(pattern);
    if (known !== undefined) return known;
    const prepared = old.get(pattern) ?? prepare(pattern);
    if (pattern.length > longestRemembered) return prepared;
    if (young.size >= generationSize) {
      old = young;
      young = new Map();
    }
    young.set(pattern, prepared);
    return prepared;
  };
}
