/** model.conf as sections and `key = value`: what Casbin's config/config.go reads, with places. */

import { quote } from '../quote.js';
import { utf8Length } from '../utf8.js';
import type { DocumentProblem } from './document-problem.js';
import { sectionNames } from './model-sections.js';
import { skipSpace, trimSpace } from './white-space.js';

export interface LinePlace {
  /** 1-based; columns count UTF-16 code units, as editors do. */
  readonly line: number;
  readonly column: number;
}

export interface SectionEntry {
  readonly kind: 'section';
  readonly name: string;
  readonly place: LinePlace;
}

export interface DefinitionEntry {
  readonly kind: 'definition';
  /** The name of the section above it. */
  readonly section: string | undefined;
  readonly key: string;
  readonly keyPlace: LinePlace;
  readonly value: string;
  readonly place: (offset: number) => LinePlace;
}

export type ModelEntry = SectionEntry | DefinitionEntry;

/** A problem of the file that is being read. */
export type ReportFinding = (finding: Omit<DocumentProblem, 'file'>) => void;

/**
 * Longest line in bytes. Go reads lines through a buffer of 4 KiB with the line feed, and treats the rest of a longer
 * one as the next line.
 */
const maximumLineBytes = 4095;

/** Reads all entries, also those that Casbin ignores later. Other lines are reported and skipped. */
export function readEntries(text: string, report: ReportFinding): readonly ModelEntry[] {
  const entries: ModelEntry[] = [];
  let section: string | undefined;
  let joined = new JoinedLines();

  const finishDefinition = () => {
    if (joined.text === '') return;
    const entry = entryOf(joined, section, report);
    if (entry !== undefined) entries.push(entry);
    if (entry?.kind === 'section') section = entry.name;
    joined = new JoinedLines();
  };

  for (const [index, line] of text.split('\n').entries()) {
    const number = index + 1;
    reportLongLine(line, number, report);
    const content = trimSpace(line);
    const place = { line: number, column: skipSpace(line, 0) + 1 };
    if (content === '' || content.startsWith('#') || content.startsWith(';')) {
      finishDefinition();
    } else if (content.startsWith('[') && content.endsWith(']')) {
      finishDefinition();
      section = content.slice(1, -1);
      entries.push({ kind: 'section', name: section, place });
    } else {
      const continued = content.endsWith('\\');
      const whole = continued ? `${trimSpace(content.slice(0, -1))} ` : content;
      const comment = whole.search(/[#;]/);
      joined.append(comment === -1 ? whole : whole.slice(0, comment), place);
      if (comment !== -1 && joined.openQuote !== '' && section === sectionNames.m) {
        reportCommentInText({ line: number, column: place.column + comment }, report);
      }
      if (!continued) finishDefinition();
    }
  }
  finishDefinition();
  return entries;
}

function entryOf(joined: JoinedLines, section: string | undefined, report: ReportFinding): ModelEntry | undefined {
  const { text } = joined;
  const keyPlace = joined.place(skipSpace(text, 0, text.length - 1));
  const equals = text.indexOf('=');
  if (equals === -1) {
    const refused = { severity: 'error', ...keyPlace, refusedByReference: true } as const;
    if (text.startsWith('[')) {
      report({
        ...refused,
        code: 'broken_section_header',
        message: `${quote(trimSpace(text))} is no section header`,
        hint: 'a header is a name in brackets and nothing else, not even a comment',
      });
      // Treated as a section, so that the lines below it are not reported, too.
      return { kind: 'section', name: text.replace(/^\[([a-z_]*).*$/s, '$1'), place: keyPlace };
    }
    report({
      ...refused,
      code: 'missing_equals',
      message: `expected "key = value", got ${quote(trimSpace(text))}`,
      hint: 'end a line with a backslash to continue it on the next one',
    });
    return undefined;
  }
  const start = skipSpace(text, equals + 1);
  return {
    kind: 'definition',
    section,
    key: trimSpace(text.slice(0, equals)),
    keyPlace,
    value: trimSpace(text.slice(start)),
    place: (offset) => joined.place(start + offset),
  };
}

/** The text of one definition while its lines are being joined, and where each run of its characters comes from. */
class JoinedLines {
  text = '';
  /** The quote character of an open literal, or empty. */
  openQuote = '';
  private readonly runs: { readonly offset: number; readonly place: LinePlace }[] = [];

  append(text: string, place: LinePlace): void {
    this.runs.push({ offset: this.text.length, place });
    this.text += text;
    for (const [quote] of text.matchAll(/["']/g)) {
      if (this.openQuote === '') this.openQuote = quote;
      else if (this.openQuote === quote) this.openQuote = '';
    }
  }

  place(offset: number): LinePlace {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.runs[middle] as { offset: number }).offset <= offset) low = middle;
      else high = middle - 1;
    }
    const run = this.runs[low] as { offset: number; place: LinePlace };
    return { line: run.place.line, column: run.place.column + offset - run.offset };
  }
}

/**
 * `#` and `;` start a comment inside a literal, too: `r.obj == "a;b"` ends in the middle of it. The rest of the literal
 * is lost, and terms behind it.
 */
function reportCommentInText(place: LinePlace, report: ReportFinding): void {
  report({
    severity: 'error',
    code: 'comment_in_text',
    message: 'a comment starts inside a quoted text; the rest of the line is not read',
    ...place,
    hint: 'neither # nor ; can stand in a model: give the value as a column of the rules',
  });
}

function reportLongLine(line: string, number: number, report: ReportFinding): void {
  if (utf8Length(line) <= maximumLineBytes) return;
  report({
    severity: 'error',
    code: 'line_too_long',
    message: `the line is longer than ${maximumLineBytes} bytes; Casbin would break it there and lose the rest`,
    line: number,
    column: 1,
    hint: 'continue it on the next line with a backslash at the end',
    refusedByReference: true,
  });
}
