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

/** All methods of the controllers and providers whose classes are known by now. What a factory makes is there once it is made. */
export function* handlersOf(modules: ModulesContainer, scanner: MetadataScanner): Generator<Handler> {
  for (const module of modules.values()) {
    for (const of of ['controllers', 'providers'] as const) {
      for (const { instance, metatype } of module[of].values()) {
        const owner: unknown = instance?.constructor ?? metatype;
        if (typeof owner !== 'function' || !owner.prototype) continue;
        for (const name of scanner.getAllMethodNames(owner.prototype)) {
          const method: Method = owner.prototype[name];
          const marked = marks.filter(([key]) => Reflect.hasMetadata(key, method));
          const mark = marked.find(([, , holder]) => holder === of);
          if (mark === undefined && marked.length > 0) continue;
          yield { owner: owner as Class, name, method, kind: mark?.[1] ?? 'none' };
        }
      }
    }
  }
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
