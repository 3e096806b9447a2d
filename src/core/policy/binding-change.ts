/** From a token's value back to the request: the changes of a request that give a token a value. */
import { nameOfStep, pointerStep } from '../json-pointer.js';
import { type Binding, type BindingPath, faultInPart } from '../manifest/binding-text.js';
import type { DecisionRequest, Json, JsonObject } from '../request.js';
import type { TokenBinding } from './binding.js';

/** One member of a request and its new value; `path` is a JSON pointer into the normal form of the request. */
export interface MemberChange {
  readonly path: string;
  readonly to: Json;
}

/** The changes that give the token this value; undefined if none do, as for a template that the text does not fit. */
export function changeOfToken({ role, token, line }: TokenBinding, value: Json): readonly MemberChange[] | undefined {
  if (line !== undefined) return typeof value === 'string' ? changesOfLine(line, value) : undefined;
  switch (role) {
    case 'subject':
      return typeof value === 'string' ? [{ path: '/subject/id', to: value }] : undefined;
    case 'resource':
      return typeof value === 'string' ? [{ path: '/resource/id', to: value }] : undefined;
    case 'action':
      return typeof value === 'string' ? [{ path: '/action/name', to: value }] : undefined;
    case 'domain':
      return [{ path: '/attributes/tenant', to: value }];
    case 'attribute':
      return [{ path: `/attributes/${pointerStep(token)}`, to: value }];
    case 'environment':
    case 'token':
      return undefined;
    default:
      return role satisfies never;
  }
}

/** The changes that give the attribute `r.token.path` this value. */
export function changeOfAttribute(
  { role, token }: TokenBinding,
  path: readonly string[],
  value: Json,
): MemberChange | undefined {
  const isAlias = role !== 'token' && (path[0] === 'properties' || path[0] === 'attributes');
  const steps = isAlias ? path.slice(1) : path;
  if (steps.length === 0) return undefined;
  const below = steps.map(pointerStep).join('/');
  switch (role) {
    case 'subject':
    case 'resource':
      if (steps[0] === 'id' || steps[0] === 'type') return { path: `/${role}/${steps[0]}`, to: value };
      return { path: `/${role}/attributes/${below}`, to: value };
    case 'action':
      if (steps[0] === 'name') return { path: '/action/name', to: value };
      return { path: `/action/attributes/${below}`, to: value };
    case 'environment':
      return { path: `/attributes/${below}`, to: value };
    case 'token':
      return steps.length === 1 ? undefined : { path: `/tokens/${below}`, to: value };
    case 'domain':
    case 'attribute':
      return { path: `/attributes/${pointerStep(token)}/${below}`, to: value };
    default:
      return role satisfies never;
  }
}

/**
 * Reads a text back through a line of the manifest: `doc:42` through `${resource.type}:${resource.id}` is type `doc`,
 * id `42`. The result makes that text again, and no other does, since no path but the last may hold the text behind it.
 * Undefined if no request makes the text.
 */
export function changesOfLine(line: Binding, text: string): readonly MemberChange[] | undefined {
  if (line.kind === 'path') return [{ path: pointerOf(line.path), to: text }];
  const changes: MemberChange[] = [];
  let rest = text;
  for (const [index, part] of line.parts.entries()) {
    if (typeof part === 'string') {
      if (!rest.startsWith(part)) return undefined;
      rest = rest.slice(part.length);
      continue;
    }
    const next = line.parts[index + 1] ?? '';
    if (typeof next !== 'string') return undefined;
    const end = index === line.last ? rest.length - next.length : rest.indexOf(next);
    const value = rest.slice(0, Math.max(end, 0));
    if (end < 0 || faultInPart(line, index, value) !== undefined) return undefined;
    const path = pointerOf(part);
    // A path that occurs twice has one value.
    if (changes.some((change) => change.path === path && change.to !== value)) return undefined;
    changes.push({ path, to: value });
    rest = rest.slice(end);
  }
  return rest === '' ? changes : undefined;
}

/** Where a path of the manifest leads, in the normal form of a request. */
export function pointerOf({ root, steps }: BindingPath): string {
  const [first = ''] = steps;
  if (root === 'token') return `/tokens/${steps.map(pointerStep).join('/')}`;
  const own = root === 'action' ? first === 'name' : root !== 'attributes' && (first === 'id' || first === 'type');
  const aliased = root !== 'attributes' && steps.length > 1 && (first === 'attributes' || first === 'properties');
  const below = (aliased ? steps.slice(1) : steps).map(pointerStep).join('/');
  if (root === 'attributes') return `/attributes/${below}`;
  return own ? `/${root}/${first}` : `/${root}/attributes/${below}`;
}

/** Returns a copy of the request with the changes. */
export function applyChanges(request: DecisionRequest, changes: readonly MemberChange[]): DecisionRequest {
  let changed = request as unknown as JsonObject;
  for (const { path, to } of changes) {
    const steps = path.slice(1).split('/').map(nameOfStep);
    changed = withMember(changed, steps, to) as JsonObject;
  }
  return changed as unknown as DecisionRequest;
}

/** The value with another one at the end of the steps. Only the objects on the way are copied. */
function withMember(value: Json | undefined, [step, ...rest]: readonly string[], to: Json): Json {
  if (step === undefined) return to;
  const copy = typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
  define(copy, step, withMember(Object.hasOwn(copy, step) ? copy[step] : undefined, rest, to));
  return copy;
}

/** Sets an own member; `__proto__` is an attribute like any other. */
function define(target: JsonObject, name: string, value: Json): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

/** The current value of a request at a pointer, for "from". */
export function readPointer(request: DecisionRequest, path: string): Json | undefined {
  let value: Json | undefined = request as unknown as JsonObject;
  for (const step of path.slice(1).split('/')) {
    const name = nameOfStep(step);
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name))
      return undefined;
    value = value[name];
  }
  return value;
}
