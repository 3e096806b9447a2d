import type { Expansion } from './expansion.js';
import type { SeenGap, SeenRecord } from './partial-view.js';

type Cell = string | number | undefined;

type Column = readonly [name: string, read: (record: SeenRecord) => Cell];

const columns: readonly Column[] = [
  ['time', (record) => record.time],
  ['id', (record) => record.id],
  ['decision', (record) => record.decision],
  ['reason', (record) => record.reason.code],
  ['subjectType', (record) => record.request.subject.type],
  ['subject', (record) => record.request.subject.id],
  ['action', (record) => record.request.action.name],
  ['resourceType', (record) => record.request.resource.type],
  ['resource', (record) => record.request.resource.id],
  ['policySet', (record) => record.policySet],
  ['policyVersion', (record) => record.policyVersion],
  ['revision', (record) => record.revision],
  ['candidate', (record) => record.candidate],
  ['rule', (record) => record.reason.rule?.join(', ')],
  ['file', (record) => record.reason.file],
  ['line', (record) => record.reason.line],
  ['caller', (record) => record.caller],
  ['authentication', (record) => record.authentication],
  ['via', (record) => record.via],
  ['requestId', (record) => record.requestId],
  ['traceId', (record) => record.traceId],
  ['clock', (record) => record.clock],
  ['durationUs', (record) => record.durationUs],
  ['obligations', (record) => json(record.obligations)],
  ['errors', (record) => json(record.errors)],
  ['request', (record) => JSON.stringify(record.request)],
  ['instance', (record) => record.instance],
  ['writer', (record) => record.writer],
  ['sequence', (record) => record.sequence],
  ['localInstance', (record) => record.local?.instance],
  ['localNumber', (record) => record.local?.number],
  ['decidedAt', (record) => record.local?.decidedAt],
  ['disputed', (record) => record.disputed && JSON.stringify(record.disputed)],
];

const resolvedColumn: Column = ['resolved', ({ resolved }) => resolved && JSON.stringify(resolved)];

/** The rows of a table as RFC 4180 has it, with the names of the columns first. */
export function csvTexts(expand?: Expansion) {
  const shown = expand === undefined ? columns : [...columns, resolvedColumn];
  const row = (cells: readonly Cell[]): string => `${cells.map(cell).join(',')}\r\n`;
  const named = (cells: Readonly<Record<string, string>>): string => row(shown.map(([name]) => cells[name]));
  return {
    header: row(shown.map(([name]) => name)),
    record: (record: SeenRecord) => row(shown.map(([, read]) => read(record))),
    /** Records that are missing: `gap` as the decision, its cause as the reason, all of it as the request. */
    gap: (gap: SeenGap) => named({ time: gap.from, decision: 'gap', reason: gap.cause, request: JSON.stringify(gap) }),
    /** Records that a condition could say nothing of: `erred` as the decision, their number as the request. */
    erred: (erred: number) => named({ decision: 'erred', request: JSON.stringify({ erred }) }),
  };
}

/**
 * Spreadsheets take a cell that begins with one of these for a formula, also behind white space, and run it; an
 * apostrophe before it makes it text (OWASP, CSV injection). Callers choose the names of subjects and resources.
 */
const formula = /^\s*[=+\-@\t\r\n|%＝＋－＠]/;

function cell(value: Cell): string {
  if (value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const text = formula.test(value) ? `'${value}` : value;
  return /[",\r\n;\t]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function json(list: readonly unknown[]): string | undefined {
  return list.length === 0 ? undefined : JSON.stringify(list);
}
