/**
 * Rules as Casbin's Go file adapter reads them: each line by itself through Go's encoding/csv, with leading white space
 * trimmed. The model says which types exist and how many fields they have.
 */

import { utf8Length } from '../utf8.js';
import type { ReportProblem } from './document-problem.js';
import { readableText } from './readable-text.js';
import { isSpace, skipSpace, trimSpace } from './white-space.js';

export interface RuleLine {
  /** `p`, `p2`, `g`…: the first field. */
  readonly ptype: string;
  readonly fields: readonly string[];
  readonly file: string;
  readonly line: number;
  /** 1-based start columns: of the type, then of each field. Found by reading the line again, so for messages only. */
  readonly columns: readonly number[];
}

/** Longest line in bytes. Go's bufio.Scanner holds 64 KiB with the line feed and fails on longer lines. */
const maximumLineBytes = 65_535;

/**
 * Reads a file of rules; comments and empty lines are skipped, a line that cannot be read is reported and left out.
 *
 *     parseRules('# staff\np, alice , "a, b", read\n', 'rules.csv', report)
 *     // [{ ptype: 'p', fields: ['alice ', 'a, b', 'read'], file: 'rules.csv', line: 2, columns: [1, 4, 12, 20] }]
 */
export function parseRules(text: string, file: string, report: ReportProblem): RuleLine[] {
  return [...parseRuleLines(text, file, report)];
}

/** As `parseRules`, one rule at a time, for a caller that must not stop for a long file. */
export function* parseRuleLines(text: string, file: string, report: ReportProblem): Generator<RuleLine> {
  const readable = readableText(text, file, report) ?? '';
  for (let line = 1, start = 0; start < readable.length; line++) {
    const lineFeed = readable.indexOf('\n', start);
    const end = lineFeed === -1 ? readable.length : lineFeed;
    const rule = parseRuleLine(readable.slice(start, end), file, line, report);
    if (rule !== undefined) yield rule;
    start = end + 1;
  }
}

/**
 * Reads one line of a readable text; `undefined` for a comment, an empty line, and a line that cannot be read, which is
 * reported.
 */
export function parseRuleLine(source: string, file: string, line: number, report: ReportProblem): RuleLine | undefined {
  const text = trimSpace(source);
  if (text === '' || text.startsWith('#')) return undefined;
  if (isTooLong(source, file, line, report)) return undefined;
  if (!text.includes('"')) return new ParsedRule(splitAtCommas(text), source, file, line);
  const fields = readQuotedFields(text);
  if (Array.isArray(fields)) return new ParsedRule(fields, source, file, line);
  report({
    severity: 'error',
    code: 'bad_quotes',
    message: fields.message,
    file,
    line,
    column: skipSpace(source, 0) + fields.offset + 1,
    hint: fields.hint,
    refusedByReference: true,
  });
  return undefined;
}

class ParsedRule implements RuleLine {
  readonly ptype: string;

  constructor(
    readonly fields: string[],
    private readonly source: string,
    readonly file: string,
    readonly line: number,
  ) {
    this.ptype = fields.shift() ?? '';
  }

  get columns(): readonly number[] {
    const indent = skipSpace(this.source, 0);
    return fieldOffsets(trimSpace(this.source)).map((offset) => indent + offset + 1);
  }
}

function splitAtCommas(text: string): string[] {
  const fields = text.split(',');
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as string;
    if (isSpace(field.charCodeAt(0))) fields[index] = field.slice(skipSpace(field, 0));
  }
  return fields;
}

interface QuoteFault {
  readonly message: string;
  readonly offset: number;
  readonly hint: string;
}

/** encoding/csv for a line that holds quotes: RFC 4180, neither lazy quotes nor fields that span lines. */
function readQuotedFields(text: string): string[] | QuoteFault {
  const fields: string[] = [];
  let index = 0;
  for (;;) {
    index = skipSpace(text, index);
    if (text.charCodeAt(index) !== quoteCode) {
      const comma = text.indexOf(',', index);
      const end = comma === -1 ? text.length : comma;
      const field = text.slice(index, end);
      const bareQuote = field.indexOf('"');
      if (bareQuote !== -1) {
        return {
          message: 'a quote stands inside a field that does not start with one',
          offset: index + bareQuote,
          hint: 'put the whole field in quotes and double the quotes inside: "r.sub.name == ""alice"""',
        };
      }
      fields.push(field);
      if (comma === -1) return fields;
      index = comma + 1;
      continue;
    }

    const opening = index;
    let field = '';
    index++;
    for (;;) {
      const closing = text.indexOf('"', index);
      if (closing === -1) {
        return {
          message: 'the quoted field does not end',
          offset: opening,
          hint: 'close it with a quote; a quote inside the field is written twice',
        };
      }
      field += text.slice(index, closing);
      index = closing + 1;
      if (text.charCodeAt(index) !== quoteCode) break;
      field += '"';
      index++;
    }
    fields.push(field);
    if (index === text.length) return fields;
    if (text.charCodeAt(index) !== commaCode) {
      return {
        message: 'a quoted field must end at the comma or at the end of the line',
        offset: index - 1,
        hint: 'a quote inside a quoted field is written twice; no space may stand between closing quote and comma',
      };
    }
    index++;
  }
}

/** Where each field of a line that was read without a fault starts. */
function fieldOffsets(text: string): number[] {
  const offsets: number[] = [];
  let index = 0;
  for (;;) {
    index = skipSpace(text, index);
    offsets.push(index);
    if (text.charCodeAt(index) === quoteCode) {
      do index = text.indexOf('"', index + 1) + 1;
      while (text.charCodeAt(index) === quoteCode);
    }
    const comma = text.indexOf(',', index);
    if (comma === -1) return offsets;
    index = comma + 1;
  }
}

const quoteCode = 0x22;
const commaCode = 0x2c;

function isTooLong(source: string, file: string, line: number, report: ReportProblem): boolean {
  // A code unit takes at most three bytes in UTF-8, so few lines have to be measured.
  if (source.length * 3 <= maximumLineBytes || utf8Length(source) <= maximumLineBytes) return false;
  report({
    severity: 'error',
    code: 'line_too_long',
    message: `the line is longer than ${maximumLineBytes} bytes`,
    file,
    line,
    column: 1,
    refusedByReference: true,
  });
  return true;
}
