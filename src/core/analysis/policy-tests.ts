/** What the tests of a policy set say: read from their files, and held against the answers. */

import type { EngineDecision } from '../decision.js';
import type { EntityStore } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { sameValue } from '../matcher/values.js';
import { type PolicyProblem, presentProblems } from '../problem.js';
import { cut, quote } from '../quote.js';
import type { Json } from '../request.js';
import { maxTests, type PolicyTest, readTests, type TestedData } from './test-document.js';

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
  /** Names of the files whose tests are about the other data. */
  readonly others: readonly string[];
}

/**
 * Reads the tests that are about the files of a set alone, or those about its live data.
 *
 * @param entities those of the set, with its live data where the tests are about it
 * @param declared what the set declares: to ask for live data or tokens that it does not have is a problem
 */
export function readPolicyTests(
  files: readonly NamedText[],
  entities: EntityStore,
  wanted: TestedData = 'files',
  declared?: Pick<Manifest, 'data' | 'tokens'>,
): TestDocuments {
  const problems: PolicyProblem[] = [];
  const tests: PolicyTest[] = [];
  const others: string[] = [];
  for (const file of files) {
    const found = readTests(file, entities, (problem) => problems.push(problem), undefined, wanted, declared);
    if (found === undefined) others.push(file.file);
    for (const test of found ?? []) tests.push(test);
  }
  const tooMany = tests[maxTests];
  if (tooMany !== undefined) {
    const { file, line, column } = tooMany;
    const message = `the files ask ${tests.length} questions; the tests of a set may ask ${maxTests}`;
    problems.push({ severity: 'error', code: 'too_many_tests', message, file, line, column });
  }
  return { tests: tests.slice(0, maxTests), problems: presentProblems(problems), others };
}

/** `tests_too_costly`, at the first test that is not asked any more. */
export function costProblem({ file, line, column }: PolicyTest, exceeded: string): PolicyProblem {
  const message = `the tests before this one take more than ${exceeded} together`;
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

/** `failing_test`, at the place of the test; undefined when it passed. */
export function failureProblem({ test, failures }: PolicyTestResult): PolicyProblem | undefined {
  if (failures.length === 0) return undefined;
  const { file, line, column } = test;
  const message = `${quote(testNameOf(test))}: ${failures.join('; ')}`;
  const hint = '`verdict test` explains why';
  return { severity: 'error', code: 'failing_test', message, file, line, column, hint };
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
