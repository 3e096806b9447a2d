/** The input of a compiled expression: one request, one rule, the clock. */
import type { Diagnostic } from '../decision.js';
import type { Json } from '../request.js';
import { defaultStepBudget, type StepMeter, stepBudgetExceeded } from '../step-budget.js';
import type { EntityAttributes } from './entity-attributes.js';
import { LookUp } from './look-up.js';

/** The value of a column that attributes are read from; undefined if the request does not have it. */
export type AttributeSource = Json | EntityAttributes | undefined;

/** Returned instead of a value when an expression fails. The cause is in `scope.fault`. */
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

/** The links of one role definition. */
export interface RoleRelation {
  /** Whether `name` is `role` or inherits it, in `domain` where the definition has domains. */
  isRole(name: string, role: string, domain: string | undefined, scope: Scope): boolean;
  /** True if `isRole` holds for a text of the list. Other values in the list are ignored. */
  isRoleOfAny(names: readonly Json[], role: string, domain: string | undefined, scope: Scope): boolean;
}

/** Where the columns of rules are read from. */
export interface RuleColumns {
  text(column: number, rule: number): string;
}

/** For a matcher that is asked without rules: every policy column is an empty text. */
export const noRules: RuleColumns = { text: () => '' };

const nothing: readonly never[] = Object.freeze([]);

/** Steps for a fault: finding out why a value is missing or wrong. */
const stepsPerFault = 20;

/** The state of one evaluation. It is reused for the next request, so no reference to it may be kept. */
export class Scope implements StepMeter {
  /** Values by position in the request definition; undefined for those that the request does not have. */
  values: readonly (Json | undefined)[] = nothing;
  sources: readonly AttributeSource[] = [];
  /** The rules that `rule` is an index of. */
  rules: RuleColumns = noRules;
  rule = 0;
  /** The links of the role definitions of the set, in the order of the model. */
  roles: readonly RoleRelation[] = nothing;
  /** Milliseconds since the epoch. */
  now = 0;
  stepsLeft = defaultStepBudget;
  evalDepth = 0;
  /** What `it` is in the condition of `any`, `all` or `count`. */
  item: Json = null;
  fault: Fault | undefined;
  /** Findings from before the rules are evaluated, which do not end the evaluation. */
  warnings: readonly Diagnostic[] | undefined;
  /** A role link that is assumed to exist, for the question what it would change. */
  assumedLink: AssumedLink | undefined;
  /** State of the look-up of candidates. */
  readonly lookUp = new LookUp();
  /** Results that parts of the evaluation share, by the object that found them. */
  readonly memory = new Map<object, unknown>();
  /** Texts for which `isFirst` was called, by owner. */
  private readonly asked = new Map<object, Set<string>>();

  /** Removes all references to the request. */
  reset(): void {
    this.values = nothing;
    this.sources = nothing;
    this.rules = noRules;
    this.roles = nothing;
    this.now = 0;
    this.stepsLeft = defaultStepBudget;
    this.evalDepth = 0;
    this.item = null;
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
