/** A full explanation. Its size is bounded for every policy. */
import type { Json } from './request.js';

/** How a role is held: `alice → team-lead → editor`. */
export interface RolePath {
  readonly definition: string;
  readonly path: readonly string[];
  readonly domain?: string;
}

export interface ExplainedRule {
  readonly rule: readonly string[];
  readonly effect: string;
  readonly file: string;
  readonly line: number;
}

export interface MatchingRule extends ExplainedRule {
  readonly roles: readonly RolePath[];
}

/** A term of the matcher, or of a rule's condition, that did not hold. */
export interface FailedTerm {
  readonly term: string;
  /** Values of its operands that could be read. */
  readonly operands: readonly { readonly text: string; readonly value: Json }[];
  /** A sentence for a person. */
  readonly message: string;
}

export interface NearMiss extends ExplainedRule {
  readonly failed: readonly FailedTerm[];
}

/** A change that would allow: another value in the request, or a role that the subject lacks. */
export type Change =
  | { readonly kind: 'request'; readonly path: string; readonly from?: Json; readonly to: Json }
  | {
      readonly kind: 'role';
      readonly definition: string;
      readonly name: string;
      readonly role: string;
      readonly domain?: string;
    };

export interface SmallestChange extends ExplainedRule {
  readonly changes: readonly Change[];
}

export interface Explanation {
  /** One sentence for a person: why, and for a deny what was missing. */
  readonly summary: string;
  readonly matching: readonly MatchingRule[];
  readonly nearMisses: readonly NearMiss[];
  /** Each was verified by deciding again. */
  readonly changes: readonly SmallestChange[];
  /** False if the limits of an explanation left out rules or results. */
  readonly complete: boolean;
}
