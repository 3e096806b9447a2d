import type { FunctionDefinition } from './function-definition.js';
import { remember } from './remember.js';

type Words = Pick<FunctionDefinition, 'name' | 'origin' | 'summary' | 'example'>;

/** A function of a name and a pattern that says whether they match: all of it follows from how a pattern is prepared. */
export function patternFunction(
  words: Words,
  prepare: (pattern: string) => (name: string) => boolean,
  parameters: readonly [name: string, pattern: string] = ['name', 'pattern'],
): FunctionDefinition {
  const recall = remember(prepare);
  return {
    ...words,
    parameters: parameters.map((name) => ({ name, type: 'string' })),
    returns: 'boolean',
    prepare,
    // The caller has checked that both are strings.
    call: ([name, pattern]) => recall(pattern as string)(name as string),
  };
}
