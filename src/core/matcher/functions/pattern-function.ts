import type { FunctionDefinition, PatternTest } from './function-definition.js';
import { remember } from './remember.js';

type Words = Pick<FunctionDefinition, 'name' | 'origin' | 'summary' | 'example'>;

/** Defines a function that tests whether a name matches a pattern, from the function that prepares a pattern. */
export function patternFunction(
  words: Words,
  prepare: (pattern: string) => PatternTest,
  stepsToPrepare: (pattern: string) => number,
  parameters: readonly [name: string, pattern: string] = ['name', 'pattern'],
): FunctionDefinition {
  const recall = remember(prepare, stepsToPrepare);
  return {
    ...words,
    parameters: parameters.map((name) => ({ name, type: 'string' })),
    returns: 'boolean',
    prepare,
    stepsToPrepare,
    // The caller has checked that both are strings.
    call: ([name, pattern], _, meter) => recall(pattern as string, meter)(name as string, meter),
  };
}

/** Steps for a pattern that is read once, character by character. */
export function stepsToRead(pattern: string): number {
  return 50 + pattern.length;
}
