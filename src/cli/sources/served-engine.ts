/** The engine by which a service would answer: Verdict's own, or stock Casbin where the manifest says so. */
import type { PolicyTest } from '../../core/analysis/test-document.js';
import type { EngineDecision } from '../../core/decision.js';
import { PolicySet } from '../../core/policy-set.js';
import type { DecisionRequest } from '../../core/request.js';
import { textsOf } from '../../policy-store/policy-set-texts.js';
import {
  defaultTestBudget,
  runTests,
  type TestBudget,
  type TestRun,
  testedEngine,
  testedStock,
} from '../../policy-store/run-tests.js';
import type { LoadedFolder } from './policy-folder.js';

export interface ServedEngine {
  /** With the explanation, if it is Verdict's own. */
  readonly own: PolicySet | undefined;
  decide(request: DecisionRequest, now: number): Promise<EngineDecision>;
  /** Runs tests within the bounds of a load. */
  test(tests: readonly PolicyTest[]): Promise<TestRun>;
  stop(): Promise<void>;
}

/** @throws PolicyError when stock Casbin cannot run the set */
export async function servedEngine(
  { compiled, folder }: LoadedFolder,
  budget: TestBudget = defaultTestBudget,
): Promise<ServedEngine> {
  if (compiled.manifest.engine === 'verdict') {
    const own = new PolicySet(compiled);
    return {
      own,
      decide: async (request, now) => own.evaluate(request, { now }),
      test: (tests) => runTests(testedEngine(own, budget), tests),
      stop: async () => undefined,
    };
  }
  // The package and its thread are loaded only for sets that run on stock Casbin.
  const { StockPolicySet } = await import('../../stock-casbin/stock-policy-set.js');
  const { StockView } = await import('../../stock-casbin/stock-view.js');
  const [model] = textsOf(folder.files, 'model');
  const rules = textsOf(folder.files, 'rules').map(({ text }) => text);
  const stock = await StockPolicySet.load(new StockView(compiled, { model: model?.text ?? '', rules }));
  return {
    own: undefined,
    decide: (request) => stock.evaluate(request),
    test: (tests) => runTests(testedStock(stock, budget), tests),
    stop: () => stock.stop(),
  };
}
