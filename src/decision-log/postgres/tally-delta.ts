import type { PostgresClient, PostgresValue } from '../../database/postgres/postgres-client.js';
import { inJson } from '../record-filter.js';
import { Tally, type TallyField, type TallyRow, tallyFields } from '../tally.js';
import { copyData } from './binary-copy.js';

/** Name of a counted field as PostgreSQL has it: `policy_set`. */
export function columnOf(field: TallyField): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The columns of `tally_delta` (1764400000002-shared-tally.ts) that shipping fills, and their types. */
const deltaColumns: readonly string[] = ['minute', 'count', ...tallyFields.map(columnOf)];
const deltaTypes = ['int4', 'int4', ...tallyFields.map(() => 'text' as const)] as const;

/** A row of `tally_delta`, in the order of `deltaColumns`. */
function deltaOf(row: TallyRow): (number | string)[] {
  return [row.minute, row.count, ...tallyFields.map((field) => inJson(row[field]))];
}

/** A name as `tally_delta` and `tally_name` have it. */
export function nameOf(stored: string): string {
  return JSON.parse(`"${stored}"`) as string;
}

/** The selection of deltas that `deltaParameters` gives, for `INSERT INTO`: its parameters are `$first` and those after it. */
function selectDeltas(first: number): string {
  const arrays = deltaTypes.map((type, i) => `$${first + i}::${type}[]`);
  return `SELECT * FROM unnest(${arrays.join(', ')}) AS d(${deltaColumns.join(', ')})`;
}

/** An array for each column. */
function deltaParameters(rows: readonly TallyRow[]): (string[] | number[])[] {
  const deltas = rows.map(deltaOf);
  return deltaColumns.map((_, i) => deltas.map((delta) => delta[i]!) as string[] | number[]);
}

/** Rows that agree in all become one. */
function summed(rows: readonly TallyRow[]): readonly TallyRow[] {
  const tally = new Tally();
  for (const row of rows) tally.addRow(row);
  return tally.rows();
}

/** A part of a statement, and the values that it refers to. */
export interface StatementPart {
  readonly text: string;
  readonly values: readonly PostgresValue[];
}

/**
 * The same as `addDeltas`, as an `INSERT` for a `WITH`.
 *
 * @param first the number of its first parameter
 * @param guard where it is added only if this table has a row
 */
export function deltasPart(
  table: (name: string) => string,
  rows: readonly TallyRow[],
  first: number,
  guard: string,
): StatementPart {
  const into = `${table('tally_delta')} (${deltaColumns.join(', ')})`;
  return {
    text: `INSERT INTO ${into} ${selectDeltas(first)} WHERE EXISTS (SELECT FROM ${guard})`,
    values: deltaParameters(summed(rows)),
  };
}

/** Rows that are written in one statement; more are copied. */
const mostInserted = 64;

/** Adds the counts of some records, in the transaction that adds the records. Rows that agree in all become one. */
export async function addDeltas(
  client: PostgresClient,
  table: (name: string) => string,
  rows: readonly TallyRow[],
): Promise<void> {
  const sums = summed(rows);
  const into = `${table('tally_delta')} (${deltaColumns.join(', ')})`;
  if (sums.length === 0) return;
  if (sums.length <= mostInserted) await client.write(`INSERT INTO ${into} ${selectDeltas(1)}`, deltaParameters(sums));
  else await client.copy(`COPY ${into} FROM STDIN (FORMAT binary)`, copyData(deltaTypes, sums.map(deltaOf)));
}
