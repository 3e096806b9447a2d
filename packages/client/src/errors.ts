import type { Problem } from './types.js';

/** All that the client throws on purpose, but for mistakes of its caller that need no service to be seen (`TypeError`). */
export class VerdictError extends Error {
  override readonly name: string = 'VerdictError';
}

/**
 * The service refused the question, and would refuse it again: what was asked is not valid, or the caller may not ask it.
 *
 *     catch (error) {
 *       if (error instanceof VerdictProblem && error.code === 'policy_set_not_found') …
 *     }
 */
export class VerdictProblem extends VerdictError {
  override readonly name = 'VerdictProblem';

  /** @param problem as the service says it (RFC 9457) */
  constructor(readonly problem: Problem) {
    super(messageOf(problem));
  }

  /** The last part of its type: `invalid_request`, `unauthenticated`, `policy_set_not_found`… */
  get code(): string {
    return codeOf(this.problem);
  }

  get status(): number {
    return this.problem.status;
  }
}

/**
 * Why there is no answer:
 *
 * - `network`: nobody was reached, the connection broke, or the other side is not who its certificate should say it is
 * - `timeout`: nothing came within the time
 * - `aborted`: the caller's signal ended the call
 * - `malformed`: what came is no answer of the service: another status, content type or body, a body that was cut off, a redirect
 * - `refused`: the service says that it cannot answer now (429, 5xx); `problem` has its words
 * - `too_old`: a client that decides by itself was not told for too long that its policy set is the one that serves
 * - `clock_off`: the clock of such a client's machine differs from that of the service by more than five minutes
 * - `unrecorded`: such a client has no room for another record, or was closed
 * - `no_key`: the `apiKey` function failed, or gave something that is no key; `cause` has its error. Nobody was asked
 */
export type Unavailability =
  | 'network'
  | 'timeout'
  | 'aborted'
  | 'malformed'
  | 'refused'
  | 'too_old'
  | 'clock_off'
  | 'unrecorded'
  | 'no_key';

/** One try to get an answer. */
export interface Attempt {
  readonly baseUrl: string;
  readonly kind: Unavailability;
  readonly message: string;
}

interface UnavailabilityDetails {
  readonly cause?: unknown;
  readonly problem?: Problem;
  readonly retryAfterMs?: number | undefined;
  readonly status?: number | undefined;
}

/** There is no answer. It is neither an allow nor a deny: whoever asked does not go ahead. */
export class VerdictUnavailable extends VerdictError {
  override readonly name = 'VerdictUnavailable';
  /** What the service said, if it said that it cannot answer now. */
  readonly problem: Problem | undefined;
  /** Milliseconds after which the service wants to be asked again, if it said so. */
  readonly retryAfterMs: number | undefined;
  /** The status of what came and is no answer. */
  readonly status: number | undefined;

  /** @param attempts all that was tried, in that order; nothing where a question was joined to others and its time was over first */
  constructor(
    readonly kind: Unavailability,
    message: string,
    { cause, problem, retryAfterMs, status }: UnavailabilityDetails = {},
    readonly attempts: readonly Attempt[] = [],
  ) {
    super(message, { cause });
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
    this.status = status;
  }
}

export function codeOf({ type }: Problem): string {
  return type.slice(type.lastIndexOf(':') + 1);
}

export function messageOf(problem: Problem): string {
  return `${codeOf(problem)}: ${problem.detail}`;
}

/** Whether the time of a batch was over before the question was decided, which says nothing of the question. */
export function isOutOfTime(problem: Problem): boolean {
  return codeOf(problem) === 'batch_out_of_time';
}

/** Whether another try may be answered: the service is not able to just now, and the question is not the reason. */
export function isPassing({ status }: Problem): boolean {
  return status === 429 || status >= 500;
}
