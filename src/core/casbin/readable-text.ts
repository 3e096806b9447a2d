import type { ReportProblem } from './document-problem.js';

/**
 * The text of a file without its byte order mark; `undefined` if it is not text: with NUL, or with U+FFFD, which
 * decoding makes of bytes that are not UTF-8.
 */
export function readableText(text: string, file: string, report: ReportProblem): string | undefined {
  const binary = text.search(/[\0\uFFFD]/);
  if (binary !== -1) {
    const before = text.slice(0, binary).split('\n');
    report({
      severity: 'error',
      code: 'binary_content',
      message: 'the file holds bytes that are no UTF-8 text',
      file,
      line: before.length,
      column: (before.at(-1) as string).length + 1,
      hint: 'save it as UTF-8',
      refusedByReference: true,
    });
    return undefined;
  }
  if (!text.startsWith('\uFEFF')) return text;
  report({
    severity: 'error',
    code: 'byte_order_mark',
    message: 'the file starts with a byte order mark, which Casbin takes for a part of the first line',
    file,
    line: 1,
    column: 1,
    hint: 'save it as UTF-8 without BOM',
    refusedByReference: true,
  });
  return text.slice(1);
}
