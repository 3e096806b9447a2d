/** The terms of a matcher and of the conditions that it evaluates, one by one, for explanations. */
import type { FailedTerm } from '../explanation.js';
import { type Expression, walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { expressionSteps } from '../matcher/expression-steps.js';
import { printExpression } from '../matcher/print.js';
import { conjunction } from '../matcher/program.js';
import { type Evaluator, fault, type Scope } from '../matcher/scope.js';
import { describeValue } from '../matcher/values.js';
import type { Combination } from '../policy/combination.js';
import type { Json } from '../request.js';
import type { Rule } from '../rules/rule-store.js';

/** A rule that did not match, with the terms that did not hold. */
export interface Miss {
  readonly rule: Rule;
  readonly terms: readonly Expression[];
  /** Distance from matching, from `distanceOf`. */
  readonly distance: number;
}

/** Steps for evaluating a term, and for compiling it by itself before. */
const stepsPerTerm = 20;
const stepsPerCompiledStep = 50;

/** Evaluates the terms of a matcher one by one, those of conditions included. */
export class TermReader {
  private readonly compiled = new Map<Expression, { readonly run: Evaluator; readonly steps: number }>();

  constructor(private readonly combination: Combination) {}

  /** The terms that do not hold on a rule; empty when it matches. */
  failing(rule: Rule, scope: Scope): readonly Expression[] {
    scope.rule = rule.index;
    return this.failingIn(this.combination.program.expression, scope);
  }

  failingIn(expression: Expression, scope: Scope): readonly Expression[] {
    const failed: Expression[] = [];
    for (const term of conjunction(expression)) {
      const value = this.evaluate(term, scope);
      if (value === true || (typeof value === 'number' && value !== 0)) continue;
      const condition = this.conditionOf(term, scope);
      // The terms that failed in a condition say more than the condition itself.
      const inner = condition === undefined ? this.failingAlternative(term, scope) : this.failingIn(condition, scope);
      failed.push(...(inner.length > 0 ? inner : [term]));
    }
    return failed;
  }

  /**
   * The terms that failed in the alternative of a disjunction that is nearest to holding. Empty where every alternative
   * is one term: then the whole says what is missing.
   */
  private failingAlternative(term: Expression, scope: Scope): readonly Expression[] {
    const alternatives = disjunction(term);
    if (alternatives.every((alternative) => conjunction(alternative).length === 1)) return [];
    let nearest: readonly Expression[] = [];
    for (const alternative of alternatives) {
      const failed = this.failingIn(alternative, scope);
      // Behind an alternative that errs the others are not asked.
      if (this.evaluate(alternative, scope) === fault) return failed;
      const isOfRequest = failed.some((part) => this.readsRequest(part));
      if (isOfRequest && (nearest.length === 0 || failed.length < nearest.length)) nearest = failed;
    }
    return nearest;
  }

  private readsRequest(expression: Expression): boolean {
    let reads = false;
    walk(expression, (part) => {
      if (part.kind !== 'column' && part.kind !== 'attribute') return;
      reads ||= this.combination.request.columns.has(part.name);
    });
    return reads;
  }

  evaluate(expression: Expression, scope: Scope): Json | typeof fault {
    let term = this.compiled.get(expression);
    if (term === undefined) {
      const steps = expressionSteps(expression) + stepsPerTerm;
      term = { steps, run: compileExpression(expression, { ...this.combination.environment, report: () => {} }) };
      this.compiled.set(expression, term);
      scope.spend(stepsPerCompiledStep * steps);
    }
    scope.spend(term.steps);
    return term.run(scope);
  }

  /** For `eval(…)`: the condition that it runs on the current rule. */
  private conditionOf(term: Expression, scope: Scope): Expression | undefined {
    if (term.kind !== 'call' || term.name !== 'eval' || term.args[0] === undefined) return undefined;
    const text = this.evaluate(term.args[0], scope);
    const condition = typeof text === 'string' ? this.combination.conditions.find(text) : undefined;
    return condition?.run === undefined ? undefined : condition.expression;
  }

  /** All role calls of the matcher and of the rule's conditions. */
  roleCalls(scope: Scope): readonly Extract<Expression, { kind: 'call' }>[] {
    const calls: Extract<Expression, { kind: 'call' }>[] = [];
    const collect = (expression: Expression, depth: number): void =>
      walk(expression, (part) => {
        if (part.kind !== 'call') return;
        if (this.combination.environment.roles.has(part.name)) calls.push(part);
        const condition = depth > 0 ? this.conditionOf(part, scope) : undefined;
        if (condition !== undefined) collect(condition, depth - 1);
      });
    collect(this.combination.program.expression, 4);
    return calls;
  }

  describe(term: Expression, rule: Rule, scope: Scope): FailedTerm {
    scope.rule = rule.index;
    return this.describeIn(term, scope);
  }

  describeIn(term: Expression, scope: Scope): FailedTerm {
    const text = printExpression(term);
    const value = this.evaluate(term, scope);
    if (value === fault) return { term: text, operands: [], message: scope.fault?.message ?? `${text} failed` };
    const operands = operandsOf(term).flatMap((operand) => {
      const found = operand.kind === 'literal' ? fault : this.evaluate(operand, scope);
      return found === fault ? [] : [{ text: printExpression(operand), value: found }];
    });
    return { term: text, operands, message: this.inWords(term, text, scope) };
  }

  private inWords(term: Expression, text: string, scope: Scope): string {
    const say = (operand: Expression | undefined): string => {
      const value = operand === undefined ? fault : this.evaluate(operand, scope);
      return value === fault ? '?' : describeValue(value);
    };
    if (term.kind === 'call' && this.combination.environment.roles.has(term.name)) {
      const [name, role, domain] = term.args;
      return `${say(name)} does not have role ${say(role)}${domain === undefined ? '' : ` in ${say(domain)}`}`;
    }
    if (term.kind === 'binary' && term.operator === '==') {
      return `${printExpression(term.left)} is ${say(term.left)}, not ${say(term.right)}`;
    }
    // A missing value makes `has(r.sub.x)` false and is not an error of the term.
    const values = operandsOf(term).map((operand) => {
      const value = this.evaluate(operand, scope);
      const found =
        value === fault ? (scope.fault?.code === 'missing_attribute' ? 'missing' : '?') : describeValue(value);
      return `${printExpression(operand)} is ${found}`;
    });
    return `${text} does not hold${values.length === 0 ? '' : `: ${values.join(', ')}`}`;
  }
}

/** `a || b || c` → its alternatives; another expression is the only one. */
function disjunction(expression: Expression): readonly Expression[] {
  if (expression.kind !== 'or') return [expression];
  return [...disjunction(expression.left), ...disjunction(expression.right)];
}

/** The columns and attributes that a term reads, each once; what it calls functions on stands for itself. */
function operandsOf(term: Expression): readonly Expression[] {
  const operands = new Map<string, Expression>();
  walk(term, (part) => {
    if (part.kind === 'column' || part.kind === 'attribute') operands.set(printExpression(part), part);
  });
  return [...operands.values()];
}
