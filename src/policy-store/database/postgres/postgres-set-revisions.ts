import type { PostgresStatements } from '../../../database/postgres/postgres-client.js';
import type { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import { type ChangedPart, lastRevisionOf, noRevisions, type SetRevisions } from '../../set-revisions.js';

/** Reads and raises the revisions of sets, within the transactions of those who change them. */
export class PostgresSetRevisions {
  readonly table: string;

  constructor(tables: PostgresTables) {
    this.table = tables.name('policy_revision');
  }

  async read(client: PostgresStatements, name: string): Promise<SetRevisions> {
    const [row] = await client.query<SetRevisions>(`SELECT files, data FROM ${this.table} WHERE name = $1`, [name]);
    return row ?? noRevisions;
  }

  /**
   * Takes the next number of the set for a change of this part. The transaction has counted the change before, so no other
   * one takes the same.
   *
   * @param least the number is not lower
   */
  async raise(client: PostgresStatements, name: string, part: ChangedPart, least = 1): Promise<number> {
    const next = Math.max(lastRevisionOf(await this.read(client, name)) + 1, least);
    const other = part === 'files' ? 'data' : 'files';
    await client.query(
      `INSERT INTO ${this.table} (name, ${part}, ${other}) VALUES ($1, $2, 0)
       ON CONFLICT (name) DO UPDATE SET ${part} = excluded.${part}`,
      [name, next],
    );
    return next;
  }

  /** The number of files whose source has numbers of its own; `LiveDataStore.numberFiles`. */
  async number(client: PostgresStatements, name: string, source: number): Promise<number | undefined> {
    const [row] = await client.query<{ files: number; source: number | null }>(
      `SELECT files, source FROM ${this.table} WHERE name = $1`,
      [name],
    );
    if (row !== undefined && row.source !== null && source <= row.source) {
      return source === row.source ? row.files : undefined;
    }
    const next = await this.raise(client, name, 'files', source);
    await client.query(`UPDATE ${this.table} SET source = $1 WHERE name = $2`, [source, name]);
    return next;
  }
}
