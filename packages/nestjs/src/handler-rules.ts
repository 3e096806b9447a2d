import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { GUARDS_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import { classesOf, guardsFields, type Handler, handlersOf, isOfRequest, type Method } from './handlers.js';
import { lastGuard } from './last-guard.js';
import { isRuleLost, ownRuleOf, type Rule, ruleOf } from './rules.js';
import { settingsToken } from './tokens.js';

/** What holds for a handler of this application. */
export interface Known {
  /** `part`: a field, which the query above it let in. */
  readonly rule: Rule | 'part';
  /** How often `lastGuard` runs for it. */
  readonly guards: number;
}

/** The rules of all handlers, looked up before the application starts: one that has none stops the start. */
@Injectable()
export class HandlerRules implements OnModuleInit {
  private readonly known = new WeakMap<object, WeakMap<object, Known>>();
  private readonly scanner = new MetadataScanner();

  /**
   * Looks at all classes before Nest makes routes of them, before a microservice could listen, and before a policy set is fetched.
   *
   * @throws Error with the names of all handlers that have no rule
   */
  constructor(@Inject(ModulesContainer) private readonly modules: ModulesContainer) {
    this.learn((handler) => {
      // Nest reads a handler's guards when it makes the route, which is after this.
      if (ruleFor(handler) !== 'public') putLast(handler.method);
    });
  }

  /** Again, with what factories made since. */
  onModuleInit(): void {
    // Its guard would be of a request too, and releases of NestJS 11 leave such a global guard out without a word.
    if (isOfRequest(this.modules, settingsToken)) {
      throw new Error(
        'VerdictGuard refuses to start: inject nothing that is request-scoped into the options of VerdictModule',
      );
    }
    this.learn();
  }

  of(owner: object, method: object): Known | undefined {
    return this.known.get(method)?.get(owner);
  }

  private learn(prepare: (handler: Handler) => void = () => {}): void {
    const faults = new Set<string>();
    const areFieldsGuarded = guardsFields(this.modules);
    const found: { readonly handler: Handler; readonly rule: Rule | undefined }[] = [];
    const reached = new Set<object>();
    for (const handler of handlersOf(this.modules, this.scanner)) {
      const { owner, name, kind } = handler;
      const rule = ruleFor(handler);
      if (isRuleLost(owner.prototype, name)) {
        faults.add(
          `${owner.name}.${name} lost its rule: a decorator above the rule replaced the method; write the rule on top`,
        );
      }
      if (kind === 'none') {
        if (rule !== undefined) faults.add(`${owner.name}.${name} has a rule, but callers do not come by it`);
        continue;
      }
      reached.add(owner);
      if (rule === undefined && kind !== 'field')
        faults.add(`${owner.name}.${name} has neither @Authorize nor @Public`);
      if (typeof rule === 'object' && kind !== 'entry' && areFieldsGuarded === false) {
        faults.add(`${owner.name}.${name} needs { fieldResolverEnhancers: ['guards'] } of its GraphQLModule`);
      }
      found.push({ handler, rule });
    }
    for (const { owner, isController } of classesOf(this.modules)) {
      // A controller that is offered as a provider too has its routes elsewhere.
      if (ownRuleOf(owner) === undefined || reached.has(owner) || isController) continue;
      faults.add(`${owner.name} has a rule, but no handler that it is for`);
    }
    // All are prepared before one is counted: classes may have a method of the same base, where one class is public.
    for (const { handler, rule } of found) {
      if (rule !== undefined && this.of(handler.owner, handler.method) === undefined) prepare(handler);
    }
    for (const { handler, rule } of found) {
      const { owner, method } = handler;
      const owners = this.known.get(method) ?? new WeakMap<object, Known>();
      if (owners.has(owner)) continue;
      // Counted now, as Nest will find them: one that comes later can only be one too many, and is asked after the decision.
      owners.set(owner, { rule: rule ?? 'part', guards: timesLast(owner) + timesLast(method) });
      this.known.set(method, owners);
    }
    if (faults.size > 0)
      throw new Error(`VerdictGuard refuses to start:\n${[...faults].map((fault) => `- ${fault}`).join('\n')}`);
  }
}

/** A class that is public says nothing of fields, which are decided above; one that asks does so for its fields too. */
function ruleFor({ owner, method, kind }: Handler): Rule | undefined {
  const own = ownRuleOf(method);
  if (own !== undefined || kind === 'none') return own;
  const rule = ruleOf(owner, method);
  return kind === 'field' && rule === 'public' ? undefined : rule;
}

function guardsOf(target: object): readonly unknown[] {
  return Reflect.getMetadata(GUARDS_METADATA, target) ?? [];
}

function timesLast(target: object): number {
  return guardsOf(target).filter((guard) => guard === lastGuard).length;
}

function putLast(method: Method): void {
  Reflect.defineMetadata(
    GUARDS_METADATA,
    [...guardsOf(method).filter((guard) => guard !== lastGuard), lastGuard],
    method,
  );
}
