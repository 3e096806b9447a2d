import type { SeenGap, SeenRecord } from './partial-view.js';

type Cell = string | number | undefined;

const columns: readonly (readonly [string, (record: SeenRecord) => Cell])[] = [
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
];

/** RFC 4180, with the names of the columns. */
export const csvHeader = `${columns.map(([name]) => name).join(',')}\r\n`;

export function csvRow(record: SeenRecord): string {
  return `${columns.map(([, read]) => cell(read(record))).join(',')}\r\n`;
}

/** A row for records that are missing: `gap` as the decision, its cause as the reason, all of it as the request. */
export function csvGapRow(gap: SeenGap): string {
  const cells: Readonly<Record<string, string>> = {
    time: gap.from,
    decision: 'gap',
    reason: gap.cause,
    request: JSON.stringify(gap),
  };
  return `${columns.map(([name]) => cell(cells[name])).join(',')}\r\n`;
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
