import type { ArgumentsHost } from '@nestjs/common';
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
  [decided]?: Decided;
}

export function remember(context: ArgumentsHost, outcome: Decided): void {
  const key: Key | undefined = keyOf(context);
  if (key !== undefined) key[decided] = outcome;
}

/** @param call the context of its execution; over HTTP, the request will do */
export function decisionOf(call: object): Decision | undefined {
  return of(call)?.decision;
}

export function subjectOf(call: object): Entity | string | undefined {
  return of(call)?.subject;
}

function of(call: object): Decided | undefined {
  const isContext = 'getArgs' in call && typeof call.getArgs === 'function';
  const key = isContext ? keyOf(call as ArgumentsHost) : call;
  return (key as Key | undefined)?.[decided];
}
