/** What an answer is made of. A deny is a value like any other; nothing in here is thrown. */
import type { Explanation } from './explanation.js';
import type { Json } from './request.js';

export type Effect = 'allow' | 'deny';

export const reasonCodes = [
  'rule_allowed',
  'rule_denied',
  'no_matching_rule',
  'allowed_by_default',
  'evaluation_error',
  'domain_conflict',
  'unknown_entity',
  'schema_violation',
  'step_budget_exceeded',
] as const;
export type ReasonCode = (typeof reasonCodes)[number];

/** Why it was decided so. `rule` is the deciding rule as its line in the file says it, its type (`p`, `p2`) first. */
export interface Reason {
  readonly code: ReasonCode;
  readonly rule?: readonly string[];
  readonly file?: string;
  readonly line?: number;
  /** What the deciding rule's own `reason` column says. */
  readonly message?: Json;
}

/** Something that went wrong while deciding: in one rule, or, when `rule` is missing, outside any rule. */
export interface Diagnostic {
  readonly code: string;
  readonly message: string;
  /** A JSON pointer into the normal form of the request, where the fault is there: `/subject/attributes/age`. */
  readonly pointer?: string;
  readonly rule?: readonly string[];
  readonly file?: string;
  readonly line?: number;
}

/** The engine's answer to one question. */
export interface EngineDecision {
  readonly decision: Effect;
  readonly reason: Reason;
  /** Of the deciding rule; empty when it has none. */
  readonly obligations: readonly Json[];
  readonly advice?: readonly Json[];
  readonly errors: readonly Diagnostic[];
  /** Only when it was asked for with `explain: full`. */
  readonly explanation?: Explanation;
}
