/**
 * model.conf as a document: the definitions that Casbin's model/model.go reads, and the place of each of their
 * characters in the file. Text that Casbin does not read, or reads differently from what the author must have meant, is
 * reported.
 */
import { closest } from '../closest.js';
import { cut, quote } from '../quote.js';
import type { ReportProblem } from './document-problem.js';
import {
  type DefinitionEntry,
  type LinePlace,
  type ModelEntry,
  type ReportFinding,
  readEntries,
  type SectionEntry,
} from './model-lines.js';
import { requiredSections, type Section, sectionNames, sections } from './model-sections.js';
import { readableText } from './readable-text.js';
import { skipSpace, trimSpace } from './white-space.js';

export interface Definition {
  readonly section: Section;
  /** `r`, `r2`, `r3`… */
  readonly key: string;
  /** Continued lines are joined by one space, comments are cut off, white space around it is trimmed; never empty. */
  readonly value: string;
  /** The place in the file of the character at `offset` of `value`. */
  place(offset: number): LinePlace;
}

export interface ModelDocument {
  readonly file: string;
  /** Definitions in the order of their keys, up to the first missing key. */
  readonly definitions: Readonly<Record<Section, ReadonlyMap<string, Definition>>>;
}

/**
 * Reads a model. Problems are reported, never thrown, and reading continues behind each, so that all are found.
 *
 *     const model = parseModel('[matchers]\nm = r.sub == p.sub # owner\n', 'model.conf', report);
 *     model.definitions.m.get('m')?.value     // 'r.sub == p.sub'
 *     model.definitions.m.get('m')?.place(0)  // { line: 2, column: 5 }
 */
export function parseModel(text: string, file: string, report: ReportProblem): ModelDocument {
  const readable = readableText(text, file, report);
  if (readable === undefined) return emptyModel(file);
  const reportFinding: ReportFinding = (finding) => report({ ...finding, file });
  const entries = readEntries(readable, reportFinding);
  const definitions = Object.fromEntries(
    sections.map((section) => [section, selectDefinitions(section, entries, reportFinding)]),
  ) as Record<Section, ReadonlyMap<string, Definition>>;
  reportMissingSections(definitions, entries, reportFinding);
  reportUnknownSections(entries, reportFinding);
  return Object.freeze({ file, definitions: Object.freeze(definitions) });
}

function emptyModel(file: string): ModelDocument {
  const none: ReadonlyMap<string, Definition> = new Map();
  return Object.freeze({ file, definitions: Object.freeze({ r: none, p: none, g: none, e: none, m: none, c: none }) });
}

/** The definitions of one section that Go reads: `r`, `r2`, `r3`… up to the first that is missing or empty. */
function selectDefinitions(
  section: Section,
  entries: readonly ModelEntry[],
  report: ReportFinding,
): ReadonlyMap<string, Definition> {
  const written = new Map<string, DefinitionEntry>();
  for (const entry of entries) {
    if (entry.kind !== 'definition' || entry.section !== sectionNames[section]) continue;
    const earlier = written.get(entry.key);
    if (earlier !== undefined) {
      report({
        severity: 'error',
        code: 'duplicate_definition',
        message: `${quote(entry.key)} is already defined in line ${earlier.keyPlace.line}; the last one counts`,
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
      reportUnread(section, key, [...written.values()], definitions, report);
      return definitions;
    }
    definitions.set(key, Object.freeze({ section, key, value: entry.value, place: entry.place }));
    if (section === 'r' || section === 'p') reportTokens(entry, report);
  }
}

/** Reports definitions that Casbin does not read; `gap` is the key at which it stops. */
function reportUnread(
  section: Section,
  gap: string,
  written: readonly DefinitionEntry[],
  read: ReadonlyMap<string, Definition>,
  report: ReportFinding,
): void {
  const validKey = new RegExp(`^${section}([2-9]|[1-9][0-9]+)?$`);
  for (const entry of written) {
    if (read.has(entry.key)) continue;
    const { key } = entry;
    const unread = { severity: 'error', damages: section, ...entry.keyPlace } as const;
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
        message: `${quote(key)} has no value`,
        hint: 'remove it or complete it',
      });
    } else {
      report({
        ...unread,
        code: 'definition_after_gap',
        message: `${quote(key)} is not read: there is no ${quote(gap)}`,
        hint: 'number the definitions without gaps',
      });
    }
  }
}

function reportTokens(entry: DefinitionEntry, report: ReportFinding): void {
  const seen = new Set<string>();
  let offset = 0;
  for (const column of entry.value.split(',')) {
    const token = trimSpace(column);
    const place = entry.place(Math.min(skipSpace(entry.value, offset), offset + column.length));
    if (token === '') {
      report({
        severity: 'error',
        code: 'empty_token',
        message: `a column of ${quote(entry.key)} has no name`,
        ...place,
        hint: 'remove the comma that is too many: the nameless column counts, too',
      });
    } else if (seen.has(token)) {
      report({
        severity: 'error',
        code: 'duplicate_token',
        message: `the column ${quote(token)} stands twice in ${quote(entry.key)}`,
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
  entries: readonly ModelEntry[],
  report: ReportFinding,
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
        ...(header?.place ?? { line: 1, column: 1 }),
        damages: section,
        follows: section,
        refusedByReference: true,
      });
    } else if (header !== undefined) {
      report({
        severity: 'warning',
        code: 'empty_section',
        message: `[${name}] does not define "${section}"`,
        follows: section,
        ...header.place,
      });
    }
  }
}

function reportUnknownSections(entries: readonly ModelEntry[], report: ReportFinding): void {
  const names: readonly string[] = Object.values(sectionNames);
  for (const entry of entries) {
    if (entry.kind === 'definition') {
      if (entry.section !== undefined) continue;
      report({
        severity: 'error',
        code: 'definition_outside_section',
        message: `${quote(entry.key)} is not read: it stands before the first section`,
        ...entry.keyPlace,
      });
    } else if (!names.includes(entry.name)) {
      const section = meantSection(entry.name);
      const meant = section === undefined ? undefined : sectionNames[section];
      report({
        severity: 'error',
        code: 'unknown_section',
        ...(section !== undefined && { damages: section }),
        message: `the section [${cut(entry.name)}] is not read`,
        ...entry.place,
        hint: meant === undefined ? `sections are ${names.join(', ')}` : `did you mean [${meant}]?`,
      });
    }
  }
}

/** The section that a wrong name probably means. */
function meantSection(name: string): Section | undefined {
  const names = Object.values(sectionNames);
  if (names.includes(name)) return undefined;
  const meant = names.find((each) => letters(each) === letters(name)) ?? closest(name, names);
  return sections.find((section) => sectionNames[section] === meant);
}

/** A name without case, spaces, underlines and plural. */
function letters(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z]/g, '')
    .replace(/s$/, '');
}
