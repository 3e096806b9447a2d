import { isUtf8 } from 'node:buffer';
import type { PolicyProblem } from '../core/problem.js';

/**
 * Why these bytes are not the text of a policy file, or `undefined` if they are. Text is UTF-8; guessing another
 * encoding would make rules out of noise.
 */
export function textProblem(file: string, bytes: Uint8Array): PolicyProblem | undefined {
  if (startsWith(bytes, 0xff, 0xfe) || startsWith(bytes, 0xfe, 0xff)) {
    return problem('utf16_text', 'this file is UTF-16', 'save it as UTF-8');
  }
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    const { line, column } = place(bytes, nul);
    return problem('binary_file', 'this file is not text: it holds a NUL', 'save it as UTF-8 text', line, column);
  }
  if (!isUtf8(bytes)) {
    const { line, column } = place(bytes, validLength(bytes));
    return problem('not_utf8', 'this is not UTF-8', 'save the file as UTF-8', line, column);
  }
  return undefined;

  function problem(code: string, message: string, hint: string, line = 1, column = 1): PolicyProblem {
    return { severity: 'error', code, message, file, line, column, hint };
  }
}

function startsWith(bytes: Uint8Array, ...start: number[]): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

/** Where the first byte stands that no text could have there. */
function validLength(bytes: Uint8Array): number {
  let [length, tooLong] = [0, bytes.length];
  while (tooLong - length > 1) {
    const middle = (length + tooLong) >>> 1;
    if (isNearlyUtf8(bytes.subarray(0, middle))) length = middle;
    else tooLong = middle;
  }
  while (!isUtf8(bytes.subarray(0, length))) length--;
  return length;
}

/** Whether it is text up to its last three bytes, which may be a character that was cut off. */
function isNearlyUtf8(bytes: Uint8Array): boolean {
  return [0, 1, 2, 3].some((cut) => isUtf8(bytes.subarray(0, Math.max(0, bytes.length - cut))));
}

function place(bytes: Uint8Array, offset: number): { line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (let at = bytes.indexOf(10); at >= 0 && at < offset; at = bytes.indexOf(10, at + 1)) {
    line++;
    lineStart = at + 1;
  }
  return { line, column: new TextDecoder().decode(bytes.subarray(lineStart, offset)).length + 1 };
}
