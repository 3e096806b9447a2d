/**
 * model.conf as a document: what Casbin's Go implementation reads from it (config/config.go, model/model.go), and where
 * each character of it stands in the file. What Go reads differently from what the author must have meant, or does not
 * read at all, is reported.
 */
import type { ReportProblem } from './document-problem.js';
import { readableText } from './readable-text.js';
import { skipSpace, trimSpace } from './white-space.js';

export type Section = 'r' | 'p' | 'g' | 'e' | 'm' | 'c';

export interface Place {
  /** 1-based; columns count UTF-16 code units, as editors do. */
  readonly line: number;
  readonly column: number;
}

export interface Definition {
  readonly section: Section;
  /** `r`, `r2`, `r3`… */
  readonly key: string;
  /** Continued lines are joined by one space, comments are cut off, white space around it is trimmed; never empty. */
  readonly value: string;
  /** Where the character at `offset` of `value` stands in the file. */
  place(offset: number): Place;
}

export interface ModelDocument {
  readonly file: string;
  /** In the order of their keys. Reading stops at the first key that is missing: what follows a gap is not in here. */
  readonly definitions: Readonly<Record<Section, ReadonlyMap<string, Definition>>>;
}

const sectionNames: Readonly<Record<Section, string>> = {
  r: 'request_definition',
  p: 'policy_definition',
  g: 'role_definition',
  e: 'policy_effect',
  m: 'matchers',
  c: 'constraint_definition',
};
const sections = Object.keys(sectionNames) as Section[];
const requiredSections: ReadonlySet<Section> = new Set(['r', 'p', 'e', 'm']);

/** Go reads lines through a buffer of 4 KiB, line feed included, and takes what does not fit for the next line. */
const maximumLineBytes = 4095;

/**
 * Reads a model. Problems are reported, never thrown; reading goes on behind each of them, so that all are found.
 *
 *     const model = parseModel('[matchers]\nm = r.sub == p.sub # owner\n', 'model.conf', report);
 *     model.definitions.m.get('m')?.value     // 'r.sub == p.sub'
 *     model.definitions.m.get('m')?.place(0)  // { line: 2, column: 5 }
 */
export function parseModel(text: string, file: string, report: ReportProblem): ModelDocument {
  const readable = readableText(text, file, report);
  if (readable === undefined) return emptyModel(file);
  const entries = readEntries(readable, file, report);
  const definitions = Object.fromEntries(
    sections.map((section) => [section, selectDefinitions(section, entries, file, report)]),
  ) as Record<Section, ReadonlyMap<string, Definition>>;
  reportMissingSections(definitions, entries, file, report);
  return Object.freeze({ file, definitions: Object.freeze(definitions) });
}

function emptyModel(file: string): ModelDocument {
  const none: ReadonlyMap<string, Definition> = new Map();
  return Object.freeze({ file, definitions: Object.freeze({ r: none, p: none, g: none, e: none, m: none, c: none }) });
}

interface SectionEntry {
  readonly kind: 'section';
  readonly name: string;
  readonly place: Place;
}

interface DefinitionEntry {
  readonly kind: 'definition';
  /** The name of the section above it. */
  readonly section: string | undefined;
  readonly key: string;
  readonly keyPlace: Place;
  readonly value: string;
  readonly place: (offset: number) => Place;
}

type Entry = SectionEntry | DefinitionEntry;

/** The text of one definition while its lines are being joined, and where each run of its characters comes from. */
class JoinedLines {
  text = '';
  /** The quote of a literal that is still open, else empty. */
  openQuote = '';
  private readonly runs: { readonly offset: number; readonly place: Place }[] = [];

  append(text: string, place: Place): void {
    this.runs.push({ offset: this.text.length, place });
    this.text += text;
    for (const [quote] of text.matchAll(/["']/g)) {
      if (this.openQuote === '') this.openQuote = quote;
      else if (this.openQuote === quote) this.openQuote = '';
    }
  }

  place(offset: number): Place {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.runs[middle] as { offset: number }).offset <= offset) low = middle;
      else high = middle - 1;
    }
    const run = this.runs[low] as { offset: number; place: Place };
    return { line: run.place.line, column: run.place.column + offset - run.offset };
  }
}

function readEntries(text: string, file: string, report: ReportProblem): readonly Entry[] {
  const entries: Entry[] = [];
  let section: string | undefined;
  let joined = new JoinedLines();

  const finishDefinition = () => {
    if (joined.text === '') return;
    const entry = entryOf(joined, section, file, report);
    if (entry !== undefined) entries.push(entry);
    if (entry?.kind === 'section') section = entry.name;
    joined = new JoinedLines();
  };

  for (const [index, line] of text.split('\n').entries()) {
    const number = index + 1;
    reportLongLine(line, number, file, report);
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
        reportCommentInText({ line: number, column: place.column + comment }, file, report);
      }
      if (!continued) finishDefinition();
    }
  }
  finishDefinition();
  return entries;
}

function entryOf(
  joined: JoinedLines,
  section: string | undefined,
  file: string,
  report: ReportProblem,
): Entry | undefined {
  const { text } = joined;
  const keyPlace = joined.place(skipSpace(text, 0, text.length - 1));
  const equals = text.indexOf('=');
  if (equals === -1) {
    const refused = { severity: 'error', file, ...keyPlace, refusedByReference: true } as const;
    if (text.startsWith('[')) {
      report({
        ...refused,
        code: 'broken_section_header',
        message: `${quote(trimSpace(text))} is no section header`,
        hint: 'a header is a name in brackets and nothing else, not even a comment',
      });
      // Go on as if it were one, so that what stands below it is not reported, too.
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

/** The definitions of one section that Go reads: `r`, `r2`, `r3`… up to the first that is missing or empty. */
function selectDefinitions(
  section: Section,
  entries: readonly Entry[],
  file: string,
  report: ReportProblem,
): ReadonlyMap<string, Definition> {
  const written = new Map<string, DefinitionEntry>();
  for (const entry of entries) {
    if (entry.kind !== 'definition' || entry.section !== sectionNames[section]) continue;
    const earlier = written.get(entry.key);
    if (earlier !== undefined) {
      report({
        severity: 'error',
        code: 'duplicate_definition',
        message: `"${entry.key}" is already defined in line ${earlier.keyPlace.line}; the last one counts`,
        file,
        ...entry.keyPlace,
        hint: `name a further definition "${section}2", "${section}3"…`,
      });
    }
    written.set(entry.key, entry);
  }

  const definitions = new Map<string, Definition>();
  for (let number = 1; ; number++) {
    const key = number === 1 ? section : `${section}${number}`;
    const entry = written.get(key);
    if (entry === undefined || entry.value === '') {
      reportUnread(section, key, [...written.values()], definitions, file, report);
      return definitions;
    }
    definitions.set(key, Object.freeze({ section, key, value: entry.value, place: entry.place }));
    if (section === 'r' || section === 'p') reportTokens(entry, file, report);
  }
}

/** `gap` is the key at which reading stopped; whatever was written but not read is a slip of the author's. */
function reportUnread(
  section: Section,
  gap: string,
  written: readonly DefinitionEntry[],
  read: ReadonlyMap<string, Definition>,
  file: string,
  report: ReportProblem,
): void {
  const validKey = new RegExp(`^${section}([2-9]|[1-9][0-9]+)?$`);
  for (const entry of written) {
    if (read.has(entry.key)) continue;
    const { key } = entry;
    const unread = { severity: 'error', file, ...entry.keyPlace } as const;
    if (!validKey.test(key)) {
      report({
        ...unread,
        code: 'unknown_definition',
        message: `${quote(key)} is not read: keys in [${sectionNames[section]}] are "${section}", "${section}2", "${section}3"…`,
        ...(new RegExp(`^${section}0*1$`, 'i').test(key) && {
          hint: `the first one is "${section}", without a number`,
        }),
      });
    } else if (entry.value === '') {
      report({
        ...unread,
        code: 'empty_definition',
        message: `"${key}" has no value`,
        hint: 'remove it or complete it',
      });
    } else {
      report({
        ...unread,
        code: 'definition_after_gap',
        message: `"${key}" is not read: there is no "${gap}"`,
        hint: 'number the definitions without gaps',
      });
    }
  }
}

function reportTokens(entry: DefinitionEntry, file: string, report: ReportProblem): void {
  const seen = new Set<string>();
  let offset = 0;
  for (const column of entry.value.split(',')) {
    const token = trimSpace(column);
    const place = entry.place(Math.min(skipSpace(entry.value, offset), offset + column.length));
    if (token === '') {
      report({
        severity: 'error',
        code: 'empty_token',
        message: `a column of "${entry.key}" has no name`,
        file,
        ...place,
        hint: 'remove the comma that is too many: the nameless column counts, too',
      });
    } else if (seen.has(token)) {
      report({
        severity: 'error',
        code: 'duplicate_token',
        message: `the column ${quote(token)} stands twice in "${entry.key}"`,
        file,
        ...place,
        hint: 'give each column a name of its own',
      });
    }
    seen.add(token);
    offset += column.length + 1;
  }
}

function reportMissingSections(
  definitions: Readonly<Record<Section, ReadonlyMap<string, Definition>>>,
  entries: readonly Entry[],
  file: string,
  report: ReportProblem,
): void {
  for (const section of sections) {
    if (definitions[section].size > 0) continue;
    const name = sectionNames[section];
    const header = entries.find((entry): entry is SectionEntry => entry.kind === 'section' && entry.name === name);
    if (requiredSections.has(section)) {
      report({
        severity: 'error',
        code: 'missing_section',
        message: header === undefined ? `the section [${name}] is missing` : `[${name}] does not define "${section}"`,
        file,
        ...(header?.place ?? { line: 1, column: 1 }),
        refusedByReference: true,
      });
    } else if (header !== undefined) {
      report({
        severity: 'warning',
        code: 'empty_section',
        message: `[${name}] does not define "${section}"`,
        file,
        ...header.place,
      });
    }
  }
  reportUnknownSections(entries, file, report);
}

function reportUnknownSections(entries: readonly Entry[], file: string, report: ReportProblem): void {
  const names: readonly string[] = Object.values(sectionNames);
  for (const entry of entries) {
    if (entry.kind === 'definition') {
      if (entry.section !== undefined) continue;
      report({
        severity: 'error',
        code: 'definition_outside_section',
        message: `${quote(entry.key)} is not read: it stands before the first section`,
        file,
        ...entry.keyPlace,
      });
    } else if (!names.includes(entry.name)) {
      const meant = names.find((name) => letters(name) === letters(entry.name));
      report({
        severity: 'error',
        code: 'unknown_section',
        message: `the section [${entry.name}] is not read`,
        file,
        ...entry.place,
        hint: meant === undefined ? `sections are ${names.join(', ')}` : `did you mean [${meant}]?`,
      });
    }
  }
}

/** What is left of a name when case, spaces, underlines and a plural are set aside. */
function letters(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z]/g, '')
    .replace(/s$/, '');
}

/**
 * `#` and `;` start a comment inside a literal, too: `r.obj == "a;b"` ends in the middle of it. What the author meant
 * as one text is lost, perhaps with further terms behind it.
 */
function reportCommentInText(place: Place, file: string, report: ReportProblem): void {
  report({
    severity: 'error',
    code: 'comment_in_text',
    message: 'a comment starts inside a quoted text; the rest of the line is not read',
    file,
    ...place,
    hint: 'neither # nor ; can stand in a model: give the value as a column of the rules',
  });
}

function reportLongLine(line: string, number: number, file: string, report: ReportProblem): void {
  if (Buffer.byteLength(line) <= maximumLineBytes) return;
  report({
    severity: 'error',
    code: 'line_too_long',
    message: `the line is longer than ${maximumLineBytes} bytes; Casbin would break it there and lose the rest`,
    file,
    line: number,
    column: 1,
    hint: 'continue it on the next line with a backslash at the end',
    refusedByReference: true,
  });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
