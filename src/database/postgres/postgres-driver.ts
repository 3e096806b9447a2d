/** The `pg` package, imported here alone. It is loaded with the first connection, so that a start on SQLite does not pay for it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import type { Client, ClientConfig, CustomTypesConfig, Pool, PoolClient, Query } from 'pg';
import type { PostgresUrl } from '../../config/postgres-url.js';

export type PgClient = Client | PoolClient;
export type PgPool = Pool;

export interface DriverOptions {
  readonly url: PostgresUrl;
  /** How PostgreSQL calls the connections, in `pg_stat_activity`. */
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
}

/** Opens connections when they are wanted, at most `most`; ends those that were idle for `idleMs`. */
export async function makePool(options: DriverOptions, most: number, idleMs: number): Promise<PgPool> {
  const pg = await load();
  // The files of certificates are read for each connection, so that renewed ones are used. The pool makes connections also
  // where nobody would catch an error, so one whose files cannot be read fails when it connects.
  class FreshClient extends pg.Client {
    private readonly fault: unknown;

    constructor() {
      const [config, fault] = attempt(() => clientConfig(options, pg.types));
      super(config);
      this.fault = fault;
    }

    override connect(...args: unknown[]): Promise<this> {
      const [done] = args as [((error: unknown) => void)?];
      // Sound: the pool connects with a callback, which the types of the driver do not all know.
      if (this.fault === undefined) return (super.connect as (...given: unknown[]) => Promise<this>)(...args);
      if (done === undefined) return Promise.reject(this.fault);
      process.nextTick(done, this.fault);
      return Promise.resolve(this);
    }
  }
  return new pg.Pool({
    Client: FreshClient,
    max: most,
    idleTimeoutMillis: idleMs,
    connectionTimeoutMillis: options.connectTimeoutMs,
  });
}

export async function makeClient(options: DriverOptions): Promise<Client> {
  const pg = await load();
  const client = new pg.Client(clientConfig(options, pg.types));
  await client.connect();
  return client;
}

/** A statement with the longest wait for its answer, in milliseconds; 0: any. The driver ends it with an error then. */
export interface Statement {
  readonly text: string;
  /** Of a statement that the server keeps for the session. */
  readonly name?: string;
  readonly values?: unknown[];
  readonly query_timeout: number;
}

/** Sends `chunks` as the data of `COPY … FROM STDIN` as they come; they must not change afterwards. */
export async function copyIn(
  client: PgClient,
  statement: Statement,
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<void> {
  const pg = await load();
  let isOver = false;
  let failure: Error | undefined;
  class CopyIn extends pg.Query {
    // The driver looks for it here, and copies nothing from the statement.
    readonly query_timeout = statement.query_timeout;

    // The driver calls this when the server is ready for the data.
    handleCopyInResponse(connection: CopyConnection): void {
      sendChunks(connection, chunks, () => isOver).catch((error: Error) => {
        failure = error;
        if (!isOver) connection.sendCopyFail('the data ended with an error');
      });
    }
  }
  // Sound: the types of the driver leave out that a query takes its callback, as `client.query` itself gives it one.
  const Copy = CopyIn as unknown as new (statement: Statement, done: (error: Error | null) => void) => Query;
  await new Promise<void>((resolve, reject) => {
    client.query(
      new Copy(statement, (error) => {
        isOver = true;
        if (error) reject(failure ?? error);
        else resolve();
      }),
    );
  });
}

/** Ends early when the statement, or the connection, has ended. */
async function sendChunks(
  connection: CopyConnection,
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  isOver: () => boolean,
): Promise<void> {
  const { stream } = connection;
  for await (const chunk of chunks) {
    if (isOver() || !stream.writable) return;
    // The driver would copy each chunk into a message. https://www.postgresql.org/docs/current/protocol-message-formats.html
    const head = Buffer.allocUnsafe(5);
    head.write('d');
    head.writeInt32BE(4 + chunk.length, 1);
    // Chunks that come together are one call of the system.
    stream.cork();
    stream.write(head);
    stream.write(chunk);
    process.nextTick(() => stream.uncork());
    if (stream.writableLength > mostBuffered) await drained(stream);
  }
  if (!isOver() && stream.writable) connection.endCopyFrom();
}

/** Bytes that may wait in memory for a slow server. */
const mostBuffered = 1024 * 1024;

/** Resolves when a stream takes more, or has ended. */
async function drained(stream: Socket): Promise<void> {
  const ended = new AbortController();
  const first = (event: string) => once(stream, event, { signal: ended.signal }).catch(() => undefined);
  await Promise.race([first('drain'), first('close')]);
  ended.abort();
}

/** Ends the connection without a word to the server, which may not hear it; what waits for an answer fails. */
export function cutOff(client: PgClient): void {
  // Sound: the driver's clients have it; their types leave it out.
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}

/** Bytes that came and went over the connection: while they change, it works. */
export function bytesMovedOf(client: PgClient): number {
  // Sound: as in `cutOff`.
  const { bytesRead, bytesWritten } = (client as unknown as { connection: { stream: Socket } }).connection.stream;
  return bytesRead + bytesWritten;
}

/** The process id of the session, as it was told when the connection was made. */
export function sessionOf(client: PgClient): number | null {
  // Sound: the driver's clients have it; their types leave it out.
  return (client as unknown as { processID: number | null }).processID;
}

function attempt<Result>(make: () => Result): [Result, undefined] | [undefined, unknown] {
  try {
    return [make(), undefined];
  } catch (error) {
    return [undefined, error];
  }
}

interface CopyConnection {
  readonly stream: Socket;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

let loaded: Promise<typeof import('pg')> | undefined;

function load(): Promise<typeof import('pg')> {
  loaded ??= import('pg');
  return loaded;
}

/** No parameter of a session is set at its start but the name: PgBouncer refuses the others. */
function clientConfig(options: DriverOptions, types: CustomTypesConfig): ClientConfig {
  const { host, port, user, password, database } = options.url;
  return {
    host,
    port,
    user,
    password,
    database,
    ssl: tlsOptions(options.url),
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
    types: { getTypeParser: (oid, format) => parserOf(oid) ?? types.getTypeParser(oid, format) },
  };
}

/** @throws when a file cannot be read */
function tlsOptions({ host, ...url }: PostgresUrl): ConnectionOptions | false {
  if (url.tlsMode === 'disable') return false;
  return {
    rejectUnauthorized: url.tlsMode !== 'require',
    // A certificate of the right authority is enough for `verify-ca`, whatever host it names.
    checkServerIdentity: (_name, certificate) =>
      url.tlsMode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
    ...(url.tlsRootCert !== undefined && { ca: readFileSync(url.tlsRootCert) }),
    ...(url.tlsCert !== undefined && { cert: readFileSync(url.tlsCert) }),
    ...(url.tlsKey !== undefined && { key: readFileSync(url.tlsKey) }),
  };
}

/** https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat */
const int8 = 20;
const int8Array = 1016;
const date = 1082;

/** The driver makes texts of `int8`, and of a day the midnight of the time zone that this process is in. */
function parserOf(oid: number): ((text: string) => unknown) | undefined {
  switch (oid) {
    case int8:
      return toSafeInteger;
    case int8Array:
      return (text) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(toSafeInteger));
    case date:
      return (text) => text;
    default:
      return undefined;
  }
}

function toSafeInteger(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new RangeError('an int8 is beyond 2^53');
  return number;
}
