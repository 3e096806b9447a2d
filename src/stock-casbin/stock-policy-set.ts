import type { EngineDecision } from '../core/decision.js';
import { answerBindingError } from '../core/engine/decide.js';
import { ruleLine } from '../core/engine/report.js';
import { answersOf } from '../core/engine/rule-answers.js';
import { BindingError } from '../core/policy/binding.js';
import { PolicyError, type PolicyProblem } from '../core/problem.js';
import { cut } from '../core/quote.js';
import type { DecisionRequest } from '../core/request.js';
import { type StockAnswer, StockCasbin } from './stock-casbin.js';
import type { StockView } from './stock-view.js';

/** A replaced version ends when no request has used it for this time, in milliseconds. */
const graceMs = 5_000;
const setKey = 'set';

/** A policy set with `engine: casbin` in its manifest: evaluated by stock Casbin, in a thread of its own. */
export class StockPolicySet {
  private readonly stock = new StockCasbin();
  /** Time of the last question, in milliseconds of the monotonic clock. */
  private askedAt = 0;

  private constructor(private readonly view: StockView) {}

  /** @throws PolicyError if stock Casbin cannot run the set, with all reasons that are known before it is tried */
  static async load(view: StockView): Promise<StockPolicySet> {
    if (view.obstacles.length > 0) throw new PolicyError(view.obstacles.map(unsupported));
    const set = new StockPolicySet(view);
    try {
      await set.stock.load(view.stockSet(setKey));
    } catch (error) {
      await set.stop();
      throw new PolicyError([unsupported(`stock Casbin does not load this set: ${cut((error as Error).message)}`)]);
    }
    return set;
  }

  /** Never rejects: what stock Casbin cannot answer in time, or at all, is a deny. */
  async evaluate(request: DecisionRequest): Promise<EngineDecision> {
    const bound = this.view.bind(request);
    if (bound instanceof BindingError) return answerBindingError(bound);
    this.askedAt = performance.now();
    const answer = await this.stock.enforce(setKey, bound.values);
    const decision = answer.kind === 'failure' ? failed(answer.code, answer.message) : this.explain(answer);
    return bound.warnings.length === 0 ? decision : { ...decision, errors: [...bound.warnings, ...decision.errors] };
  }

  /** Ends the thread when the requests that began with this version are done. */
  retire(): void {
    setTimeout(() => {
      if (performance.now() - this.askedAt < graceMs || this.stock.pending > 0) this.retire();
      else void this.stop();
    }, graceMs).unref();
  }

  stop(): Promise<void> {
    return this.stock.stop();
  }

  private explain({ allowed, rule: columns, effect }: Extract<StockAnswer, { kind: 'answer' }>): EngineDecision {
    const decision = allowed ? 'allow' : 'deny';
    const combination = this.view.combination;
    const readsRules = combination?.readsRules === true && combination.rules.length > 0;
    // Where no rule was read, stock Casbin names the first one all the same.
    const named = readsRules && columns.length > 0 && (allowed || effect === 'deny');
    const rule = named ? this.view.ruleOf(columns) : undefined;
    if (!named) {
      const byDefault = allowed && combination?.effect === 'deny_override';
      const code = byDefault ? 'allowed_by_default' : allowed ? 'rule_allowed' : 'no_matching_rule';
      return { decision, reason: { code }, obligations: [], errors: [] };
    }
    const code = allowed ? 'rule_allowed' : 'rule_denied';
    if (rule === undefined) {
      const type = this.view.compiled.manifest.definitions.p;
      return { decision, reason: { code, rule: [type, ...columns] }, obligations: [], errors: [] };
    }
    const { message, obligations, advice } = answersOf(rule);
    const { file, line } = rule;
    return {
      decision,
      reason: { code, rule: ruleLine(rule), file, line, ...(message !== undefined && { message }) },
      obligations,
      ...(advice.length > 0 && { advice }),
      errors: [],
    };
  }
}

function failed(code: string, message: string): EngineDecision {
  return { decision: 'deny', reason: { code: 'evaluation_error' }, obligations: [], errors: [{ code, message }] };
}

function unsupported(message: string): PolicyProblem {
  return {
    severity: 'error',
    code: 'unsupported_by_stock_casbin',
    message,
    file: 'policy-set.yaml',
    line: 1,
    column: 1,
    hint: 'leave out "engine: casbin", or change what stock Casbin cannot do',
  };
}
