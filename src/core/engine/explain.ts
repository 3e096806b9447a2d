/** Why, and what would change it: a separate pass over the same programs, paid for only when it is asked for. */
import type { EngineDecision } from '../decision.js';
import type { ExplainedRule, Explanation, FailedTerm, MatchingRule, NearMiss, RolePath } from '../explanation.js';
import { type Expression, walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { printExpression } from '../matcher/print.js';
import { conjunction } from '../matcher/program.js';
import { type Evaluator, FAULT, type Scope } from '../matcher/scope.js';
import { describeValue } from '../matcher/values.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Rule } from '../policy/rule-store.js';
import type { DecisionRequest, Json } from '../request.js';
import { ruleLine } from './report.js';
import { findSmallestChanges } from './smallest-change.js';

/** How much an explanation looks at and tells. */
const maxRules = 10_000;
const maxMatching = 50;
const maxNearMisses = 5;

/** A rule that did not match, with the terms that kept it from it. */
export interface Miss {
  readonly rule: Rule;
  readonly terms: readonly Expression[];
}

/** Explains a decision. `scope` is bound to the request; `decided` is what the evaluation answered. */
export function explain(
  set: CompiledPolicySet,
  request: DecisionRequest,
  scope: Scope,
  decided: EngineDecision,
): Explanation {
  const combination = set.main;
  if (!isCombination(combination)) {
    return { summary: `denied: ${combination.message}`, matching: [], nearMisses: [], changes: [], complete: true };
  }
  if (!combination.readsRules || combination.rules.length === 0) return explainOnce(combination, scope, decided);
  const terms = new TermReader(combination);
  const matching: MatchingRule[] = [];
  const misses: Miss[] = [];
  const looked = Math.min(combination.rules.length, maxRules);
  scope.rules = combination.rules;
  for (let index = 0; index < looked; index++) {
    const rule = combination.rules.at(index);
    const failed = terms.failing(rule, scope);
    if (failed.length > 0) misses.push({ rule, terms: failed });
    else if (matching.length < maxMatching)
      matching.push({ ...describeRule(rule), roles: rolePaths(set, terms, rule, scope) });
  }
  misses.sort((a, b) => distanceOf(a, combination) - distanceOf(b, combination));
  const near = misses.filter(({ rule }) => rule.effect === 'allow').slice(0, maxNearMisses);
  const nearMisses: NearMiss[] = near.map(({ rule, terms: failed }) => ({
    ...describeRule(rule),
    failed: failed.map((term) => terms.describe(term, rule, scope)),
  }));
  const changes =
    decided.decision === 'allow' ? [] : findSmallestChanges(set, combination, request, scope, misses, terms);
  return {
    summary: summarise(decided, nearMisses),
    matching,
    nearMisses: decided.decision === 'allow' ? [] : nearMisses,
    changes,
    complete: looked === combination.rules.length && matching.length < maxMatching,
  };
}

/**
 * How far a rule is from matching: by its failing terms, and among as many by what they are about. Somebody who lacks
 * a role asked the right question; a rule about another action or resource is about another question.
 */
function distanceOf({ terms }: Miss, combination: Combination): number {
  let elsewhere = 0;
  for (const term of terms) {
    walk(term, (part) => {
      if (part.kind !== 'column') return;
      const index = combination.request.columns.get(part.name);
      const role = index === undefined ? undefined : combination.tokens[index]?.role;
      if (role === 'action' || role === 'resource') elsewhere++;
    });
  }
  return terms.length * 1_000 + Math.min(elsewhere, 999);
}

function explainOnce(combination: Combination, scope: Scope, decided: EngineDecision): Explanation {
  const terms = new TermReader(combination);
  const nothing: Pick<Explanation, 'matching' | 'nearMisses' | 'changes' | 'complete'> = {
    matching: [],
    nearMisses: [],
    changes: [],
    complete: true,
  };
  if (decided.decision === 'allow') {
    return { summary: 'allowed: the matcher holds for the request itself, it reads no rules', ...nothing };
  }
  const failed = terms.failingIn(combination.program.expression, scope).map((term) => terms.describeIn(term, scope));
  const why = failed.map(({ message }) => message).join('; ');
  return { summary: `denied: ${why || (decided.errors[0]?.message ?? 'the matcher does not hold')}`, ...nothing };
}

export function describeRule(rule: Rule): ExplainedRule {
  const { file, line } = rule;
  return { rule: ruleLine(rule), effect: rule.effect, file, line };
}

/** Evaluates the terms of a matcher one by one, those of conditions included. */
export class TermReader {
  private readonly compiled = new Map<Expression, Evaluator>();

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
      // What failed in a condition says more than that the condition failed.
      const inner = condition === undefined ? [] : this.failingIn(condition, scope);
      failed.push(...(inner.length > 0 ? inner : [term]));
    }
    return failed;
  }

  evaluate(expression: Expression, scope: Scope): Json | typeof FAULT {
    let run = this.compiled.get(expression);
    if (run === undefined) {
      run = compileExpression(expression, { ...this.combination.environment, report: () => {} });
      this.compiled.set(expression, run);
    }
    return run(scope);
  }

  /** For `eval(…)`: the condition that it runs on the rule at hand. */
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
    if (value === FAULT) return { term: text, operands: [], message: scope.fault?.message ?? `${text} failed` };
    const operands = operandsOf(term).flatMap((operand) => {
      const found = operand.kind === 'literal' ? FAULT : this.evaluate(operand, scope);
      return found === FAULT ? [] : [{ text: printExpression(operand), value: found }];
    });
    return { term: text, operands, message: this.inWords(term, text, scope) };
  }

  private inWords(term: Expression, text: string, scope: Scope): string {
    const say = (operand: Expression | undefined): string => {
      const value = operand === undefined ? FAULT : this.evaluate(operand, scope);
      return value === FAULT ? '?' : describeValue(value);
    };
    if (term.kind === 'call' && this.combination.environment.roles.has(term.name)) {
      const [name, role, domain] = term.args;
      return `${say(name)} does not have role ${say(role)}${domain === undefined ? '' : ` in ${say(domain)}`}`;
    }
    if (term.kind === 'binary' && term.operator === '==') {
      return `${printExpression(term.left)} is ${say(term.left)}, not ${say(term.right)}`;
    }
    // `has(r.sub.x)` does not hold because it is missing, and that is no fault of the term.
    const values = operandsOf(term).map((operand) => {
      const value = this.evaluate(operand, scope);
      const found =
        value === FAULT ? (scope.fault?.code === 'missing_attribute' ? 'missing' : '?') : describeValue(value);
      return `${printExpression(operand)} is ${found}`;
    });
    return `${text} does not hold${values.length === 0 ? '' : `: ${values.join(', ')}`}`;
  }
}

/** The columns and attributes that a term reads, each once; what it calls functions on stands for itself. */
function operandsOf(term: Expression): readonly Expression[] {
  const operands = new Map<string, Expression>();
  walk(term, (part) => {
    if (part.kind === 'column' || part.kind === 'attribute') operands.set(printExpression(part), part);
  });
  return [...operands.values()];
}

function rolePaths(set: CompiledPolicySet, terms: TermReader, rule: Rule, scope: Scope): readonly RolePath[] {
  scope.rule = rule.index;
  const paths: RolePath[] = [];
  for (const call of terms.roleCalls(scope)) {
    const [name, role, domain] = call.args.map((argument) => terms.evaluate(argument, scope));
    if (typeof name !== 'string' || typeof role !== 'string') continue;
    const inDomain = typeof domain === 'string' ? domain : undefined;
    const path = set.roles.get(call.name)?.pathTo(name, role, inDomain, scope.now);
    if (path !== undefined)
      paths.push({ definition: call.name, path, ...(inDomain !== undefined && { domain: inDomain }) });
  }
  return paths;
}

function summarise(decided: EngineDecision, nearMisses: readonly NearMiss[]): string {
  const { code, rule, file, line } = decided.reason;
  const by = rule === undefined ? '' : ` by ${file}:${line} (${rule.join(', ')})`;
  switch (code) {
    case 'rule_allowed':
      return `allowed${by}`;
    case 'rule_denied':
      return `denied${by}`;
    case 'allowed_by_default':
      return 'allowed, since no rule denies';
    case 'domain_conflict':
    case 'unknown_entity':
    case 'schema_violation':
      return `denied: ${decided.errors[0]?.message}`;
    case 'evaluation_error':
      return `denied${by}: ${decided.errors[0]?.message}`;
    case 'no_matching_rule': {
      const [nearest] = nearMisses;
      if (nearest === undefined) return 'denied: there is no rule that could allow';
      const missing = nearest.failed.map(({ message }) => message).join('; ');
      return `denied: no rule matches. The nearest is ${nearest.file}:${nearest.line} (${nearest.rule.join(', ')}): ${missing}`;
    }
    default:
      return code satisfies never;
  }
}
