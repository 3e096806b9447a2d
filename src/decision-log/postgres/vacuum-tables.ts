import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';

/** Frees what was rewritten in these tables, where this role owns them; else autovacuum does. */
export async function vacuumTables(database: PostgresDatabase, tables: readonly string[]): Promise<void> {
  const owned = await database.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) AND pg_has_role(c.relowner, 'USAGE')`,
    [database.schema, tables],
  );
  // It cannot run in a transaction, and may take long.
  const client = await database.connect({ answerTimeoutMs: 0 });
  try {
    for (const { name } of owned) await client.query(`VACUUM ${database.table(name)}`);
  } finally {
    await client.close();
  }
}
