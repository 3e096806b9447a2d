/** Asks a policy set what its tests ask. The loader, `verdict test` and `verdict lint` ask here, within the same bounds. */

import { costProblem, judge, type PolicyTestResult } from '../core/analysis/policy-tests.js';
import type { PolicyTest } from '../core/analysis/test-document.js';
import type { EngineDecision } from '../core/decision.js';
import type { PolicySet } from '../core/policy-set.js';
import type { PolicyProblem } from '../core/problem.js';
import type { DecisionRequest } from '../core/request.js';
import type { StockPolicySet } from '../stock-casbin/stock-policy-set.js';
import { Turns } from '../turns/turns.js';

/** What the answers to the tests of one set may cost together. */
export interface TestBudget {
  /** Steps of Verdict's own engine. */
  readonly steps: number;
  /** Milliseconds of stock Casbin, which counts no steps. */
  readonly stockMs: number;
}

/** Twenty seconds' worth of steps, whatever the matcher does; a minute of stock Casbin. */
export const defaultTestBudget: TestBudget = Object.freeze({ steps: 2_000_000_000, stockMs: 60_000 });

/** An engine that answers tests, and what its answers have cost. */
export interface TestedEngine {
  decide(request: DecisionRequest, now: number): EngineDecision | Promise<EngineDecision>;
  /** Says what the answers so far have exceeded, such as `2000000000 steps`; undefined while more may be asked. */
  exceeded(): string | undefined;
}

export function testedEngine(set: PolicySet, { steps }: TestBudget = defaultTestBudget): TestedEngine {
  const count = { steps: 0 };
  return {
    decide: (request, now) => set.evaluate(request, { now, explain: 'none' }, count),
    exceeded: () => (count.steps > steps ? `${steps} steps` : undefined),
  };
}

export function testedStock(
  set: Pick<StockPolicySet, 'evaluate'>,
  { stockMs }: TestBudget = defaultTestBudget,
): TestedEngine {
  let spentMs = 0;
  return {
    decide: async (request) => {
      const asked = performance.now();
      try {
        return await set.evaluate(request);
      } finally {
        spentMs += performance.now() - asked;
      }
    },
    exceeded: () => (spentMs > stockMs ? `${stockMs} ms of stock Casbin` : undefined),
  };
}

export interface TestRun {
  readonly results: readonly PolicyTestResult[];
  /** `tests_too_costly` at the first test that was not asked, if one was not; a set with it is not served. */
  readonly problems: readonly PolicyProblem[];
}

/** Runs tests in turns, until the engine has spent what they may cost. */
export async function runTests(engine: TestedEngine, tests: readonly PolicyTest[]): Promise<TestRun> {
  const results: PolicyTestResult[] = [];
  const turns = new Turns();
  for (const test of tests) {
    if (turns.isOver) await turns.next();
    const exceeded = engine.exceeded();
    if (exceeded !== undefined) return { results, problems: [costProblem(test, exceeded)] };
    const answer = engine.decide(test.request, test.now);
    results.push(judge(test, answer instanceof Promise ? await answer : answer));
  }
  return { results, problems: [] };
}
