import 'reflect-metadata';
import type { Awaitable } from './awaitable.js';
import type { Call, Params } from './call.js';

/** What is asked beside action and type. The functions run before any pipe; what they throw, or reject with, denies. */
export interface AuthorizeOptions {
  /**
   * The resource's id: the name of a parameter, or a function of them. It must be a text: anything else, or nothing, is 400 and is
   * not asked. Without this option the question is about the type as a whole, and its id is the empty text.
   */
  readonly id?: string | ((params: Params, call: Call) => unknown);
  /** What is known of the resource. What comes from the caller's own body is the caller's word. */
  readonly attributes?: (params: Params, call: Call) => Awaitable<object | undefined>;
  /** What is known of the situation, on top of the module's `environment`. */
  readonly environment?: (params: Params, call: Call) => Awaitable<object | undefined>;
  /** Another policy set than the module's. */
  readonly policySet?: string;
}

export interface Authorization extends AuthorizeOptions {
  readonly action: string;
  readonly type: string;
}

export type Rule = Authorization | 'public';

/** By name, not by symbol: a rule that another copy of this package wrote is seen, and is not taken for none. */
const key = 'verdict:rule';

/** @throws TypeError if there is one already: which of the two was meant nobody can say */
export function setRule(rule: Rule, target: object, name: string): void {
  if (Reflect.hasOwnMetadata(key, target)) {
    throw new TypeError(`${name} has two of @Authorize and @Public; one says what it needs`);
  }
  Reflect.defineMetadata(key, rule, target);
}

/**
 * The rule of a handler: its own, else its class's. That of a class is not that of the classes below: who extends a class that is
 * public, or asks about something else, says anew what holds.
 */
export function ruleOf(owner: object, handler: object): Rule | undefined {
  return ownRuleOf(handler) ?? Reflect.getOwnMetadata(key, owner);
}

export function ownRuleOf(handler: object): Rule | undefined {
  return Reflect.getOwnMetadata(key, handler);
}
