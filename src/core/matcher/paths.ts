/** Reading attributes along a path: own members of parsed JSON and nothing else. */
import { cut, quote } from '../quote.js';
import type { Json } from '../request.js';
import { EntityAttributes, namesAllAttributes } from './entity-attributes.js';
import { type AttributeSource, type Outcome, type Scope } from './scope.js';
import { describeValue, isObject, ownMember } from './values.js';

/** Steps for each attribute when all attributes of an entity are put into one object. */
const stepsPerAttribute = 15;

/**
 * The value at `path` below column `index`, or a fault where a step is missing or does not lead into an object.
 * `label` is the column as authors write it (`r.sub`).
 */
export function readPath(scope: Scope, index: number, path: readonly string[], label: string): Outcome {
  const source = scope.sources[index];
  if (source instanceof EntityAttributes) {
    const first = namesAllAttributes(path[0]) ? 1 : 0;
    const name = path[first];
    if (name === undefined) {
      const all = source.all();
      if (scope.isFirst(source, '')) scope.spend(stepsPerAttribute * Object.keys(all).length);
      return all;
    }
    const value = source.get(name);
    if (value === undefined) return missing(scope, label, path, first);
    return descend(scope, value, path, first + 1, label);
  }
  if (source === undefined) return scope.fail('missing_attribute', () => `the request has no ${label}`);
  return descend(scope, source, path, 0, label);
}

/** The value at `path` below an item of a list. */
export function readItem(scope: Scope, path: readonly string[]): Outcome {
  return descend(scope, scope.item, path, 0, 'it');
}

function descend(scope: Scope, start: Json, path: readonly string[], from: number, label: string): Outcome {
  let value = start;
  for (let step = from; step < path.length; step++) {
    if (!isObject(value)) {
      const found = value;
      const owner = cut([label, ...path.slice(0, step)].join('.'));
      return scope.fail('not_an_object', () => `${owner} is ${describeValue(found)}, it has no ${quote(path[step])}`);
    }
    const next = ownMember(value, path[step] as string);
    if (next === undefined) return missing(scope, label, path, step);
    value = next;
  }
  return value;
}

function missing(scope: Scope, label: string, path: readonly string[], step: number): Outcome {
  return scope.fail('missing_attribute', () => `${cut([label, ...path.slice(0, step + 1)].join('.'))} is missing`);
}

/** True if every step of the path exists, also if its value is null. It never fails. */
export function hasPath(source: AttributeSource, path: readonly string[]): boolean {
  let value = source;
  let step = 0;
  if (value instanceof EntityAttributes) {
    if (namesAllAttributes(path[0])) step = 1;
    const name = path[step];
    if (name === undefined) return true;
    value = value.get(name);
    step++;
  }
  for (; step < path.length; step++) {
    if (value instanceof EntityAttributes || !isObject(value)) return false;
    value = ownMember(value, path[step] as string);
  }
  return value !== undefined;
}
