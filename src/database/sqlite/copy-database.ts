import { open } from 'node:fs/promises';
import { SqliteConnection } from './sqlite-connection.js';

const busyTimeoutMs = 10_000;

/**
 * Copies a database as it is when this begins; writers go on meanwhile. The copy is readable by its owner alone.
 *
 * @throws when something lies at `to`
 */
export async function copyDatabase(from: string, to: string): Promise<void> {
  // SQLite writes into an empty file as into a new one, which would be readable by everybody.
  const file = await open(to, 'wx', 0o600);
  try {
    const connection = await SqliteConnection.open({ path: from, busyTimeoutMs });
    try {
      await connection.query('VACUUM INTO ?', [to]);
    } finally {
      await connection.close();
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
