import { BoundedCache } from '../../bounded-cache.js';

const remembered = 500;
const longestRemembered = 1024;

/**
 * Keeps what was prepared for the patterns used lately, so that a pattern known only when a request comes is not
 * prepared each time. Bounded; failures and long patterns are not kept.
 *
 *     const compile = remember(compileRegularExpression);
 *     compile('^a+$') === compile('^a+$')  // true
 */
export function remember<T extends object>(prepare: (pattern: string) => T): (pattern: string) => T {
  const cache = new BoundedCache<T>(remembered);
  return (pattern) =>
    pattern.length > longestRemembered ? prepare(pattern) : cache.getOrMake(pattern, () => prepare(pattern));
}
