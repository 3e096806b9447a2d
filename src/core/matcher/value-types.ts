/** Which types a value can have, as far as a text and a schema say. Sets of types are numbers, one bit for each type. */
import type { Json } from '../request.js';

export type Types = number;

export const textType: Types = 1;
export const numberType: Types = 2;
export const booleanType: Types = 4;
export const listType: Types = 8;
export const objectType: Types = 16;
export const nullType: Types = 32;
export const anyType: Types = 63;

const words: readonly (readonly [Types, string])[] = [
  [textType, 'a text'],
  [numberType, 'a number'],
  [booleanType, 'true or false'],
  [listType, 'a list'],
  [objectType, 'an object'],
  [nullType, 'null'],
];

export function typeOf(value: Json): Types {
  if (value === null) return nullType;
  if (Array.isArray(value)) return listType;
  switch (typeof value) {
    case 'string':
      return textType;
    case 'number':
      return numberType;
    case 'boolean':
      return booleanType;
    default:
      return objectType;
  }
}

/** `a text or a number`. */
export function describeTypes(types: Types): string {
  return words
    .filter(([type]) => (types & type) !== 0)
    .map(([, word]) => word)
    .join(' or ');
}
