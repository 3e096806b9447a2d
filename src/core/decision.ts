/** The parts of an answer. A deny is a value; none of these is thrown. */
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
  'obligation_unsupported',
] as const;
export type ReasonCode = (typeof reasonCodes)[number];

/** The reason for a decision. `rule` is the deciding rule as written in its file, its type (`p`, `p2`) first. */
export interface Reason {
  readonly code: ReasonCode;
  readonly rule?: readonly string[];
  readonly file?: string;
  readonly line?: number;
  /** The `reason` column of the deciding rule. */
  readonly message?: Json;
}

/** Something that went wrong while deciding: in one rule, or, when `rule` is missing, outside any rule. */
export interface Diagnostic {
  readonly code: string;
  readonly message: string;
  /** JSON pointer into the normal form of the request, if the fault is in it: `/subject/attributes/age`. */
  readonly pointer?: string;
  readonly rule?: readonly string[];
  readonly file?: string;
  readonly line?: number;
}

/** The engine's answer to one question. */
export interface EngineDecision {
  readonly decision: Effect;
  readonly reason: Reason;
  /** Obligations of the deciding rule; empty if it has none. */
  readonly obligations: readonly Json[];
  readonly advice?: readonly Json[];
  readonly errors: readonly Diagnostic[];
  /** Only with `explain: full`. */
  readonly explanation?: Explanation;
}
