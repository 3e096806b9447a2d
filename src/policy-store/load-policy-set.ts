import { lintInSteps } from '../core/analysis/lint.js';
import { failureProblem, readPolicyTests } from '../core/analysis/policy-tests.js';
import type { TestedData } from '../core/analysis/test-document.js';
import { assert } from '../core/assert.js';
import { LiveData, type LiveDataChange } from '../core/data/live-data.js';
import { addDataInSteps, type ChangeOptions, changeDataInSteps } from '../core/policy/change-data.js';
import { type CompiledPolicySet, compileInSteps } from '../core/policy/compile.js';
import { type DataChange, DataError } from '../core/policy/data-change.js';
import { PolicySet } from '../core/policy-set.js';
import { PolicyError } from '../core/problem.js';
import { currentSemantics, type Semantics } from '../core/semantics.js';
import { compileMask } from '../decision-log/mask.js';
import type { ValueHash } from '../decision-log/value-hash.js';
import { sha256 } from '../digest/sha-256.js';
import { StockPolicySet } from '../stock-casbin/stock-policy-set.js';
import { type StockTexts, StockView } from '../stock-casbin/stock-view.js';
import { inTurns } from '../turns/turns.js';
import type { DataSnapshot } from './data/live-data-store.js';
import { unfitData } from './data/unfit-data.js';
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
import { claimedRevision, type SetRevisions } from './set-revisions.js';

/** A policy set that may be put into service, and how to end what runs for it. */
export interface LoadedPolicySet {
  readonly served: ServedPolicySet;
  /** The numbers that its live data had; undefined if it has none. */
  readonly data: SetRevisions | undefined;
  /**
   * The number of its files, in the row of numbers that live data takes its own from. Undefined: they have none; 0: they have
   * not been given theirs yet.
   */
  readonly filesRevision?: number | undefined;
  /**
   * Makes the set that a change of its live data leads to, and runs the tests that are about live data; this one stays as
   * it is.
   *
   * @param revisions the numbers of the set with the change
   * @throws DataError, PolicyError with the tests that fail
   */
  change(change: DataChange, revisions: SetRevisions, options?: ChangeOptions): Promise<ChangedLoadedSet>;
  /** The same set under a number, and that of its files. */
  numbered(revision: number | undefined, filesRevision: number | undefined): LoadedPolicySet;
  /** Called when another version took its place: requests that began with it still finish. */
  retire(): void;
  stop(): Promise<void>;
}

export interface ChangedLoadedSet {
  readonly loaded: LoadedPolicySet;
  readonly effect: LiveDataChange;
  /** Number of links and entities that are new, and that are gone. */
  readonly added: number;
  readonly removed: number;
}

export interface LoadOptions {
  /** The number of the defaults to read it with. */
  readonly semantics?: Semantics | undefined;
  /** What its tests may cost together. */
  readonly testBudget?: TestBudget | undefined;
  /** Reads its live data, if its manifest lets it have some; without it there is none. */
  readonly data?: (() => Promise<DataSnapshot>) | undefined;
  /** What records show of values that its manifest hashes; without it they are masked. */
  readonly hash?: ValueHash | undefined;
}

/**
 * Compiles a policy set whole and strictly, with its live data, runs its tests, and adds the linter's warnings to its
 * problems.
 *
 * @throws PolicyError with every problem, at once
 */
export async function loadPolicySet(
  set: PolicySetFiles,
  { semantics = currentSemantics, testBudget = defaultTestBudget, data, hash }: LoadOptions = {},
): Promise<LoadedPolicySet> {
  const options = { ...compileOptions(set.files), semantics };
  const version = versionOf(set.files);
  const ofFiles = await lintIfSmall(await inTurns(compileInSteps(options, () => version, noData)), set.files);
  assert(ofFiles.version === version, 'the version that serves is the one that was compiled');
  if (ofFiles.manifest.engine === 'casbin') return loadStock(set, ofFiles, testBudget, hash);
  const budgeted = testedEngine(new PolicySet(ofFiles), testBudget);
  const hasLiveTests = await passTests(set.files, ofFiles, budgeted);
  if (data === undefined || ofFiles.data === undefined)
    return LoadedSet.of(set, ofFiles, undefined, hasLiveTests, hash);
  const { revisions, ...entries } = await data();
  const inside = await inTurns(addDataInSteps(ofFiles, entries)).catch((error: unknown) => {
    throw error instanceof DataError ? new PolicyError(error.problems.map(unfitData)) : error;
  });
  if (hasLiveTests) await passTests(set.files, inside, testedEngine(new PolicySet(inside), testBudget), 'live');
  return LoadedSet.of(set, inside, revisions, hasLiveTests, hash);
}

/**
 * The same set under the revision that it may claim.
 *
 * @param files the number of its files
 * @param known the numbers of the set when its data were read
 * @param before what was claimed before
 */
export function claimed(
  loaded: LoadedPolicySet,
  files: number | undefined,
  known: SetRevisions,
  before: number | undefined,
): LoadedPolicySet {
  return loaded.numbered(claimedRevision(files, known, before), files);
}

const noData = LiveData.empty(sha256);

/** A set of Verdict's own engine. */
class LoadedSet implements LoadedPolicySet {
  /** @param hasLiveTests whether its tests are to be run with each change of its live data */
  private constructor(
    readonly served: ServedPolicySet,
    readonly data: SetRevisions | undefined,
    private readonly set: PolicySetFiles,
    private readonly inside: CompiledPolicySet,
    private readonly hasLiveTests: boolean,
    private readonly hash: ValueHash | undefined,
    readonly filesRevision: number | undefined = undefined,
  ) {}

  static of(
    set: PolicySetFiles,
    inside: CompiledPolicySet,
    data: SetRevisions | undefined,
    hasLiveTests: boolean,
    hash: ValueHash | undefined,
    revision?: number,
    filesRevision?: number,
  ): LoadedSet {
    const compiled = new PolicySet(inside);
    // A full explanation may take as long as several decisions: others have their turn within it.
    const evaluate: ServedPolicySet['evaluate'] = (request, evaluation) =>
      evaluation.explain === 'full'
        ? inTurns(compiled.evaluateInSteps(request, evaluation))
        : compiled.evaluate(request, evaluation);
    const served = Object.freeze({
      ...describe(set, inside, compiled, hash),
      revision,
      dataRevision: data?.data,
      engine: 'verdict' as const,
      evaluate,
    });
    return new LoadedSet(served, data, set, inside, hasLiveTests, hash, filesRevision);
  }

  numbered(revision: number | undefined, filesRevision: number | undefined): LoadedSet {
    const served = Object.freeze({ ...this.served, revision });
    return new LoadedSet(served, this.data, this.set, this.inside, this.hasLiveTests, this.hash, filesRevision);
  }

  async change(change: DataChange, revisions: SetRevisions, options?: ChangeOptions): Promise<ChangedLoadedSet> {
    const { compiled, ...rest } = await inTurns(changeDataInSteps(this.inside, change, options));
    // Where a change is trusted its tests have passed already.
    if (this.hasLiveTests && options?.isTrusted !== true) {
      await passTests(this.set.files, compiled, testedEngine(new PolicySet(compiled), defaultTestBudget), 'live');
    }
    const { hasLiveTests, hash, filesRevision } = this;
    const { revision } = this.served;
    const loaded = LoadedSet.of(this.set, compiled, revisions, hasLiveTests, hash, revision, filesRevision);
    return { ...rest, loaded };
  }

  retire(): void {}

  async stop(): Promise<void> {}
}

async function loadStock(
  set: PolicySetFiles,
  inside: CompiledPolicySet,
  testBudget: TestBudget,
  hash: ValueHash | undefined,
): Promise<LoadedPolicySet> {
  const description = describe(set, inside, new PolicySet(inside), hash);
  const stock = await StockPolicySet.load(description.stockView());
  const evaluate: ServedPolicySet['evaluate'] = (request) => stock.evaluate(request);
  try {
    await passTests(set.files, inside, testedStock(stock, testBudget));
  } catch (error) {
    await stock.stop();
    throw error;
  }
  const numbered = (revision: number | undefined, filesRevision: number | undefined): LoadedPolicySet => ({
    served: Object.freeze({ ...description, revision, engine: 'casbin', evaluate }),
    data: undefined,
    filesRevision,
    change: () => Promise.reject(new Error('a set of stock Casbin has no live data')),
    numbered,
    retire: () => stock.retire(),
    stop: () => stock.stop(),
  });
  return numbered(undefined, undefined);
}

function describe(set: PolicySetFiles, inside: CompiledPolicySet, compiled: PolicySet, hash: ValueHash | undefined) {
  let view: StockView | undefined;
  const stockView = () => {
    view ??= new StockView(inside, stockTexts(set.files, inside.data));
    return view;
  };
  const { name, files } = set;
  return {
    name,
    version: inside.version,
    compiled,
    files,
    mask: compileMask(inside.manifest.decisionLog, hash),
    stockView,
  };
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
 * @param wanted the tests that are about its files alone, or those about its live data
 * @returns whether there are others, about the other of the two
 * @throws PolicyError with every test that fails and every fault of the test files
 */
async function passTests(
  files: readonly PolicyFile[],
  { entities, manifest }: CompiledPolicySet,
  engine: TestedEngine,
  wanted: TestedData = 'files',
): Promise<boolean> {
  const { tests, problems, others } = readPolicyTests(textsOf(files, 'test'), entities, wanted, manifest);
  const run = await runTests(engine, tests);
  const failing = [...problems, ...run.results.flatMap((result) => failureProblem(result) ?? []), ...run.problems];
  if (failing.length > 0) throw new PolicyError(failing);
  return others.length > 0;
}

/** Stock Casbin knows no live data: links of it are rules to it. Entities are put into its requests. */
function stockTexts(files: readonly PolicyFile[], data: LiveData | undefined): StockTexts {
  const rules = textsOf(files, 'rules').map(({ text }) => text);
  const links = [...(data?.roles() ?? [])].map((link) => link.map(csvField).join(', '));
  return {
    model: textsOf(files, 'model')[0]?.text ?? '',
    rules: links.length === 0 ? rules : [...rules, links.join('\n')],
  };
}

/** A column as a line of a rules file writes it. */
function csvField(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
