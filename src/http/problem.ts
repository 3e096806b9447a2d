/** Errors as the caller sees them: RFC 9457 problem details. The operator finds the rest in the log, by the request id. */
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { JSONSchema } from 'class-validator-jsonschema';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { Integer, Parts, Text, Time } from '../answers/members.js';
import { DatabaseError } from '../database/database-error.js';
import { MissingEncryptionKey } from '../encryption/encryption-keys.js';
import { type ErrorCode, errorTable, type FieldError, VerdictError } from '../errors.js';
import { requestIdHeader, traceOf } from './request-ids.js';

export const problemType = 'application/problem+json';

/** One fault in a request. */
export class RequestFault implements FieldError {
  @Text({ description: 'Where in the request, as a JSON pointer; empty for the whole of it.' })
  readonly pointer!: string;

  @Text()
  readonly detail!: string;
}

@JSONSchema({ description: 'What went wrong (RFC 9457).' })
export class Problem {
  @Text({ description: '`urn:verdict:problem:` and the code, such as `invalid_request`.' })
  readonly type!: string;

  @Text()
  readonly title!: string;

  @Integer()
  readonly status!: number;

  @Text()
  readonly detail!: string;

  @Text({ description: 'This occurrence: `urn:verdict:request:` and the request id, which the log has too.' })
  readonly instance!: string;

  @Parts(() => RequestFault, { optional: true, description: 'Every fault; with status 400 there is one at least.' })
  readonly errors?: readonly FieldError[];

  @Integer({
    optional: true,
    description:
      'Of a decision that is not found while a replica has records that it did not ship to the shared decision log: the ' +
      'number of its writer there. Another try may find it.',
  })
  readonly writer?: number;

  @Time({ optional: true, description: 'Given with `writer`: its records from before this time are there.' })
  readonly shippedTo?: string;

  @Integer({ optional: true, description: 'Of `records_missing`: the number of the record that is wanted next.' })
  readonly next?: number;
}

/** Most faults of a problem, and most characters of each text in it: a name in a body can be a megabyte long. */
const maxFaults = 100;
const maxText = 2_000;

export function problemOf(error: VerdictError, requestId: string): Problem {
  const { status, title } = errorTable[error.code];
  const detail = short(error.detail);
  // A 400 always names a place; without a closer one, the whole body.
  const errors =
    error.extra.errors
      ?.slice(0, maxFaults)
      .map((fault) => ({ pointer: short(fault.pointer), detail: short(fault.detail) })) ??
    (status === 400 ? [{ pointer: '', detail }] : undefined);
  return {
    type: `urn:verdict:problem:${error.code}`,
    title,
    status,
    detail,
    instance: `urn:verdict:request:${encodeURIComponent(requestId)}`,
    ...(errors !== undefined && { errors }),
    ...error.extra.unshipped,
    ...(error.extra.next !== undefined && { next: error.extra.next }),
  };
}

function short(text: string): string {
  return text.length <= maxText ? text : `${text.slice(0, maxText - 1)}…`;
}

/** Turns errors of all routes, and of the frameworks below, into responses. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const error = asVerdictError(thrown);
    // A demand that is not met is the answer that was asked for; metrics count it.
    if (error.status >= 500 && error.code !== 'policy_too_old') {
      const about = { requestId: request.id, ...traceOf(request), code: error.code };
      this.logger.error({ err: error.extra.cause ?? thrown, ...about }, error.detail);
    }
    if (!reply.sent) sendProblem(reply, error, request.id);
  }
}

export function sendProblem(reply: FastifyReply, error: VerdictError, requestId: string): void {
  if (error.extra.retryAfter !== undefined) reply.header('retry-after', error.extra.retryAfter);
  reply
    .code(error.status)
    .header(requestIdHeader, requestId)
    .header('content-type', problemType)
    .send(JSON.stringify(problemOf(error, requestId)));
}

/** Converts what the frameworks throw. An error that is not the caller's becomes `internal_error` without detail. */
export function asVerdictError(thrown: unknown): VerdictError {
  if (thrown instanceof VerdictError) return thrown;
  if (thrown instanceof DatabaseError && thrown.isUnavailable) {
    const detail = 'The database cannot be read or written now.';
    return new VerdictError('database_unavailable', detail, { cause: thrown, retryAfter: 1 });
  }
  if (thrown instanceof MissingEncryptionKey) {
    const detail = `What is asked for is encrypted, and the key ${thrown.fingerprint} is needed to read it.`;
    return new VerdictError('database_unavailable', detail, { cause: thrown });
  }
  const code = codeOf(statusOf(thrown));
  const detail =
    code === 'internal_error' ? 'The service failed to answer this request.' : asSentence((thrown as Error).message);
  return new VerdictError(code, detail, { cause: thrown });
}

function statusOf(thrown: unknown): number {
  if (thrown instanceof HttpException) return thrown.getStatus();
  // Fastify's errors, and those of its plugins
  const { statusCode } = thrown as { statusCode?: unknown };
  return typeof statusCode === 'number' ? statusCode : 500;
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 401:
      return 'unauthenticated';
    case 403:
      return 'forbidden';
    case 404:
      return 'not_found';
    case 405:
      return 'method_not_allowed';
    case 413:
      return 'payload_too_large';
    case 429:
      return 'too_many_requests';
    default:
      return status >= 400 && status < 500 ? 'malformed_request' : 'internal_error';
  }
}

/** A message of a framework in the form of our details: a capital first, a period last. */
function asSentence(message: string): string {
  const ended = /[.!?]$/.test(message) ? message : `${message}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
