import type { ExecutionContext, Type } from '@nestjs/common';
import type { Untyped } from './options.js';

/** A call that is to be decided, by whatever transport it came. */
export interface Call {
  readonly context: ExecutionContext;
  /** The request; in GraphQL that of its context, in a message the context of its transport, in a gateway the client. */
  readonly request: Untyped;
  /**
   * Parameters of the route, arguments in GraphQL, what a message says. As they came: no pipe has seen them. A copy without a
   * prototype, so what did not come is undefined whatever it is called.
   */
  readonly params: Params;
  readonly user: unknown;
  /** A provider of the application: `get(InvoiceStore).find(params.id)`. */
  get<T>(token: Type<T> | string | symbol): T;
}

export type Params = Readonly<Record<string, Untyped>>;

type Transport = Pick<Call, 'request' | 'params' | 'user'>;

/** The handler that is called, for the log. */
export function nameOf(context: ExecutionContext): string {
  return `${context.getClass().name}.${context.getHandler().name}`;
}

/** What each transport has where. */
export function transportOf(context: ExecutionContext): Transport {
  const args = context.getArgs();
  const [first, second, third] = args;
  switch (context.getType<string>()) {
    case 'http':
      return { request: first, params: ownOf(first?.params), user: first?.user };
    case 'graphql': {
      // A reference resolver has no arguments but the reference: (reference, context, info).
      const [params, its] = args.length === 3 ? [first, second] : [second, third];
      const request = its?.req ?? its?.request ?? its;
      return { request, params: ownOf(params), user: request?.user };
    }
    case 'ws':
      return { request: first, params: ownOf(second), user: first?.user ?? first?.data?.user };
    // A message of a microservice, and transports that somebody adds in its way.
    default:
      return { request: second, params: ownOf(first), user: second?.user };
  }
}

/**
 * The object that is there for this call alone and that its parameter decorators see too. One HTTP request may hold several calls
 * of GraphQL, and one client of a gateway sends many messages.
 */
export function keyOf(context: Pick<ExecutionContext, 'getType' | 'getArgs'>): object | undefined {
  const args = context.getArgs();
  const place = { http: 0, graphql: args.length - 1, rpc: 1, ws: 1 }[context.getType<string>()] ?? 1;
  const key: unknown = args[place];
  return typeof key === 'object' && key !== null ? key : undefined;
}

function ownOf(value: unknown): Params {
  const own = Object.create(null);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.assign(own, value) : own;
}
