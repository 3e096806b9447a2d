import type { ExecutionContext } from '@nestjs/common';
import type { Decision, Entity } from '@verdict/client';
import { keyOf } from './call.js';

interface Decided {
  readonly subject: Entity | string;
  readonly decision: Decision;
}

/**
 * On what keys a call. A symbol of this module's own: no parser of what a caller sends can write it. (A WeakMap with an entry for each
 * request costs the garbage collector more than the guard itself.)
 */
const decided = Symbol('decided by Verdict');

interface Key {
  /** Several where a message has several handlers: Nest gives them all the same objects. */
  [decided]?: readonly (Decided & Of)[];
}

interface Of {
  readonly owner: unknown;
  readonly handler: unknown;
}

export function remember(context: ExecutionContext, outcome: Decided): void {
  const key: Key | undefined = keyOf(context);
  if (key === undefined) return;
  const [owner, handler] = [context.getClass(), context.getHandler()];
  const others = key[decided]?.filter((other) => other.handler !== handler || other.owner !== owner) ?? [];
  key[decided] = [{ ...outcome, owner, handler }, ...others];
}

/** @param call the context of its execution; over HTTP, the request will do */
export function decisionOf(call: object): Decision | undefined {
  return of(call)?.decision;
}

export function subjectOf(call: object): Entity | string | undefined {
  return of(call)?.subject;
}

function of(call: object): Decided | undefined {
  if (!isContext(call)) return (call as Key)[decided]?.[0];
  const all = (keyOf(call) as Key | undefined)?.[decided] ?? [];
  // An exception filter is not told whose exception it was.
  const handler = call.getHandler();
  if (handler === undefined || handler === null) return all.length === 1 ? all[0] : undefined;
  return all.find((one) => one.handler === handler && one.owner === call.getClass());
}

function isContext(call: object): call is ExecutionContext {
  return 'getArgs' in call && typeof call.getArgs === 'function';
}
