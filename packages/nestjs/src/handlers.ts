import 'reflect-metadata';
import type { MetadataScanner, ModulesContainer } from '@nestjs/core';

type Class = abstract new (...args: never[]) => unknown;
export type Method = (...args: never[]) => unknown;

/**
 * - `entry`: callers reach it: a route, a message, a query, a mutation, a subscription
 * - `reference`: callers of a federated GraphQL reach it, and Nest runs its guards only where it is told to
 * - `field`: reached from the query above it, which was decided; guards as for a reference
 * - `none`: nobody reaches it from outside
 *
 * A class may be a controller and be offered as a provider too: there its routes are none, and nothing is wrong with them.
 */
export type HandlerKind = 'entry' | 'reference' | 'field' | 'none';

/** A method of a controller or a provider. */
export interface Handler {
  readonly owner: Class;
  readonly name: string;
  readonly method: Method;
  readonly kind: HandlerKind;
}

/** How Nest and its packages mark what callers reach, by the names that these have there. */
const marks: readonly (readonly [mark: string, kind: HandlerKind, of: 'controllers' | 'providers'])[] = [
  ['path', 'entry', 'controllers'],
  ['microservices:pattern', 'entry', 'controllers'],
  ['websockets:message_mapping', 'entry', 'providers'],
  ['graphql:resolver_type', 'entry', 'providers'],
  ['graphql:resolve_reference', 'reference', 'providers'],
  ['graphql:resolve_property', 'field', 'providers'],
];

/** A field of one of these is no part of what was decided above it: nothing is above it. */
const roots: readonly unknown[] = ['Query', 'Mutation', 'Subscription'];

/** The classes of the controllers and providers that are known by now. What a factory makes is there once it is made. */
export function* classesOf(modules: ModulesContainer): Generator<{ owner: Class; isController: boolean }> {
  for (const module of modules.values()) {
    for (const isController of [true, false]) {
      for (const { instance, metatype } of (isController ? module.controllers : module.providers).values()) {
        const owner: unknown = instance?.constructor ?? metatype;
        if (typeof owner === 'function' && owner.prototype) yield { owner: owner as Class, isController };
      }
    }
  }
}

/** All methods of the controllers and providers. */
export function* handlersOf(modules: ModulesContainer, scanner: MetadataScanner): Generator<Handler> {
  for (const { owner, isController } of classesOf(modules)) {
    const isRoot = roots.includes(Reflect.getMetadata('graphql:resolver_type', owner));
    for (const name of scanner.getAllMethodNames(owner.prototype)) {
      const method: Method = owner.prototype[name];
      const marked = marks.filter(([key]) => Reflect.hasMetadata(key, method));
      const mark = marked.find(([, , holder]) => holder === (isController ? 'controllers' : 'providers'));
      if (mark === undefined && marked.length > 0) continue;
      const kind = mark?.[1] ?? 'none';
      yield { owner, name, method, kind: kind === 'field' && isRoot ? 'entry' : kind };
    }
  }
}

/** Whether what is provided by a token is made anew for each request, in a module. */
export function isOfRequest(modules: ModulesContainer, token: symbol): boolean {
  return [...modules.values()].some((module) => module.providers.get(token)?.isDependencyTreeStatic() === false);
}

/** Whether GraphQL runs the guards of fields and references, in every module of it; undefined where there is none. */
export function guardsFields(modules: ModulesContainer): boolean | undefined {
  const options = [...modules.values()].flatMap((module) => {
    const instance: unknown = module.providers.get('GqlModuleOptions')?.instance;
    return typeof instance === 'object' && instance !== null ? [instance] : [];
  });
  if (options.length === 0) return undefined;
  return options.every((each) => (Reflect.get(each, 'fieldResolverEnhancers') ?? []).includes('guards'));
}
