/** What a compiled expression sees while it runs: one request, one rule, the clock. */
import type { Diagnostic } from '../decision.js';
import type { Json } from '../request.js';
import { defaultStepBudget, type StepMeter, stepBudgetExceeded } from '../step-budget.js';
import type { EntityAttributes } from './entity-attributes.js';
import { LookUp } from './look-up.js';

/** The value of a column where attributes are read from it; undefined when the request does not have it. */
export type AttributeSource = Json | EntityAttributes | undefined;

/** Returned instead of a value when an expression fails; what went wrong is in `scope.fault`. */
export const fault: unique symbol = Symbol('fault');
export type Outcome = Json | typeof fault;

export type Evaluator = (scope: Scope) => Outcome;

/** Why an expression has no value. The message is written only when somebody reads it. */
export class Fault {
  constructor(
    readonly code: string,
    private readonly describe: () => string,
  ) {}

  get message(): string {
    return this.describe();
  }
}

export interface AssumedLink {
  /** The role definition, `g`. */
  readonly definition: string;
  readonly name: string;
  readonly role: string;
  readonly domain: string | undefined;
}

/** Where the columns of rules are read from. */
export interface RuleColumns {
  text(column: number, rule: number): string;
}

/** For a matcher that is asked without rules: every policy column is an empty text. */
export const noRules: RuleColumns = { text: () => '' };

const nothing: readonly never[] = Object.freeze([]);

/** For saying why a value is missing or wrong. */
const stepsPerFault = 20;

/** One evaluation's state. It is used again for the next request: nothing may hold on to it. */
export class Scope implements StepMeter {
  /** By position in the request definition; undefined for what the request does not have. */
  values: readonly (Json | undefined)[] = nothing;
  sources: readonly AttributeSource[] = [];
  /** The rule at hand: its index among these. */
  rules: RuleColumns = noRules;
  rule = 0;
  /** Milliseconds since the epoch. */
  now = 0;
  stepsLeft = defaultStepBudget;
  evalDepth = 0;
  fault: Fault | undefined;
  /** What was found before the rules are asked and does not keep them from being asked. */
  warnings: readonly Diagnostic[] | undefined;
  /** A role link that does not exist, for the question what would change if it did. */
  assumedLink: AssumedLink | undefined;
  /** How its candidates are found. */
  readonly lookUp = new LookUp();
  /** What one part of the evaluation found out and another one needs, by who found it. */
  readonly memory = new Map<object, unknown>();
  /** What was asked for, by whom. */
  private readonly asked = new Map<object, Set<string>>();

  /** Lets go of everything that the request brought. */
  reset(): void {
    this.values = nothing;
    this.sources = nothing;
    this.rules = noRules;
    this.now = 0;
    this.stepsLeft = defaultStepBudget;
    this.evalDepth = 0;
    this.fault = undefined;
    this.warnings = undefined;
    this.assumedLink = undefined;
    if (this.memory.size > 0) this.memory.clear();
    if (this.asked.size > 0) this.asked.clear();
  }

  fail(code: string, describe: () => string): typeof fault {
    this.spend(stepsPerFault);
    this.fault = new Fault(code, describe);
    return fault;
  }

  spend(steps: number): void {
    this.stepsLeft -= steps;
    if (this.stepsLeft < 0) throw stepBudgetExceeded;
  }

  isFirst(owner: object, text: string): boolean {
    const known = this.asked.get(owner);
    if (known === undefined) {
      this.asked.set(owner, new Set([text]));
      return true;
    }
    if (known.has(text)) return false;
    known.add(text);
    return true;
  }
}

let spare: Scope | undefined;

/**
 * Runs an evaluation on a scope that is used again and again. A function of the embedding program may ask the engine
 * something in turn; it then gets a scope of its own.
 */
export function withScope<Result>(evaluate: (scope: Scope) => Result): Result {
  const scope = spare ?? new Scope();
  spare = undefined;
  try {
    return evaluate(scope);
  } finally {
    scope.reset();
    spare = scope;
  }
}
