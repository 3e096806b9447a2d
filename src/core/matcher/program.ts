/** A compiled matcher: the terms that pick candidates, and those that are evaluated on them. */
import type { Expression } from './ast.js';
import { compileExpression } from './compile.js';
import { type Environment, namesOf } from './environment.js';
import { expressionSteps } from './expression-steps.js';
import { parseExpression } from './parser.js';
import { type Evaluator, fault, type Scope } from './scope.js';
import type { SourceText } from './source-text.js';
import { describeValue } from './values.js';

export interface Program extends Terms {
  readonly expression: Expression;
  /** The expression as a whole, its terms in the author's order. */
  readonly run: Evaluator;
  readonly steps: number;
}

/** The terms of a top-level conjunction: those that pick candidates and those that remain, each in order. */
export interface Terms {
  readonly pickers: readonly Term[];
  readonly remaining: readonly Term[];
}

export interface Term {
  readonly expression: Expression;
  readonly run: Evaluator;
  /** Steps for running it, without those that its calls count themselves. */
  readonly steps: number;
}

/**
 * Parses and compiles a matcher.
 *
 * @throws MatcherSyntaxError when it does not parse.
 */
export function compileProgram(source: SourceText, environment: Environment): Program {
  return programOf(parseExpression(source, namesOf(environment)), environment);
}

/** Compiles a matcher that was parsed with the names of the environment. */
export function programOf(expression: Expression, environment: Environment): Program {
  const run = compileExpression(expression, environment);
  // Flaws were reported with the whole expression.
  const quiet = { ...environment, report: () => {} };
  const terms = conjunction(expression).map((term) => ({
    expression: term,
    run: compileExpression(term, quiet),
    steps: expressionSteps(term),
  }));
  const picks = (term: Term): boolean => picksCandidates(term.expression, environment);
  const [pickers, remaining] = [terms.filter(picks), terms.filter((term) => !picks(term))];
  return { expression, run, steps: expressionSteps(expression), pickers, remaining };
}

/**
 * `error`: the rule failed. `wrong_result`: the matcher's result is neither a boolean nor a number, an error of the
 * request and not of the rule. The cause is in `scope.fault`.
 */
export type RuleOutcome = 'no_match' | 'match' | 'error' | 'wrong_result';

/**
 * Evaluates a matcher on the rule in `scope.rule`. `terms` are the terms that are not known to hold: all of the
 * program, or those of a plan that found the rule by looking up the others.
 *
 * Terms that pick candidates come first, so that only a candidate can fail. Steps are counted here; whether some are
 * left is checked with the next rule.
 */
export function matchRule(program: Program, terms: Terms, scope: Scope): RuleOutcome {
  let failed = false;
  for (const picker of terms.pickers) {
    scope.stepsLeft -= picker.steps;
    const picked = picker.run(scope);
    if (picked === false) return 'no_match';
    if (picked !== true) failed = true;
  }
  // One failed, because an argument is not a text. Then the author's order of terms counts.
  if (failed) {
    scope.stepsLeft -= program.steps;
    return outcomeOf(program.run(scope), scope);
  }
  const { remaining } = terms;
  if (remaining.length === 0) return 'match';
  // A lone term may have a number for a result; only under && must each be true or false.
  if (remaining.length === 1 && program.pickers.length === 0) {
    const [only] = remaining as [Term];
    scope.stepsLeft -= only.steps;
    return outcomeOf(only.run(scope), scope);
  }
  for (const term of remaining) {
    scope.stepsLeft -= term.steps;
    const holds = term.run(scope);
    if (holds === false) return 'no_match';
    if (holds === fault) return 'error';
    if (holds !== true) {
      scope.fail('type_mismatch', () => `"&&" wants true or false, not ${describeValue(holds)}`);
      return 'error';
    }
  }
  return 'match';
}

function outcomeOf(result: ReturnType<Evaluator>, scope: Scope): RuleOutcome {
  if (result === fault) return 'error';
  if (typeof result === 'boolean') return result ? 'match' : 'no_match';
  if (typeof result === 'number') return result === 0 ? 'no_match' : 'match';
  scope.fail('wrong_result', () => `the matcher's result must be true or false, not ${describeValue(result)}`);
  return 'wrong_result';
}

/** `a && b && c` → its terms. */
export function conjunction(expression: Expression): readonly Expression[] {
  if (expression.kind !== 'and') return [expression];
  return [...conjunction(expression.left), ...conjunction(expression.right)];
}

/**
 * True for a term that compares whole columns and literals, or asks for a role. It cannot fail, and an index can answer
 * it.
 */
export function picksCandidates(term: Expression, environment: Environment): boolean {
  switch (term.kind) {
    case 'and':
    case 'or':
      return picksCandidates(term.left, environment) && picksCandidates(term.right, environment);
    case 'binary':
      return term.operator === '==' && isPlain(term.left, environment) && isPlain(term.right, environment);
    case 'in':
      return (
        isPlain(term.left, environment) &&
        term.right.kind === 'list' &&
        term.right.items.every((item) => item.kind === 'literal')
      );
    case 'call':
      return (
        environment.roles.has(term.name) &&
        (term.args.length === 2 || term.args.length === 3) &&
        term.args.every((argument) => isPlain(argument, environment))
      );
    default:
      return false;
  }
}

function isPlain(operand: Expression, environment: Environment): boolean {
  if (operand.kind === 'literal') return true;
  if (operand.kind !== 'column') return false;
  return environment.requestColumns.has(operand.name) || environment.policyColumns.has(operand.name);
}
