/** What names mean in an expression: columns, functions, role definitions. One for each combination of r and p. */

import type { Json } from '../request.js';
import type { Expression } from './ast.js';
import type { FunctionDefinition, PatternTest } from './functions/function-definition.js';
import type { Evaluator, Scope } from './scope.js';

/** The links of one role definition. */
export interface RoleRelation {
  /** Whether `name` is `role` or inherits it, in `domain` where the definition has domains. */
  isRole(name: string, role: string, domain: string | undefined, scope: Scope): boolean;
  /** Whether `isRole` holds for a text of a list; what else is in the list names no role. */
  isRoleOfAny(names: readonly Json[], role: string, domain: string | undefined, scope: Scope): boolean;
}

/** A function that the embedding program adds; what it throws is an error of the rule that called it. */
export type CustomFunction = (...args: Json[]) => unknown;

export interface Environment {
  /** Inner names (`r_sub`) to positions. */
  readonly requestColumns: ReadonlyMap<string, number>;
  readonly policyColumns: ReadonlyMap<string, number>;
  readonly roles: ReadonlyMap<string, RoleRelation>;
  readonly functions: ReadonlyMap<string, FunctionDefinition>;
  readonly customFunctions: ReadonlyMap<string, CustomFunction>;
  /** Whether `eval` is a function here: in Casbin it is one only where the matcher's text calls it. */
  readonly hasEval: boolean;
  readonly conditions: Conditions;
  readonly patterns: PreparedPatterns;
  /** Told of what cannot work although it parses; the strict loader makes problems of it. */
  readonly report: (flaw: Flaw) => void;
}

export interface Flaw {
  readonly code: 'unknown_column' | 'wrong_argument_count' | 'bad_argument' | 'bad_pattern' | 'eval_of_request';
  readonly message: string;
  readonly hint?: string;
  readonly at: number;
  /** The definitions that the name belongs to, for one that is unknown. */
  readonly of?: 'r' | 'p' | undefined;
}

/** Conditions of rules, the texts that `eval()` is given, compiled once each. */
export interface Conditions {
  /** The program for a text, or why there is none. */
  find(text: string): CompiledCondition;
}

export type CompiledCondition =
  | {
      readonly run: Evaluator;
      readonly expression: Expression;
      /** For running it, but for what its calls count themselves. */
      readonly steps: number;
      readonly flaws: readonly Flaw[];
    }
  | {
      readonly run: undefined;
      readonly code: string;
      readonly message: string;
      readonly hint: string | undefined;
      readonly at: number;
    };

/** Patterns of rules and literals, compiled once each. */
export interface PreparedPatterns {
  find(definition: FunctionDefinition, pattern: string): PreparedPattern;
}

export type PreparedPattern =
  | { readonly matches: PatternTest }
  | { readonly matches: undefined; readonly message: string };

/** The names that `has`, `hasRole` and `eval` have; they are part of the language, not of the function list. */
export const languageFunctions: ReadonlySet<string> = new Set(['has', 'hasRole']);

export function isFunctionName(environment: Environment, name: string): boolean {
  return (
    environment.roles.has(name) ||
    environment.customFunctions.has(name) ||
    environment.functions.has(name) ||
    languageFunctions.has(name) ||
    (name === 'eval' && environment.hasEval)
  );
}
