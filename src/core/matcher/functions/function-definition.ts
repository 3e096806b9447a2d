import type { Json } from '../../request.js';
import { StacklessError } from '../../stackless-error.js';
import type { StepMeter } from '../../step-budget.js';

/** A call failed: an error of the rule that made it. */
export class FunctionError extends StacklessError {
  override readonly name = 'FunctionError';
}

export interface Parameter {
  readonly name: string;
  readonly type: 'string' | 'number' | 'boolean' | 'list' | 'any';
  readonly optional?: true;
}

/**
 * A prepared pattern: tests whether a name matches. May throw FunctionError (`ipMatch` on a name that is not an
 * address).
 */
export type PatternTest = (name: string, meter: StepMeter) => boolean;

/**
 * A function that matchers can call. It counts its steps on the given meter; the call itself is counted by the caller.
 */
export interface FunctionDefinition {
  readonly name: string;
  /** `casbin`: answers as the function of that name in Casbin's Go implementation. */
  readonly origin: 'casbin' | 'verdict';
  readonly summary: string;
  readonly example: string;
  readonly parameters: readonly Parameter[];
  readonly returns: 'boolean' | 'string' | 'number' | 'list';
  /** For functions whose second argument is a pattern: prepares it once. Throws FunctionError when the pattern is broken. */
  readonly prepare?: (pattern: string) => PatternTest;
  /** Steps for preparing a pattern, by its text alone, where it is first met while a request is evaluated. */
  readonly stepsToPrepare?: (pattern: string) => number;
  /**
   * The caller has checked number and types of the arguments against `parameters`. It may throw FunctionError, and what
   * the meter throws. `now` is the decision's clock in milliseconds since the epoch.
   */
  readonly call: (args: readonly Json[], now: number, meter: StepMeter) => Json;
}
