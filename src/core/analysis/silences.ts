/**
 * Warnings that an author has looked at: a comment above the line says which one, and why it stays.
 *
 *     # lint-ignore shadowed_rule: the wider rule goes when the migration is over
 *     p, nurse, chart, read
 */

import type { NamedText } from '../manifest/yaml-document.js';
import type { PolicyProblem } from '../problem.js';
import { quote } from '../quote.js';

interface Silence {
  readonly code: string;
  readonly file: string;
  /** Line of the comment. */
  readonly line: number;
  readonly column: number;
  /** First and last line that it holds for. */
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

const comment = /^\s*#\s*lint-ignore\b\s*([a-z0-9_]*)\s*:?\s*(.*?)\s*$/;

/** Leaves out silenced warnings, and reports silences without a reason or an effect. Errors stay. */
export function applySilences(
  problems: readonly PolicyProblem[],
  files: readonly NamedText[],
): readonly PolicyProblem[] {
  const silences = files.flatMap(readSilences);
  const used = new Set<Silence>();
  const left = problems.filter((problem) => {
    const silence = silences.find((candidate) => isSilenced(problem, candidate));
    if (silence === undefined || problem.severity === 'error') return true;
    used.add(silence);
    return silence.reason === '';
  });
  for (const silence of silences) {
    const { file, line, column, code } = silence;
    const place = { severity: 'warning', file, line, column } as const;
    if (silence.reason === '') {
      const hint = `# lint-ignore ${code || 'code'}: why it stays`;
      left.push({ ...place, code: 'silence_without_reason', message: 'lint-ignore needs a reason', hint });
    } else if (!used.has(silence)) {
      const message = `there is no warning ${quote(code)} to silence here`;
      left.push({ ...place, code: 'unused_silence', message, hint: 'remove the comment' });
    }
  }
  return left;
}

function isSilenced(problem: PolicyProblem, { code, file, from, to }: Silence): boolean {
  return problem.code === code && problem.file === file && problem.line >= from && problem.line <= to;
}

/** A comment speaks of the next line that is neither empty nor a comment, with the lines that continue it. */
function readSilences({ file, text }: NamedText): readonly Silence[] {
  if (!text.includes('lint-ignore')) return [];
  const lines = text.split('\n');
  const silences: Silence[] = [];
  for (const [index, line] of lines.entries()) {
    const found = comment.exec(line);
    if (found === null) continue;
    let from = index + 1;
    while (from < lines.length && /^\s*([#;]|$)/.test(lines[from] as string)) from++;
    let to = from;
    while (lines[to]?.trimEnd().endsWith('\\') === true) to++;
    const [, code = '', reason = ''] = found;
    silences.push({ code, reason, file, line: index + 1, column: line.indexOf('#') + 1, from: from + 1, to: to + 1 });
  }
  return silences;
}
