/** What is wrong with texts of rules, told at the place where each stands. */
import type { ReportProblem } from '../casbin/document-problem.js';
import { parseRuleLine } from '../casbin/rules-document.js';
import type { NamedText } from '../manifest/yaml-document.js';
import type { RuleStore } from '../rules/rule-store.js';
import { SymbolSet } from '../rules/symbols.js';
import { patternsPerStep } from '../steps.js';

/** What is wrong with the text of a column; `at` is an offset into the text. */
export interface TextFlaw {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly at: number;
  readonly of?: 'r' | 'p' | undefined;
  /** As in `DocumentProblem`. */
  readonly refusedByReference?: true;
}

/** Looks at each text of a column once, and tells what is wrong with it in every rule that has it. */
export function* checkTexts(
  set: { readonly rules: readonly NamedText[]; readonly report: ReportProblem },
  rules: RuleStore,
  column: number,
  look: (text: string) => readonly TextFlaw[],
): Generator<void> {
  const flawed = new Map<number, readonly TextFlaw[]>();
  const symbols = rules.columns[column] ?? new Int32Array(0);
  const looked = new SymbolSet([], rules.symbols.size);
  let count = 0;
  for (const symbol of symbols) {
    if (!looked.add(symbol)) continue;
    if (++count % patternsPerStep === 0) yield;
    const flaws = look(rules.symbols.text(symbol));
    if (flaws.length > 0) flawed.set(symbol, flaws);
  }
  if (flawed.size === 0) return;
  const places = new RulePlaces(set.rules);
  for (const [rule, symbol] of symbols.entries()) {
    for (const { at, of, ...flaw } of flawed.get(symbol) ?? []) {
      if (++count % patternsPerStep === 0) yield;
      const place = places.of(rules.file(rule), rules.line(rule), column, at);
      set.report({ ...place, severity: 'error', follows: of, ...flaw });
    }
  }
}

/** Where columns of rules stand. They are not kept when a set is read: the line is read again. */
class RulePlaces {
  /** By file: its lines. Each file is split once, however many of its rules are at fault. */
  private readonly lines = new Map<string, readonly string[]>();

  constructor(private readonly sources: readonly NamedText[]) {}

  /** Where the character at `offset` of the text in a column stands. */
  of(file: string, line: number, column: number, offset: number): { file: string; line: number; column: number } {
    const text = this.linesOf(file)[line - 1] ?? '';
    const start = parseRuleLine(text, file, line, () => {})?.columns[column + 1] ?? 1;
    return { file, line, column: start + offsetInLine(text.slice(start - 1), offset) };
  }

  private linesOf(file: string): readonly string[] {
    let lines = this.lines.get(file);
    if (lines === undefined) {
      lines = this.sources.find((source) => source.file === file)?.text.split('\n') ?? [];
      this.lines.set(file, lines);
    }
    return lines;
  }
}

/** Where the character at `offset` of a field stands in its text: a quoted field has a quote before it, and its quotes doubled. */
function offsetInLine(field: string, offset: number): number {
  if (!field.startsWith('"')) return offset;
  let at = 1;
  for (let left = offset; left > 0; left--) at += field.startsWith('""', at) ? 2 : 1;
  return at;
}
