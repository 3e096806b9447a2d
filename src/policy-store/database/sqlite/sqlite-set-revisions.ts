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

  /** Takes the next number of the set for a change of this part. The transaction has begun to write, so no other one takes the same. */
  async raise(name: string, part: ChangedPart): Promise<number> {
    const next = lastRevisionOf(await this.read(name)) + 1;
    const other = part === 'files' ? 'data' : 'files';
    await this.connection.query(
      `INSERT INTO policy_revision (name, ${part}, ${other}) VALUES (?, ?, 0)
       ON CONFLICT (name) DO UPDATE SET ${part} = excluded.${part}`,
      [name, next],
    );
    return next;
  }
}
