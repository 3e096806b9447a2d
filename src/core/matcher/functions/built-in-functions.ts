import { addressFunctions } from './address-functions.js';
import { clockFunctions } from './clock-functions.js';
import type { FunctionDefinition } from './function-definition.js';
import { pathFunctions } from './path-functions.js';
import { textFunctions } from './text-functions.js';

/** Every function that a matcher can call without being given it, by name; those that read the policy set apart. */
export const builtInFunctions: ReadonlyMap<string, FunctionDefinition> = new Map(
  [...pathFunctions, ...textFunctions, ...clockFunctions, ...addressFunctions].map((definition) => [
    definition.name,
    Object.freeze(definition),
  ]),
);
