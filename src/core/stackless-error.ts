/** V8's number of calls in a stack trace; other engines ignore it. */
const engineErrors = Error as { stackTraceLimit?: number | undefined } & ErrorConstructor;

/**
 * An error without a stack trace. Requests can cause such errors at will, and a trace is the dearest part of an error.
 */
export class StacklessError extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = engineErrors;
    engineErrors.stackTraceLimit = 0;
    super(message);
    engineErrors.stackTraceLimit = stackTraceLimit;
  }
}
