/** Formats rules and models. Comments and meaning stay. */
import { parseModel } from '../casbin/model-document.js';
import { parseRuleLine } from '../casbin/rules-document.js';
import { skipSpace, trimSpace } from '../casbin/white-space.js';
import type { PolicyProblem } from '../problem.js';
import { utf8Length } from '../utf8.js';

export type Formatted =
  | { readonly text: string }
  /** A file that does not parse is not changed. */
  | { readonly problems: readonly PolicyProblem[] };

/** Beyond this Casbin does not read a line of rules; one that would grow over it stays as it is. */
const maximumLineBytes = 65_535;

/**
 * Rules, a space after each comma and none around. What stood in quotes stays in quotes; a field whose end is white space
 * is put into them, since the space is a part of it and nobody would see it.
 *
 *     formatRules('p,alice ,  data1,read\n\n\n\n# all', 'rules.csv')   // 'p, "alice ", data1, read\n\n# all\n'
 */
export function formatRules(text: string, file: string): Formatted {
  const problems: PolicyProblem[] = [];
  const lines = linesOf(text).map((line, index) => {
    const content = trimSpace(line);
    if (content === '' || content.startsWith('#')) return content;
    const rule = parseRuleLine(line, file, index + 1, (problem) => problems.push(problem));
    return rule === undefined ? content : formatRule(content, [rule.ptype, ...rule.fields]);
  });
  return problems.length > 0 ? { problems } : { text: joinLines(lines) };
}

function formatRule(content: string, fields: readonly string[]): string {
  const quoted = quotedFields(content);
  const written = fields.map((field, index) => {
    if (field === '') return quoted[index] === true ? '""' : '';
    return quoted[index] === true || trimSpace(field) !== field ? `"${field.replaceAll('"', '""')}"` : field;
  });
  // An empty field is nothing between two commas: `allow,,`.
  const line = written.map((field, index) => (index === 0 || field === '' ? field : ` ${field}`)).join(',');
  return utf8Length(line) > maximumLineBytes ? content : line;
}

/** Which fields of a correct line are in quotes. */
function quotedFields(content: string): readonly boolean[] {
  const quoted: boolean[] = [];
  for (let index = 0; ; index++) {
    index = skipSpace(content, index);
    quoted.push(content[index] === '"');
    if (content[index] === '"') {
      do index = content.indexOf('"', index + 1) + 1;
      while (content[index] === '"');
    }
    index = content.indexOf(',', index);
    if (index < 0) return quoted;
  }
}

const sectionHeader = /^\[(.*)\]$/;
const columnKey = /^(r|p|g)[0-9]*$/;

/**
 * A model: `key = value`, columns with a space after each comma, one empty line before each section. Matchers and effects
 * are left as they are written, since Casbin reads some of them by their exact text.
 */
export function formatModel(text: string, file: string): Formatted {
  const problems: PolicyProblem[] = [];
  parseModel(text, file, ({ refusedByReference, ...problem }) => {
    if (refusedByReference === true && problem.code !== 'missing_section') problems.push(problem);
  });
  if (problems.length > 0) return { problems };
  const lines: string[] = [];
  let continued = false;
  for (const line of linesOf(text)) {
    const content = trimSpace(line);
    const isComment = content === '' || content.startsWith('#') || content.startsWith(';');
    if (sectionHeader.test(content) && !continued) startSection(lines, content);
    else if (isComment) lines.push(content);
    else lines.push(continued ? `    ${content}` : formatDefinition(content));
    // A comment ends what a backslash continues.
    continued = !isComment && content.endsWith('\\');
  }
  return { text: joinLines(lines) };
}

/** The comment that stands directly above a header belongs to the section. */
function startSection(lines: string[], header: string): void {
  let from = lines.length;
  while (from > 0 && /^[#;]/.test(lines[from - 1] as string)) from--;
  if (from > 0 && lines[from - 1] !== '') lines.splice(from, 0, '');
  lines.push(header);
}

function formatDefinition(content: string): string {
  const equals = content.indexOf('=');
  if (equals < 0) return content;
  const key = trimSpace(content.slice(0, equals));
  const value = trimSpace(content.slice(equals + 1));
  const isPlain = columnKey.test(key) && !/[#;\\]/.test(value);
  return `${key} = ${isPlain ? value.split(',').map(trimSpace).join(', ') : value}`;
}

/** Splits at line feeds and removes a byte order mark. */
function linesOf(text: string): string[] {
  return text.replace(/^\uFEFF/, '').split('\n');
}

/** One empty line at most, none at the beginning or the end, a line feed behind the last line. */
function joinLines(lines: readonly string[]): string {
  const kept = lines.filter((line, index) => line !== '' || (index > 0 && lines[index - 1] !== ''));
  while (kept.at(-1) === '') kept.pop();
  while (kept[0] === '') kept.shift();
  return kept.length === 0 ? '' : `${kept.join('\n')}\n`;
}
