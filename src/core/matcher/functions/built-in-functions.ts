import type { FunctionDefinition } from './function-definition.js';
import { pathFunctions } from './path-functions.js';

/** Every function that a matcher can call without being given it, by name. */
export const builtInFunctions: ReadonlyMap<string, FunctionDefinition> = new Map(
  [...pathFunctions].map((definition) => [definition.name, definition]),
);
