/** A policy set for the linter: compiled, with the texts that it was compiled from. */
import { parseRuleLine } from '../casbin/rules-document.js';
import type { NamedText } from '../manifest/yaml-document.js';
import type { Combination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { PolicyProblem } from '../problem.js';

export interface LintedSet {
  readonly compiled: CompiledPolicySet;
  readonly main: Combination;
  readonly rules: readonly LintedRule[];
  /** The links of each role definition. */
  readonly links: ReadonlyMap<string, readonly LintedRule[]>;
  readonly places: Places;
}

export interface LintedRule {
  readonly fields: readonly string[];
  readonly effect: 'allow' | 'deny' | 'indeterminate';
  readonly file: string;
  readonly line: number;
}

/** Yields problems, and undefined now and then, so that a service can answer requests meanwhile. */
export type Check = Generator<PolicyProblem | undefined>;

/** Rules that are checked between two pauses. */
export const rulesPerStep = 500;

export type ProblemPlace = Pick<PolicyProblem, 'file' | 'line' | 'column'>;

export function lintedSet(compiled: CompiledPolicySet, main: Combination, texts: readonly NamedText[]): LintedSet {
  const links = [...compiled.table.groupings].map(([key, lines]) => [key, [...lines]] as const);
  return {
    compiled,
    main,
    rules: [...main.rules],
    links: new Map(links),
    places: new Places(texts),
  };
}

/** Finds columns by reading a line again: only the few lines that are complained of need it. */
export class Places {
  private readonly lines = new Map<string, readonly string[]>();

  constructor(private readonly texts: readonly NamedText[]) {}

  /** Where the field `column` of a rule begins, or the rule if it does not have the field. */
  ofField({ file, line }: LintedRule, column: number | undefined): ProblemPlace {
    const text = this.linesOf(file)[line - 1] ?? '';
    const columns = parseRuleLine(text, file, line, () => {})?.columns;
    return { file, line, column: columns?.[column === undefined ? 0 : column + 1] ?? 1 };
  }

  private linesOf(file: string): readonly string[] {
    let lines = this.lines.get(file);
    if (lines === undefined) {
      lines = (this.texts.find((text) => text.file === file)?.text ?? '').split('\n');
      this.lines.set(file, lines);
    }
    return lines;
  }
}

/** `rules.csv:7` */
export function at({ file, line }: LintedRule): string {
  return `${file}:${line}`;
}
