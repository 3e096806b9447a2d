import { BoundedCache } from '../../bounded-cache.js';
import type { StepMeter } from '../../step-budget.js';
import { FunctionError } from './function-definition.js';

const remembered = 500;
const longestRemembered = 1024;

/**
 * Keeps what was prepared for the patterns used lately, so that a pattern known only when a request comes is not
 * prepared each time; of a broken one it keeps the error. Bounded; long patterns are not kept. An evaluation counts the
 * preparing once for each pattern, whether it was remembered or not.
 *
 *     const compile = remember(compileRegularExpression, stepsToCompile);
 *     compile('^a+$', meter) === compile('^a+$', meter)  // true
 */
export function remember<T extends object>(
  prepare: (pattern: string) => T,
  stepsToPrepare: (pattern: string) => number,
): (pattern: string, meter: StepMeter) => T {
  const cache = new BoundedCache<{ readonly value: T } | FunctionError>(remembered);
  const attempt = (pattern: string) => {
    try {
      return { value: prepare(pattern) };
    } catch (error) {
      if (error instanceof FunctionError) return error;
      throw error;
    }
  };
  return (pattern, meter) => {
    const isLong = pattern.length > longestRemembered;
    if (isLong || meter.isFirst(cache, pattern)) meter.spend(stepsToPrepare(pattern));
    if (isLong) return prepare(pattern);
    const found = cache.getOrMake(pattern, () => attempt(pattern));
    if (found instanceof FunctionError) throw found;
    return found.value;
  };
}
