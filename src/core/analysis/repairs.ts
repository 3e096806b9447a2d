/** Faults of an existing Casbin policy that can only be meant in one way, and their repair. */
import { parseRuleLine } from '../casbin/rules-document.js';
import { skipSpace, trimSpace } from '../casbin/white-space.js';
import { closest } from '../closest.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { type CompiledPolicySet, type CompileOptions, compileInSteps } from '../policy/compile.js';
import { PolicyError, type PolicyProblem } from '../problem.js';
import { finish } from '../steps.js';

export interface Repaired {
  readonly rules: readonly NamedText[];
  /** What was done: `policy.csv:7: removed a repeated rule`. */
  readonly repairs: readonly string[];
}

/**
 * Repairs rules of the right form whose words are wrong: an effect written `Deny`, a type written `P`, the same line
 * twice. Faults with several possible repairs are left to the author.
 */
export function repairRules(rules: readonly NamedText[], problems: readonly PolicyProblem[]): Repaired {
  const repairs: string[] = [];
  const repaired = rules.map(({ file, text }) => {
    const lines = text.split('\n');
    for (const problem of problems) {
      if (problem.file !== file) continue;
      for (const index of problem.code === 'unknown_ptype' ? linesAlike(lines, problem) : [problem.line - 1]) {
        const line = lines[index];
        const repair = line === undefined ? undefined : repairLine(line, problem);
        if (repair === undefined) continue;
        lines[index] = repair.line;
        repairs.push(`${file}:${index + 1}: ${repair.what}`);
      }
    }
    return { file, text: lines.filter((line) => line !== removed).join('\n') };
  });
  return { rules: repaired, repairs };
}

/** An unknown type is reported once, at the first of its rules. */
function* linesAlike(lines: readonly string[], { line }: PolicyProblem): Generator<number> {
  const typeOf = (text: string | undefined): string | undefined => parseRuleLine(text ?? '', '', 1, () => {})?.ptype;
  const wrong = typeOf(lines[line - 1]);
  for (const [index, text] of lines.entries()) if (typeOf(text) === wrong && wrong !== undefined) yield index;
}

/** No line of a file holds a line feed. */
const removed = '\n';

function repairLine(
  line: string,
  problem: PolicyProblem,
): { readonly line: string; readonly what: string } | undefined {
  switch (problem.code) {
    case 'duplicate_rule':
      return { line: removed, what: 'removed a repeated rule' };
    case 'unknown_effect':
      return replaceWord(line, problem.column, ['allow', 'deny']);
    case 'unknown_ptype': {
      const known = /"(\w+)"|it defines (.*)/.exec(problem.hint ?? '');
      return replaceWord(
        line,
        skipSpace(line, 0) + 1,
        known?.[1] === undefined ? (known?.[2]?.split(', ') ?? []) : [known[1]],
      );
    }
    default:
      return undefined;
  }
}

/** Puts the right word in the place of one that differs in case, in spaces, or by one slip of the keyboard. */
function replaceWord(line: string, column: number, words: readonly string[]) {
  const rule = parseRuleLine(line, '', 1, () => {});
  const index = rule?.columns.indexOf(column) ?? -1;
  const wrong = rule === undefined || index < 0 ? undefined : [rule.ptype, ...rule.fields][index];
  const word = wrong === undefined ? undefined : closest(trimSpace(wrong).toLowerCase(), words);
  if (wrong === undefined || word === undefined || line.slice(column - 1, column - 1 + wrong.length) !== wrong) return;
  const mended = line.slice(0, column - 1) + word + line.slice(column - 1 + wrong.length);
  return { line: mended, what: `wrote "${word}" for "${wrong}"` };
}

/**
 * Compiles as far as it goes: the problems are all there, strict ones and the reference's. `main` is what would decide;
 * undefined when the set does not compile.
 */
export function problemsOf(options: CompileOptions): {
  readonly main?: CompiledPolicySet['main'];
  readonly problems: readonly PolicyProblem[];
} {
  try {
    // The set does not leave this function, so that nobody asks for its version.
    const { main, problems } = finish(compileInSteps({ ...options, strict: false }, () => ''));
    return { main, problems };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { problems: error.problems };
  }
}
