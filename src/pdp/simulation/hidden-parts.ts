/** Parts of a recorded request that were masked, hashed or left out before it was stored. */
import { nameOfStep } from '../../core/json-pointer.js';
import type { DecisionRequest, Json } from '../../core/request.js';
import { maskedValue } from '../../decision-log/mask.js';
import { isHashedValue } from '../../decision-log/value-hash.js';

/** A request of which it is noted whether anybody reads what is hidden in it. */
export interface WatchedRequest {
  readonly request: DecisionRequest;
  readonly wasRead: () => boolean;
}

/**
 * Finds out by evaluation whether a policy set reads what is hidden: static analysis would have to know each function.
 * What is left out cannot be seen in the request, so the rules that left it out are given.
 *
 *     const { request, wasRead } = watchHidden(record.request, ['/subject/attributes/ssn']);
 *     set.evaluate(request, { now });
 *     if (wasRead()) …   // the answer says nothing
 *
 * @param dropped JSON pointers into the request; `''` is all of it
 */
export function watchHidden(request: DecisionRequest, dropped: readonly string[]): WatchedRequest {
  let isRead = false;
  const paths = dropped.map((pointer) => pointer.split('/').slice(1).map(nameOfStep));
  // Sound: a request is JSON.
  const watched = watch(request as unknown as Json, paths, () => {
    isRead = true;
  });
  return { request: watched as unknown as DecisionRequest, wasRead: () => isRead };
}

function watch(value: Json, dropped: readonly (readonly string[])[], onRead: () => void): Json {
  if (value === null || typeof value !== 'object') return value;
  const isWhole = dropped.some((path) => path.length === 0);
  const leftOut = new Set(dropped.flatMap((path) => (path.length === 1 ? [path[0]!] : [])));
  const hidden = new Set(leftOut);
  const parts: { [name: string]: Json } = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    const isHidden = typeof member === 'string' && (member === maskedValue || isHashedValue(member));
    if (isHidden) hidden.add(name);
    const below = dropped.flatMap((path) => (path.length > 1 && path[0] === name ? [path.slice(1)] : []));
    parts[name] = isHidden ? member : watch(member, below, onRead);
  }
  const look = (name: string | symbol): void => {
    if (isWhole || (typeof name === 'string' && hidden.has(name))) onRead();
  };
  return new Proxy(value, {
    get(target, name, receiver) {
      look(name);
      return typeof name === 'string' && Object.hasOwn(parts, name) ? parts[name] : Reflect.get(target, name, receiver);
    },
    has(target, name) {
      look(name);
      return Reflect.has(target, name);
    },
    getOwnPropertyDescriptor(target, name) {
      look(name);
      const found = Reflect.getOwnPropertyDescriptor(target, name);
      if (found === undefined || typeof name !== 'string' || !Object.hasOwn(parts, name)) return found;
      return { ...found, value: parts[name] };
    },
    ownKeys(target) {
      // Which members there are is known of what is masked, and unknown of what was left out.
      if (isWhole || leftOut.size > 0) onRead();
      return Reflect.ownKeys(target);
    },
  });
}
