import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { apiKeyTables } from './migrations/1764400000020-api-keys.js';
import { serviceSecretTable } from './migrations/1764400000021-service-secrets.js';
import { sessionTable } from './migrations/1764400000022-sessions.js';

/** The tables of keys, secrets and sessions. */
export function authTables(database: PostgresDatabase): PostgresTables {
  return new PostgresTables(database, 'auth', [apiKeyTables, serviceSecretTable, sessionTable]);
}
