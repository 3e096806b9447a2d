import { randomBytes } from 'node:crypto';
import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { SqliteDatabase } from '../../database/sqlite/sqlite-database.js';
import { ServiceSecrets } from '../service-secrets.js';
import { ServiceSecrets1763700000021 } from './migrations/1763700000021-service-secrets.js';

/** The secrets in the service's SQLite database. */
export class SqliteServiceSecrets extends ServiceSecrets {
  constructor(private readonly database: Pick<SqliteDatabase, 'use'>) {
    super();
  }

  get(name: string): Promise<Buffer> {
    return this.database.use((path) => serviceSecret(path, name));
  }
}

async function serviceSecret(path: string, name: string): Promise<Buffer> {
  const migrations = [ServiceSecrets1763700000021];
  const connection = await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 });
  try {
    // Of two processes that ask at once, one makes it and both read it.
    await connection.query('INSERT OR IGNORE INTO service_secret (name, value) VALUES (?, ?)', [name, randomBytes(32)]);
    const [row] = await connection.query<{ value: Buffer }>('SELECT value FROM service_secret WHERE name = ?', [name]);
    return row!.value;
  } finally {
    await connection.close();
  }
}
