/** Expressions by themselves, without a policy set around them. */
import { compileExpression } from '../../../src/core/matcher/compile.js';
import { type CustomFunction, type Environment, type Flaw, namesOf } from '../../../src/core/matcher/environment.js';
import { builtInFunctions } from '../../../src/core/matcher/functions/built-in-functions.js';
import { noDefinitions } from '../../../src/core/matcher/known-names.js';
import { parseExpression } from '../../../src/core/matcher/parser.js';
import { printExpression } from '../../../src/core/matcher/print.js';
import { fault, Scope } from '../../../src/core/matcher/scope.js';
import { conditionSource, matcherSource } from '../../../src/core/matcher/source-text.js';
import { MatcherSyntaxError } from '../../../src/core/matcher/syntax-error.js';
import type { Json, JsonObject } from '../../../src/core/request.js';
import { PatternLibrary } from '../../../src/core/roles/prepared-patterns.js';
import { StepBudgetExceeded } from '../../../src/core/step-budget.js';

export interface Asked {
  /** By column; the value of the column is the member `id` or `name`, or the value itself. */
  readonly request: JsonObject;
  readonly rule?: Readonly<Record<string, string>>;
  /** Whether the text is a condition of a rule and not a matcher. */
  readonly isCondition?: boolean;
  readonly functions?: Readonly<Record<string, CustomFunction>>;
  /** In milliseconds since the epoch. */
  readonly now?: number;
  readonly steps?: number;
}

/** A value, or why there is none: `error CODE` while it runs, `syntax`, `flaw CODE` when it is compiled, `budget`. */
export type Answered = { readonly value: Json; readonly stepsUsed: number } | { readonly error: string };

export function evaluate(text: string, asked: Asked): Answered {
  const { request, rule = {}, functions = {}, now = 0, steps = 1_000_000 } = asked;
  const flaws: Flaw[] = [];
  const environment = environmentOf(Object.keys(request), Object.keys(rule), functions, flaws);
  const source = asked.isCondition === true ? conditionSource(text) : matcherSource(text, { fromModel: true });
  const scope = new Scope();
  try {
    const run = compileExpression(parseExpression(source, namesOf(environment)), environment);
    if (flaws[0] !== undefined) return { error: `flaw ${flaws[0].code}` };
    scope.sources = Object.values(request);
    scope.values = Object.values(request).map(ownValue);
    scope.rules = { text: (column) => Object.values(rule)[column]! };
    scope.now = now;
    scope.stepsLeft = steps;
    const value = run(scope);
    if (value === fault) return { error: `error ${scope.fault!.code}` };
    return { value, stepsUsed: steps - scope.stepsLeft };
  } catch (error) {
    if (error instanceof StepBudgetExceeded) return { error: 'budget' };
    if (error instanceof MatcherSyntaxError) return { error: 'syntax' };
    throw error;
  }
}

/** The text of an expression as it is printed, or the message that refuses it. */
export function printed(text: string): string {
  const environment = environmentOf(['sub', 'obj', 'act'], ['sub', 'obj', 'act'], {}, []);
  try {
    return printExpression(parseExpression(matcherSource(text, { fromModel: true }), namesOf(environment)));
  } catch (error) {
    if (!(error instanceof MatcherSyntaxError)) throw error;
    return error.message;
  }
}

function environmentOf(
  request: readonly string[],
  rule: readonly string[],
  functions: Readonly<Record<string, CustomFunction>>,
  flaws: Flaw[],
): Environment {
  return {
    requestColumns: new Map(request.map((name, position) => [`r_${name}`, position])),
    policyColumns: new Map(rule.map((name, position) => [`p_${name}`, position])),
    roles: new Map(),
    functions: builtInFunctions,
    customFunctions: new Map(Object.entries(functions)),
    hasEval: true,
    conditions: { find: () => ({ run: undefined, code: 'matcher_syntax', message: '', hint: undefined, at: 0 }) },
    definitions: noDefinitions,
    patterns: new PatternLibrary(),
    report: (flaw) => flaws.push(flaw),
  };
}

function ownValue(value: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return value.id ?? value.name ?? value;
}
