/** What the operator reads when the service does not start. */
import type { Config } from './config/config.js';
import { isPostgresUrl } from './config/postgres-url.js';
import type { DataFolderInUse } from './database/data-folder-in-use.js';
import { DatabaseError } from './database/database-error.js';

/** Why the service could not start, in a sentence. */
export function startFailure(error: unknown, { host, port }: Config): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof DatabaseError && error.isUnavailable) {
    return `cannot use the database that VERDICT_DATABASE_URL names: ${message}`;
  }
  switch (code) {
    case 'EADDRINUSE':
      return `cannot listen on ${host}:${port}: another process does already; VERDICT_PORT chooses another port`;
    case 'EACCES':
      return `cannot start: ${message}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `cannot listen on ${host}: this machine has no such address; see VERDICT_HOST`;
    default:
      return `cannot start: ${message}`;
  }
}

/** What to do about another process that serves with the same folder. */
export function whatToDo({ message }: DataFolderInUse, { databaseUrl }: Config): string {
  const variable = isPostgresUrl(databaseUrl) ? 'VERDICT_SPOOL_DIR' : 'VERDICT_DATABASE_URL';
  return `${message}: stop that one first, set VERDICT_LOCK_WAIT to wait for it, or give this one another folder by ${variable}`;
}
