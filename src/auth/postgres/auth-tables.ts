import { ChangeCounters } from '../../database/postgres/change-counters.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { apiKeyTables } from './migrations/1764400000020-api-keys.js';
import { serviceSecretTable } from './migrations/1764400000021-service-secrets.js';
import { sessionTable } from './migrations/1764400000022-sessions.js';
import { limitUseTable } from './migrations/1764400000023-limit-uses.js';

/** The tables of keys, secrets, sessions and limits. Changes of keys are counted. */
export function authTables(database: PostgresDatabase): PostgresTables {
  const migrations = [apiKeyTables, serviceSecretTable, sessionTable, limitUseTable];
  return new PostgresTables(database, 'auth', migrations, new ChangeCounters(database).tables);
}
