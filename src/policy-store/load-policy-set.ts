import { lintInSteps } from '../core/analysis/lint.js';
import { failureProblem, readPolicyTests } from '../core/analysis/policy-tests.js';
import { assert } from '../core/assert.js';
import type { EntityStore } from '../core/manifest/entities.js';
import { type CompiledPolicySet, compileInSteps } from '../core/policy/compile.js';
import { PolicySet } from '../core/policy-set.js';
import { PolicyError } from '../core/problem.js';
import { currentSemantics, type Semantics } from '../core/semantics.js';
import { compileMask } from '../decision-log/mask.js';
import { StockPolicySet } from '../stock-casbin/stock-policy-set.js';
import { type StockTexts, StockView } from '../stock-casbin/stock-view.js';
import { inTurns } from '../turns/turns.js';
import { type PolicyFile, type PolicySetFiles, versionOf } from './policy-set-files.js';
import { compileOptions, textsOf } from './policy-set-texts.js';
import {
  defaultTestBudget,
  runTests,
  type TestBudget,
  type TestedEngine,
  testedEngine,
  testedStock,
} from './run-tests.js';
import type { ServedPolicySet } from './served-policy-set.js';

/** A policy set that may be put into service, and how to end what runs for it. */
export interface LoadedPolicySet {
  readonly served: ServedPolicySet;
  /** Called when another version took its place: requests that began with it still finish. */
  retire(): void;
  stop(): Promise<void>;
}

/**
 * Compiles a policy set whole and strictly, runs its tests, and adds the linter's warnings to its problems.
 *
 * @param semantics the number of the defaults to read it with
 * @param testBudget what its tests may cost together
 * @throws PolicyError with every problem, at once
 */
export async function loadPolicySet(
  set: PolicySetFiles,
  semantics: Semantics = currentSemantics,
  testBudget: TestBudget = defaultTestBudget,
): Promise<LoadedPolicySet> {
  const options = { ...compileOptions(set.files), semantics };
  const version = versionOf(set.files);
  const inside = await lintIfSmall(await inTurns(compileInSteps(options, () => version)), set.files);
  const compiled = new PolicySet(inside);
  assert(compiled.version === version, 'the version that serves is the one that was compiled');
  let view: StockView | undefined;
  const stockView = () => {
    view ??= new StockView(inside, stockTexts(set.files));
    return view;
  };
  const common = { name: set.name, version, compiled, mask: compileMask(inside.manifest.decisionLog), stockView };
  if (compiled.manifest.engine === 'casbin') {
    const stock = await StockPolicySet.load(stockView());
    const evaluate: ServedPolicySet['evaluate'] = (request) => stock.evaluate(request);
    try {
      await passTests(set.files, inside.entities, testedStock(stock, testBudget));
    } catch (error) {
      await stock.stop();
      throw error;
    }
    const served: ServedPolicySet = Object.freeze({ ...common, engine: 'casbin', evaluate });
    return { served, retire: () => stock.retire(), stop: () => stock.stop() };
  }
  // A full explanation may take as long as several decisions: others have their turn within it.
  const evaluate: ServedPolicySet['evaluate'] = (request, evaluation) =>
    evaluation.explain === 'full'
      ? inTurns(compiled.evaluateInSteps(request, evaluation))
      : compiled.evaluate(request, evaluation);
  await passTests(set.files, inside.entities, testedEngine(compiled, testBudget));
  const served: ServedPolicySet = Object.freeze({ ...common, engine: 'verdict', evaluate });
  return { served, retire: () => undefined, stop: async () => undefined };
}

/** The same set under the number that its source gave it. */
export function withRevision(loaded: LoadedPolicySet, revision: number | undefined): LoadedPolicySet {
  return { ...loaded, served: Object.freeze({ ...loaded.served, revision }) };
}

/** With more rules than this the linter's warnings are left to `verdict lint`: they would take longer than the load. */
const lintedRules = 20_000;

async function lintIfSmall(compiled: CompiledPolicySet, files: readonly PolicyFile[]): Promise<CompiledPolicySet> {
  if (compiled.table.lineCount > lintedRules) return compiled;
  const texts = (['model', 'rules', 'manifest', 'entities'] as const).flatMap((role) => textsOf(files, role));
  return Object.freeze({ ...compiled, problems: await inTurns(lintInSteps(compiled, compiled.problems, texts)) });
}

/**
 * Asks the set what its tests ask, on the engine that would serve it.
 *
 * @throws PolicyError with every test that fails and every fault of the test files
 */
async function passTests(files: readonly PolicyFile[], entities: EntityStore, engine: TestedEngine): Promise<void> {
  const { tests, problems } = readPolicyTests(textsOf(files, 'test'), entities);
  const run = await runTests(engine, tests);
  const failing = [...problems, ...run.results.flatMap((result) => failureProblem(result) ?? []), ...run.problems];
  if (failing.length > 0) throw new PolicyError(failing);
}

function stockTexts(files: readonly PolicyFile[]): StockTexts {
  const rules = textsOf(files, 'rules').map(({ text }) => text);
  return { model: textsOf(files, 'model')[0]?.text ?? '', rules };
}
