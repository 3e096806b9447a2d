/** V8's own switch for how many calls an error remembers; other engines do not look at it. */
const engineErrors = Error as { stackTraceLimit?: number | undefined } & ErrorConstructor;

/** An error without a stack, which costs more to write than all else: requests can cause it at will. */
export class StacklessError extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = engineErrors;
    engineErrors.stackTraceLimit = 0;
    super(message);
    engineErrors.stackTraceLimit = stackTraceLimit;
  }
}
