/** The one place that takes a `postgres://` URL apart. */
import { isLoopback } from './loopback.js';

/** https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS; the two modes that may end in plain text are left out. */
export const postgresTlsModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
export type PostgresTlsMode = (typeof postgresTlsModes)[number];

/** Where a PostgreSQL database is, and how it is reached. */
export interface PostgresUrl {
  /** A host name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  readonly database: string;
  /** The schema that holds every table of the service. */
  readonly schema: string;
  readonly tlsMode: PostgresTlsMode;
  /** PEM files. */
  readonly tlsRootCert?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

const defaultSchema = 'verdict';
const defaultPort = 5432;
const parameters = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'schema', 'host'] as const;
const grammar = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;

export function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:/.test(text);
}

/**
 * Reads the URL of a PostgreSQL database.
 *
 *     parsePostgresUrl('postgres://verdict:secret@db.example/verdict?sslrootcert=/etc/ca.pem')
 *
 * Without `sslmode`, TLS is `verify-full`; on loopback and a Unix socket (`?host=/run/postgresql`) it is off.
 *
 * @throws Error that names the fault, and never the password
 */
export function parsePostgresUrl(text: string): PostgresUrl {
  const [, credentials = '', authority = '', path = '', query = ''] = grammar.exec(text) ?? fault(shape);
  // What follows the first of them may be the rest of a password, so nothing of it is shown.
  if (/@/.test(authority + path + query))
    fault('has an "@", "/" or "?" in its user or password: write %40, %2F or %3F');
  const [user = '', ...rest] = credentials.split(':');
  if (rest.length > 1) fault('has a ":" in its password: write it as %3A');
  const given = readParameters(query);
  const { host, port } = readAuthority(authority, given.host);
  const database = decode(path, 'the name of its database');
  if (user === '') fault(`names no user: ${shape}`);
  if (database === '') fault(`names no database: ${shape}`);
  const schema = given.schema ?? defaultSchema;
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(schema) || /^(pg_|information_schema$)/.test(schema)) {
    fault('has a "schema" that is not 1 to 63 letters, digits, _ and -, or that belongs to PostgreSQL');
  }
  const [password] = rest;
  return Object.freeze({
    host,
    port,
    user: decode(user, 'its user'),
    ...(password !== undefined && password !== '' && { password: decode(password, 'its password') }),
    database,
    schema,
    ...readTls(given, host),
  });
}

/** How the database is called in messages: without its password. */
export function describePostgresUrl({ user, host, port, database }: PostgresUrl): string {
  const place = host.startsWith('/') ? `${host}:${port}` : `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return `postgres://${user}@${place}/${database}`;
}

const shape = 'must be postgres://<user>:<password>@<host>:<port>/<database>';

type Parameters = Partial<Record<(typeof parameters)[number], string>>;

function readParameters(query: string): Parameters {
  const given: Parameters = {};
  for (const [name, value] of new URLSearchParams(query)) {
    const known = parameters.find((parameter) => parameter === name);
    // The value is not shown: it may be a password.
    if (known === undefined) {
      fault(`has a parameter that is not known, "${name.slice(0, 40)}"; known are ${parameters.join(', ')}`);
    }
    if (given[known] !== undefined) fault(`has the parameter "${known}" twice`);
    if (value === '') fault(`has the parameter "${known}" without a value`);
    given[known] = value;
  }
  return given;
}

function readAuthority(authority: string, socket: string | undefined): { host: string; port: number } {
  if (authority.includes(','))
    fault('names several hosts: one is asked, so name the one that always leads to the primary');
  const [, host = '', digits] =
    /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(authority) ??
    fault(`has a host or port that cannot be read: ${shape}`);
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port < 1 || port > 65_535) fault('has a port that is not between 1 and 65535');
  if (socket === undefined) {
    if (host === '') fault(`names no host: ${shape}`);
    return { host: decode(host.replace(/^\[|\]$/g, ''), 'its host'), port };
  }
  if (host !== '') fault('has a host and the parameter "host": give one of them');
  if (!socket.startsWith('/'))
    fault('has a parameter "host" that is not the folder of a Unix socket, such as /run/postgresql');
  return { host: socket, port };
}

function readTls(given: Parameters, host: string): Pick<PostgresUrl, 'tlsMode' | 'tlsRootCert' | 'tlsCert' | 'tlsKey'> {
  const { sslmode, sslrootcert, sslcert, sslkey } = given;
  const tlsMode = sslmode === undefined ? defaultMode(host) : postgresTlsModes.find((mode) => mode === sslmode);
  if (tlsMode === undefined) fault(`has an "sslmode" that is not one of ${postgresTlsModes.join(', ')}`);
  if ((sslcert === undefined) !== (sslkey === undefined)) fault('has one of "sslcert" and "sslkey" without the other');
  if (tlsMode === 'disable' && (sslrootcert ?? sslcert) !== undefined) {
    fault('names certificates, but its "sslmode" is disable');
  }
  return {
    // As libpq does: with an authority to check against, the certificate is checked.
    tlsMode: tlsMode === 'require' && sslrootcert !== undefined ? 'verify-ca' : tlsMode,
    ...(sslrootcert !== undefined && { tlsRootCert: sslrootcert }),
    ...(sslcert !== undefined && { tlsCert: sslcert, tlsKey: sslkey! }),
  };
}

/**
 * Which database a URL means, whatever user asks for it: copies of what it holds carry this name.
 *
 *     databaseNameOf('postgres://verdict:secret@db.example/main')   // 'db.example:5432/main?schema=verdict'
 */
export function databaseNameOf(databaseUrl: string): string {
  const { host, port, database, schema } = parsePostgresUrl(databaseUrl);
  return `${host}:${port}/${database}?schema=${schema}`;
}

function defaultMode(host: string): PostgresTlsMode {
  return host.startsWith('/') || isLoopback(host) ? 'disable' : 'verify-full';
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fault(`has a "%" in ${what} that is not the beginning of an escape such as %40: write it as %25`);
  }
}

function fault(what: string): never {
  throw new Error(what);
}
