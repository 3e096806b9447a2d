/** The decisions that a command reads one after the other: of a log, of a service, or of an exported file. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import { matchesFilter, readFilter } from '../../decision-log/record-filter.js';
import { VerdictError } from '../../errors.js';
import { UsageError } from '../exit-code.js';
import { linesOf } from './lines.js';
import type { LogSource } from './log-source.js';

/** A decision, a gap of the log, or the number of decisions of which a condition could say nothing. */
export type LoggedLine = DecisionRecord | { readonly gap: object } | { readonly erred: number };

export async function* decisionsOfLog(source: LogSource, filters: DecisionFilters): AsyncGenerator<LoggedLine> {
  for await (const line of linesOf(source.export({ ...filters, format: 'ndjson' }))) {
    yield JSON.parse(line) as LoggedLine;
  }
}

/**
 * @throws UsageError for a file that cannot be read, a line that is something else than an exported decision, and a
 * condition: what it reads of stored entities is not in the file
 */
export async function* decisionsOfFile(file: string, filters: DecisionFilters): AsyncGenerator<LoggedLine> {
  if (filters.filter !== undefined) throw new UsageError('--filter goes with --database or --url');
  if ((await stat(file).catch(() => undefined))?.isFile() !== true) throw new UsageError(`${file} cannot be read`);
  const filter = readFileFilter(filters);
  let number = 0;
  for await (const line of linesOf(createReadStream(file))) {
    number++;
    if (line.trim() === '') continue;
    const read = readLine(line);
    if (read === undefined) {
      throw new UsageError(
        `${file}:${number} is no exported decision`,
        '`verdict log export > file` writes such files, without --proof',
      );
    }
    if ('gap' in read || 'erred' in read || matchesFilter(read, filter)) yield read;
  }
}

function readFileFilter(filters: DecisionFilters): ReturnType<typeof readFilter> {
  try {
    return readFilter(filters, {});
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    throw new UsageError(error.detail);
  }
}

function readLine(line: string): LoggedLine | undefined {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof read !== 'object' || read === null) return undefined;
  if ('gap' in read || 'erred' in read) return read as LoggedLine;
  const record = read as Partial<DecisionRecord>;
  const { id, clock, decision, reason, request } = record;
  const { subject, action, resource } = request ?? {};
  const isRecord =
    [id, clock, decision, reason?.code, subject?.id, action?.name, resource?.id].every(
      (each) => typeof each === 'string',
    ) &&
    Array.isArray(record.errors) &&
    Array.isArray(record.obligations);
  return isRecord ? (record as DecisionRecord) : undefined;
}
