import { addressFunctions } from './address-functions.js';
import { clockFunctions } from './clock-functions.js';
import type { FunctionDefinition } from './function-definition.js';
import { pathFunctions } from './path-functions.js';
import { textFunctions } from './text-functions.js';
import { valueFunctions } from './value-functions.js';

/** Built-in functions by name, without those that read the policy set (`has`, `hasRole`, `eval`, roles). */
export const builtInFunctions: ReadonlyMap<string, FunctionDefinition> = new Map(
  [...pathFunctions, ...textFunctions, ...clockFunctions, ...addressFunctions, ...valueFunctions].map((definition) => [
    definition.name,
    Object.freeze(definition),
  ]),
);
