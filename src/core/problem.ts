/** Problems of a policy set with their places. A load reports all of them at once. */

import { usualHints } from './problem-hints.js';
import { spellUnseen } from './quote.js';

export interface PolicyProblem {
  readonly severity: 'error' | 'warning';
  /** Stable, in snake case; documented in `docs/problems.md`. */
  readonly code: string;
  readonly message: string;
  readonly file: string;
  /** 1-based; columns count UTF-16 code units, as editors do. */
  readonly line: number;
  readonly column: number;
  readonly hint?: string;
}

/** Thrown when a policy set cannot be loaded; `problems` holds every problem found, in order of file and place. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[]) {
    const sorted = presentProblems(problems);
    const first = sorted.find((problem) => problem.severity === 'error') ?? sorted[0];
    const rest = sorted.length > 1 ? ` (and ${sorted.length - 1} more)` : '';
    super(first === undefined ? 'the policy set is invalid' : `${formatProblem(first)}${rest}`);
    this.problems = sorted;
  }
}

/** `rules.csv:7:4: error wrong_field_count: expected 3 fields, got 2`, in one line for every file name. */
export function formatProblem(problem: PolicyProblem): string {
  const { file, line, column, severity, code, message } = problem;
  return spellUnseen(`${file}:${line}:${column}: ${severity} ${code}: ${message}`);
}

/** Sorts problems by file and place, and adds the usual hint of the code to those without one. */
export function presentProblems(problems: readonly PolicyProblem[]): readonly PolicyProblem[] {
  return problems
    .map((problem) => withHint(problem, problem.hint ?? usualHints[problem.code]))
    .sort(
      (a, b) => compareText(a.file, b.file) || a.line - b.line || a.column - b.column || compareText(a.code, b.code),
    );
}

function withHint(problem: PolicyProblem, hint: string | undefined): PolicyProblem {
  return hint === undefined ? problem : { ...problem, hint };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
