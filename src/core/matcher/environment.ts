/**
 * The meaning of names in an expression: columns, functions, role definitions. There is one environment for each
 * combination of r and p.
 */

import type { Json } from '../request.js';
import type { StepMeter } from '../step-budget.js';
import type { Expression, Quantifier } from './ast.js';
import type { FunctionDefinition, PatternTest } from './functions/function-definition.js';
import type { DefinedNames, KnownNames } from './known-names.js';
import type { Evaluator } from './scope.js';

/** A function of the embedding program. If it throws, the rule that called it errs. */
export type CustomFunction = (...args: Json[]) => unknown;

export interface Environment {
  /** Inner names (`r_sub`) to positions. */
  readonly requestColumns: ReadonlyMap<string, number>;
  readonly policyColumns: ReadonlyMap<string, number>;
  /**
   * Where the links of a role definition are in `Scope.roles`. Expressions do not hold the links themselves, which may
   * be changed while a set serves.
   */
  readonly roles: ReadonlyMap<string, number>;
  readonly functions: ReadonlyMap<string, FunctionDefinition>;
  readonly customFunctions: ReadonlyMap<string, CustomFunction>;
  /** Whether `eval` is a function here: in Casbin it is one only where the matcher's text calls it. */
  readonly hasEval: boolean;
  readonly conditions: Conditions;
  readonly definitions: DefinedNames;
  readonly patterns: PreparedPatterns;
  /**
   * True for a value that no expression may see: reading it is the error `masked_attribute`. Only conditions over records
   * have such values (decision-log/record-condition.ts).
   */
  readonly isMasked?: (value: Json, meter: StepMeter) => boolean;
  /**
   * Replaces what runs a part of an expression by something that notes its values. Only the coverage of policy tests
   * asks for it (analysis/coverage.ts), for a copy of a set; it is called while that is compiled.
   */
  readonly observe?: (expression: Expression, run: Evaluator) => Evaluator;
  /** Called for what parses and cannot work; the strict loader reports it as a problem. */
  readonly report: (flaw: Flaw) => void;
}

export interface Flaw {
  readonly code: 'unknown_column' | 'wrong_argument_count' | 'bad_argument' | 'bad_pattern' | 'eval_of_request';
  readonly message: string;
  readonly hint?: string;
  readonly at: number;
  /** The definitions that an unknown name belongs to. */
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
      /** Steps for running it, without those that its calls count themselves. */
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

/** Functions that are part of the language and not of the list of built-in functions. */
export const languageFunctions: ReadonlySet<string> = new Set(['has', 'hasRole']);

/** Calls that ask a condition of each item of a list: `any(r.sub.groups, it == "staff")`. */
export const quantifiers: ReadonlySet<string> = new Set<Quantifier>(['any', 'all', 'count']);

export function namesOf(environment: Environment): KnownNames {
  return {
    isFunction: (name) => isFunctionName(environment, name),
    isQuantifier: (name) => quantifiers.has(name) && !environment.customFunctions.has(name),
    definitionOf: (name, at) => environment.definitions.find(name, at),
  };
}

export function isFunctionName(environment: Environment, name: string): boolean {
  return (
    environment.roles.has(name) ||
    environment.customFunctions.has(name) ||
    environment.functions.has(name) ||
    languageFunctions.has(name) ||
    quantifiers.has(name) ||
    (name === 'eval' && environment.hasEval)
  );
}
