import type { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { type ChangedPart, lastRevisionOf, noRevisions, type SetRevisions } from '../../set-revisions.js';

/** Reads and raises the revisions of sets, within the transactions of those who change them. */
export class SqliteSetRevisions {
  constructor(private readonly connection: SqliteConnection) {}

  async read(name: string): Promise<SetRevisions> {
    const [row] = await this.connection.query<SetRevisions>('SELECT files, data FROM policy_revision WHERE name = ?', [
      name,
    ]);
    return row ?? noRevisions;
  }

  /**
   * Takes the next number of the set for a change of this part. The transaction has begun to write, so no other one takes
   * the same.
   *
   * @param least the number is not lower
   */
  async raise(name: string, part: ChangedPart, least = 1): Promise<number> {
    const next = Math.max(lastRevisionOf(await this.read(name)) + 1, least);
    const other = part === 'files' ? 'data' : 'files';
    await this.connection.query(
      `INSERT INTO policy_revision (name, ${part}, ${other}) VALUES (?, ?, 0)
       ON CONFLICT (name) DO UPDATE SET ${part} = excluded.${part}`,
      [name, next],
    );
    return next;
  }

  /** The number of files whose source has numbers of its own; `LiveDataStore.numberFiles`. */
  async number(name: string, source: number): Promise<number | undefined> {
    const [row] = await this.connection.query<{ files: number; source: number | null }>(
      'SELECT files, source FROM policy_revision WHERE name = ?',
      [name],
    );
    if (row !== undefined && row.source !== null && source <= row.source) {
      return source === row.source ? row.files : undefined;
    }
    const next = await this.raise(name, 'files', source);
    await this.connection.query('UPDATE policy_revision SET source = ? WHERE name = ?', [source, name]);
    return next;
  }
}
