import { VerdictError } from '../../errors.js';
import { DatabaseError } from '../database-error.js';

/**
 * Codes that say that the database cannot be used now: no connection, no room, being shut down or started, read-only (a
 * standby), locked, over its time, damaged, or not for this user.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const unusable = /^(08|28|53|58|XX)|^57P0[0-9]$|^(25006|3D000|42501|55P03|57014)$/;

/** Codes of failures that another try, a moment later, may not meet: no connection, too many of them, shut down or started. */
const away = /^(08|53)...$|^57P0[0-9]$|^(ECONN|EHOST|ENET|EAI_|ENOTFOUND|ETIMEDOUT|EPIPE|CONNECTION$)/;

/** Codes for what the driver says without one. */
const uncoded: readonly (readonly [RegExp, string])[] = [
  [
    /^(Connection terminated|Client (was closed|has encountered)|timeout e|Query read timeout|Cannot use a pool)/,
    'CONNECTION',
  ],
  [/^(The server does not support SSL|There was an error establishing an SSL)/, 'TLS'],
];

/** What the driver throws, as a `DatabaseError`; a refusal and a mistake of this program are returned as they are. */
export function toDatabaseError(error: unknown): unknown {
  if (error instanceof DatabaseError || error instanceof VerdictError) return error;
  const cause = inner(error);
  if (!(cause instanceof Error) || cause instanceof TypeError || cause instanceof RangeError) return error;
  const { code, message, severity, syscall } = cause as DriverError;
  if (severity !== undefined && code !== undefined) {
    return new DatabaseError(`${code}: ${withoutValues(code, message)}`, code, unusable.test(code), away.test(code));
  }
  // The socket file of a server that does not run is not there.
  const plain = code === 'ENOENT' && syscall === 'connect' ? 'ECONNREFUSED' : code;
  const found = plain ?? uncoded.find(([pattern]) => pattern.test(message))?.[1];
  return found === undefined ? error : new DatabaseError(`${found}: ${message}`, found, true, away.test(found));
}

/** Whether the server, or TLS, would not have this connection: its user, its password, its database, a certificate. */
export function isRefusedConnection({ code }: DatabaseError): boolean {
  return /^(28...|3D000)$/.test(code) || !/^[0-9A-Z]{5}$/.test(code);
}

interface DriverError extends Error {
  /** PostgreSQL's, Node's or OpenSSL's. */
  readonly code?: string;
  /** Given by PostgreSQL alone. */
  readonly severity?: string;
  readonly syscall?: string;
}

/** Node tries each address of a host, and gathers what they said. */
function inner(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
}

/** Messages about data (class 22) quote it: `invalid input syntax for type bigint: "…"`. */
function withoutValues(code: string, message: string): string {
  if (!code.startsWith('22')) return message;
  const [before = ''] = message.split('"', 1);
  return before === message ? message : `${before.replace(/:?\s*$/, '')} …`;
}
