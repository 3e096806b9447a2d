/** Prints problems for people, programs and code hosts. */
import { isAbsolute, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Coverage } from '../../core/analysis/coverage.js';
import type { Mutation } from '../../core/analysis/mutation.js';
import type { PolicyTestResult } from '../../core/analysis/policy-tests.js';
import type { PolicySet } from '../../core/policy-set.js';
import type { PolicyProblem } from '../../core/problem.js';
import { spellUnseen } from '../../core/quote.js';
import type { Terminal } from './terminal.js';

export interface CheckedSet {
  readonly name: string;
  readonly path: string;
  readonly problems: readonly PolicyProblem[];
}

/** The tests of one set and their results. */
export interface TestedSet {
  readonly name: string;
  readonly path: string;
  /** Why the tests, or some of them, could not be run. */
  readonly problems: readonly PolicyProblem[];
  readonly results: readonly PolicyTestResult[];
  /** Files whose tests ask about live data, which a folder does not have. */
  readonly leftOut: readonly string[];
  /** Explains the answers. Undefined if the set does not load or runs on stock Casbin. */
  readonly set?: PolicySet | undefined;
  /** What the tests cover, where it was asked for and the set does not run on stock Casbin. */
  readonly coverage?: Coverage | undefined;
  /** How the tests do on mutants, where it was asked for, all of them pass, and the set does not run on stock Casbin. */
  readonly mutation?: Mutation | undefined;
  readonly durationMs: number;
}

/** `policies/default/rules.csv:7:4: warning shadowed_rule: …` and, below, what to do. */
export function printProblems(terminal: Terminal, { path, problems }: CheckedSet): void {
  for (const { severity, code, message, file, line, column, hint } of problems) {
    const place = terminal.style('bold', `${spellUnseen(filePath(path, file))}:${line}:${column}`);
    const kind = terminal.style(severity === 'error' ? 'red' : 'yellow', severity);
    terminal.print(`${place}: ${kind} ${terminal.style('cyan', code)}: ${spellUnseen(message)}`);
    if (hint !== undefined) terminal.print(terminal.style('dim', `    ${spellUnseen(hint)}`));
  }
}

/** Path of the folder, for problems of the folder itself. */
export function filePath(folder: string, file: string): string {
  return file === '.' ? folder : join(folder, file).replaceAll('\\', '/');
}

/** `1 policy set`, `2 policy sets` */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** A SARIF 2.1.0 log, as code hosts read it. */
export function sarifOf(sets: readonly CheckedSet[], version: string): object {
  const codes = [...new Set(sets.flatMap(({ problems }) => problems.map(({ code }) => code)))].sort();
  return {
    $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'verdict', version, rules: codes.map((id) => ({ id })) } },
        columnKind: 'utf16CodeUnits',
        results: sets.flatMap(({ path, problems }) =>
          problems.map(({ severity, code, message, hint, file, line, column }) => ({
            ruleId: code,
            ruleIndex: codes.indexOf(code),
            level: severity,
            message: { text: hint === undefined ? message : `${message} (${hint})` },
            locations: [
              {
                physicalLocation: {
                  artifactLocation: { uri: uriOf(filePath(path, file)) },
                  region: { startLine: line, startColumn: column },
                },
              },
            ],
          })),
        ),
      },
    ],
  };
}

/** Relative where the path is: a code host takes it from the root of the repository. */
function uriOf(path: string): string {
  return isAbsolute(path) ? pathToFileURL(path).href : path.split('/').map(encodeURIComponent).join('/');
}
