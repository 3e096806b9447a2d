import type { ArgumentsHost } from '@nestjs/common';
import type { Decision, Entity } from '@verdict/client';
import { keyOf } from './call.js';

interface Decided {
  readonly subject: Entity | string;
  readonly decision: Decision;
}

/** By what keys a call: nothing is written on the request, where a caller's parser could have put the same member. */
const decided = new WeakMap<object, Decided>();

export function remember(context: ArgumentsHost, outcome: Decided): void {
  const key = keyOf(context);
  if (key !== undefined) decided.set(key, outcome);
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
  return key === undefined ? undefined : decided.get(key);
}
