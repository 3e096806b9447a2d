import type { Json } from '../../request.js';

/** A call that has no result: an error of the rule that made it. Carries no stack: requests can cause it at will. */
export class FunctionError extends Error {
  override readonly name = 'FunctionError';

  constructor(message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

export interface Parameter {
  readonly name: string;
  readonly type: 'string' | 'number' | 'boolean' | 'list' | 'any';
  readonly optional?: true;
}

/** A function that matchers can call. */
export interface FunctionDefinition {
  readonly name: string;
  /** `casbin`: answers as the function of that name in Casbin's Go implementation. */
  readonly origin: 'casbin' | 'verdict';
  readonly summary: string;
  readonly example: string;
  readonly parameters: readonly Parameter[];
  readonly returns: 'boolean' | 'string' | 'number' | 'list';
  /**
   * For functions whose second argument is a pattern: prepares it once. Throws FunctionError when the pattern is broken.
   * The predicate may throw FunctionError, too (`ipMatch` on a name that is no address).
   */
  readonly prepare?: (pattern: string) => (name: string) => boolean;
  /**
   * Number and types of the arguments were checked by the caller against `parameters`. May throw FunctionError, nothing
   * else. `now` is the decision's clock in milliseconds since the epoch.
   */
  readonly call: (args: readonly Json[], now: number) => Json;
}
