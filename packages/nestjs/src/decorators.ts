import { createParamDecorator, type ExecutionContext, UseGuards } from '@nestjs/common';
import { decisionOf, subjectOf } from './decided.js';
import { lastGuard } from './last-guard.js';
import { type AuthorizeOptions, type Rule, setRule } from './rules.js';

/**
 * Lets a call pass if the policies allow its user the action.
 *
 *     @Post(':id/approval')
 *     @Authorize('approve', 'invoice', { id: (params) => params.id })
 *     approve(@Param('id') id: string) { … }
 *
 * On a class it is for all handlers that have none of their own. It holds behind all other guards, in whatever order they stand.
 *
 * @param type of the resource
 */
export function Authorize(
  action: string,
  type: string,
  options: AuthorizeOptions = {},
): ClassDecorator & MethodDecorator {
  for (const [name, value] of Object.entries({ action, type })) {
    if (typeof value !== 'string' || value === '') throw new TypeError(`@Authorize: ${name} is a text`);
  }
  return rule({ ...options, action, type });
}

/** Anybody may call it, and nothing is asked. On a class it is for all handlers that have no rule of their own. */
export function Public(): ClassDecorator & MethodDecorator {
  return rule('public');
}

function rule(what: Rule): ClassDecorator & MethodDecorator {
  return (target: object, name?: string | symbol, descriptor?: PropertyDescriptor) => {
    const isClass = name === undefined;
    const holder = isClass ? target : descriptor?.value;
    const called = isClass ? (target as { name: string }).name : `${target.constructor.name}.${String(name)}`;
    if (typeof holder !== 'function') throw new TypeError(`${called} is no method and no class`);
    setRule(what, holder, called, isClass ? undefined : { holder: target, key: name });
    if (what === 'public') return;
    // Also where nobody imported the module: then this guard finds nobody to ask, and refuses.
    if (isClass) UseGuards(lastGuard)(target as () => void);
    else UseGuards(lastGuard)(target, name, descriptor as PropertyDescriptor);
  };
}

/** The subject that the decision is about; undefined on a public handler. */
export const Subject = createParamDecorator((_: unknown, context: ExecutionContext) => subjectOf(context));

/** The decision that let the call pass, with its reason and its obligations; undefined on a public handler. */
export const Decided = createParamDecorator((_: unknown, context: ExecutionContext) => decisionOf(context));
