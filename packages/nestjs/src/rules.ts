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

/**
 * @param place where a rule of a method was written: it is noted there too, since another decorator may put a new function in the
 * place of the one that has the rule
 * @throws TypeError if there is one already: which of the two was meant nobody can say
 */
export function setRule(
  rule: Rule,
  target: object,
  name: string,
  place?: { holder: object; key: string | symbol },
): void {
  const isNoted = place !== undefined && Reflect.hasOwnMetadata(key, place.holder, place.key);
  if (isNoted || Reflect.hasOwnMetadata(key, target)) {
    throw new TypeError(`${name} has two of @Authorize and @Public; one says what it needs`);
  }
  Reflect.defineMetadata(key, rule, target);
  if (place !== undefined) Reflect.defineMetadata(key, rule, place.holder, place.key);
}

/** Whether a rule was written for the method that a class has, itself or from a base, and the function there does not have it. */
export function isRuleLost(prototype: object, name: string): boolean {
  let holder = prototype;
  while (!Object.hasOwn(holder, name)) {
    const base: object | null = Object.getPrototypeOf(holder);
    if (base === null) return false;
    holder = base;
  }
  const noted: Rule | undefined = Reflect.getOwnMetadata(key, holder, name);
  return noted !== undefined && ownRuleOf(Reflect.get(holder, name)) !== noted;
}

/**
 * The rule of a handler: its own, else its class's. That of a class is not that of the classes below: who extends a class that is
 * public, or asks about something else, says anew what holds.
 */
export function ruleOf(owner: object, handler: object): Rule | undefined {
  return ownRuleOf(handler) ?? Reflect.getOwnMetadata(key, owner);
}

/** Of a method, or of a class itself. */
export function ownRuleOf(handler: object): Rule | undefined {
  return Reflect.getOwnMetadata(key, handler);
}
