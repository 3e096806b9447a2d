/**
 * What the OpenAPI document says of a route. It stands beside the route, in its Fastify config, for controllers and for
 * Fastify's own routes alike; `http/access.ts` collects it as routes are declared, and `api/openapi.ts` writes it down.
 *
 * Why @nestjs/swagger's decorators are not used: docs/decisions/0009-routes-describe-themselves.md.
 */
import type { AnswerShape } from '../answers/members.js';
import type { ErrorCode } from '../errors.js';
import { addRouteConfig } from './route-config.js';

type RequestShape = new () => object;

export interface Operation {
  /** A verb and a noun: clients have a function of this name. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** The class that the query string is validated by. */
  readonly query?: RequestShape;
  /** The class that the body is validated by. */
  readonly body?: RequestShape;
  /** The content type of a body that is bytes, which the route takes in place of JSON. */
  readonly bytes?: string;
  /** Whether members that the body's class does not know are ignored; they are refused otherwise. */
  readonly ignoresUnknown?: true;
  readonly examples?: Readonly<Record<string, OperationExample>>;
  readonly headers?: readonly OperationHeader[];
  /** By status. */
  readonly answers: Readonly<Record<number, OperationAnswer>>;
  /** How the route refuses, beside what every route does. */
  readonly refusals?: readonly ErrorCode[];
  /** For a route of all methods: the method that the document shows. */
  readonly shownMethod?: string;
}

export interface OperationHeader {
  readonly name: string;
  readonly required?: true;
  readonly description?: string;
  /** What a value must match that is not refused as unreadable. */
  readonly pattern?: string;
}

export interface OperationExample {
  readonly summary: string;
  readonly value: unknown;
}

export interface OperationAnswer {
  readonly description: string;
  /** The class of a JSON answer, or its possible classes. */
  readonly json?: AnswerShape | readonly AnswerShape[];
  /** The content types of an answer that is text. */
  readonly text?: readonly string[];
}

/** Describes a route of a controller. */
export const Documented = (operation: Operation): MethodDecorator => addRouteConfig({ operation });
