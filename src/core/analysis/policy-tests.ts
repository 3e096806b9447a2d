/** Runs the tests of a policy set. The loader, `verdict test` and `verdict lint` ask the same question here. */

import type { EngineDecision } from '../decision.js';
import type { EntityStore } from '../manifest/entities.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { sameValue } from '../matcher/values.js';
import { type PolicyProblem, presentProblems } from '../problem.js';
import { cut, quote } from '../quote.js';
import type { DecisionRequest, Json } from '../request.js';
import { maxTests, type PolicyTest, readTests } from './test-document.js';

export interface PolicyTestResult {
  readonly test: PolicyTest;
  readonly decision: EngineDecision;
  /** Failures, one sentence each; empty if the test passed. */
  readonly failures: readonly string[];
}

export interface TestDocuments {
  readonly tests: readonly PolicyTest[];
  /** Problems of the test files. The set does not load with them. */
  readonly problems: readonly PolicyProblem[];
}

/** Answers the questions of tests: a compiled set, or a stock enforcer in its thread. */
export type Decide<Answer> = (request: DecisionRequest, options: { readonly now: number }) => Answer;

/** Tests that are run between two pauses of a load in steps. */
const testsPerStep = 200;

export function readPolicyTests(files: readonly NamedText[], entities: EntityStore): TestDocuments {
  const problems: PolicyProblem[] = [];
  const tests: PolicyTest[] = [];
  for (const file of files) {
    for (const test of readTests(file, entities, (problem) => problems.push(problem))) tests.push(test);
  }
  const tooMany = tests[maxTests];
  if (tooMany !== undefined) {
    const { file, line, column } = tooMany;
    const message = `the files ask ${tests.length} questions; the tests of a set may ask ${maxTests}`;
    problems.push({ severity: 'error', code: 'too_many_tests', message, file, line, column });
  }
  return { tests: tests.slice(0, maxTests), problems: presentProblems(problems) };
}

/** Most steps that the tests of a set take together when it loads: twenty seconds' worth, whatever the matcher does. */
export const maxTestSteps = 2_000_000_000;

/** `tests_too_costly`, at the first test that is not asked any more. */
export function costProblem({ file, line, column }: PolicyTest, maximum: number): PolicyProblem {
  const message = `the tests before this one take more than ${maximum} steps together`;
  return { severity: 'error', code: 'tests_too_costly', message, file, line, column };
}

/** Compares an answer with what the test wants. */
export function judge(test: PolicyTest, decision: EngineDecision): PolicyTestResult {
  const { expected } = test;
  const failures: string[] = [];
  if (decision.decision !== expected.decision) {
    failures.push(`expected ${expected.decision}, got ${decision.decision} (${describeReason(decision)})`);
  }
  const compare = (what: string, wanted: unknown, got: unknown): void => {
    // Both were read from JSON or YAML.
    if (wanted === undefined || (got !== undefined && sameValue(wanted as Json, got as Json))) return;
    failures.push(`expected ${what} ${show(wanted)}, got ${got === undefined ? 'none' : show(got)}`);
  };
  compare('reason', expected.reason, decision.reason.code);
  compare('message', expected.message, decision.reason.message);
  compare('obligations', expected.obligations, decision.obligations);
  compare('advice', expected.advice, decision.advice ?? []);
  compare(
    'errors',
    expected.errors,
    decision.errors.map(({ code }) => code),
  );
  return { test, decision, failures };
}

/** Runs the tests of a set that answers at once, pausing now and then. */
export function* runTestsInSteps(
  tests: readonly PolicyTest[],
  decide: Decide<EngineDecision>,
): Generator<void, readonly PolicyTestResult[]> {
  const results: PolicyTestResult[] = [];
  for (const test of tests) {
    results.push(judge(test, decide(test.request, { now: test.now })));
    if (results.length % testsPerStep === 0) yield;
  }
  return results;
}

/** `failing_test`, at the place of the test; undefined when it passed. */
export function failureProblem({ test, failures }: PolicyTestResult): PolicyProblem | undefined {
  if (failures.length === 0) return undefined;
  const { file, line, column } = test;
  const message = `${quote(testNameOf(test))}: ${failures.join('; ')}`;
  const hint = '`verdict test` explains why';
  return { severity: 'error', code: 'failing_test', message, file, line, column, hint };
}

/** Problems of a set's tests: faults in the files, and each failing test. A set with one is not served. */
export function* checkTestsInSteps(
  files: readonly NamedText[],
  entities: EntityStore,
  decide: Decide<EngineDecision>,
): Generator<void, readonly PolicyProblem[]> {
  const { tests, problems } = readPolicyTests(files, entities);
  const results = yield* runTestsInSteps(tests, decide);
  return presentProblems([...problems, ...results.flatMap((result) => failureProblem(result) ?? [])]);
}

export function testNameOf({ name, cell }: PolicyTest): string {
  return cell === undefined ? name : `${name}: ${cell}`;
}

function describeReason({ reason }: EngineDecision): string {
  const rule = reason.line === undefined ? '' : ` by ${reason.file}:${reason.line}`;
  return `${reason.code}${rule}`;
}

function show(value: unknown): string {
  return cut(typeof value === 'string' ? value : JSON.stringify(value as Json));
}
