import { randomBytes } from 'node:crypto';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { ServiceSecrets } from '../service-secrets.js';
import { authTables } from './auth-tables.js';

/** The secrets of all replicas, in PostgreSQL. */
export class PostgresServiceSecrets extends ServiceSecrets {
  constructor(private readonly database: PostgresDatabase) {
    super();
  }

  async get(name: string): Promise<Buffer> {
    const tables = authTables(this.database);
    const table = tables.name('service_secret');
    // Of two replicas that ask at once, one makes it and both read it.
    await tables.write(`INSERT INTO ${table} (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [
      name,
      randomBytes(32),
    ]);
    const [row] = await tables.query<{ value: Buffer }>(`SELECT value FROM ${table} WHERE name = $1`, [name]);
    return row!.value;
  }
}
