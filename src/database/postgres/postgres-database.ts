import type { PostgresUrl } from '../../config/postgres-url.js';
import { describePostgresUrl } from '../../config/postgres-url.js';
import { DatabaseError, isAway } from '../database-error.js';
import { ServiceDatabase } from '../service-database.js';
import { LostConnections } from './lost-connections.js';
import {
  answerTimeoutOf,
  defaultStatementTimeoutMs,
  PostgresClient,
  type PostgresStatements,
  type PostgresValue,
  type TransactionOptions,
} from './postgres-client.js';
import { cutOff, type DriverOptions, makeClient, makePool, type PgClient, type PgPool } from './postgres-driver.js';
import { isRefusedConnection, toDatabaseError } from './postgres-error.js';
import { quoteIdentifier } from './quote-identifier.js';

export interface PostgresDatabaseOptions {
  readonly url: PostgresUrl;
  /** Name of this replica; PostgreSQL shows its connections as `verdict <instance>`. */
  readonly instance: string;
  /** Hears once that the database cannot be used, and once that it can again; and of too few connections. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** The lock of the folder of this replica, whose problem counts as one of the database. */
  readonly lock?: { readonly problem: string | undefined };
  /** Most connections of the pool (3). */
  readonly maxConnections?: number;
  /** Longest wait for a connection, in milliseconds (5,000). */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the answer to a statement outside of a transaction, in milliseconds (35,000); 0: any. */
  readonly answerTimeoutMs?: number;
}

export interface ConnectOptions {
  /** Called once when the connection ended by itself; what is asked of it then fails. */
  readonly onEnd?: () => void;
  /** As those of the database. */
  readonly answerTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** Called for each notification of a channel that the connection listens to. */
  readonly onNotification?: () => void;
  /** Tries also when the server did not answer a moment ago. */
  readonly isLook?: boolean;
}

const defaultMaxConnections = 3;
/** The pool, one that ships the journal, one that looks for changes, and one to spare for a migration. */
const connectionsOfReplica = defaultMaxConnections + 3;
const idleMs = 10_000;
/** Longest wait for the server when a connection is closed, in milliseconds: over a link that is cut it never answers. */
const closeMs = 1_000;
const defaultConnectTimeoutMs = 5_000;
/** How often a database with a problem is looked at. */
const lookEveryMs = 2_000;
/** Longest use of a connection of the pool while the service ends, in milliseconds. */
const lastUseMs = 3_000;
/** What the driver says of a server that does not answer; that the pool has no connection free is another thing. */
const noConnection = /timeout expired|due to connection timeout/;

/**
 * The service's database in PostgreSQL: a small pool of connections, opened on demand, for what several stores ask now and
 * then. Who writes without end takes a connection of its own (`connect`).
 *
 * Every table lies in one schema, and each statement names it (`table`): a search path would be a setting of the session,
 * which PgBouncer hands to others.
 */
export class PostgresDatabase extends ServiceDatabase implements PostgresStatements {
  private pool: Promise<PgPool> | undefined;
  private lastProblem: string | undefined;
  private watch: NodeJS.Timeout | undefined;
  private lastSize = 0;
  private isClosed = false;
  /** Until this time of the monotonic clock nobody waits for a server that did not answer, but the one that looks after it. */
  private silentUntil = 0;
  /** Connections of the pool that somebody has. */
  private readonly inUse = new Map<PgClient, NodeJS.Timeout | undefined>();
  private isStopping = false;
  /** Where one connection of the pool is lost, others may be. */
  private readonly lost = new LostConnections(() => this.renewPool());

  constructor(private readonly options: PostgresDatabaseOptions) {
    super();
  }

  get problem(): string | undefined {
    return this.lastProblem ?? this.options.lock?.problem;
  }

  /** The schema that every table lies in. */
  get schema(): string {
    return this.options.url.schema;
  }

  /** The name of a table, an index or a sequence of the service as SQL writes it: `"verdict"."audit_event"`. */
  table(name: string): string {
    return `${quoteIdentifier(this.schema)}.${quoteIdentifier(name)}`;
  }

  /** Whether there is such a table of the service; then none has to be made to read it. */
  async hasTable(name: string): Promise<boolean> {
    const [row] = await this.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
      this.table(name),
    ]);
    return row!.found;
  }

  /** Runs one statement on a connection of the pool: for reading; what is written is safe on disk by `transaction` alone. */
  query<Row extends object>(text: string, values?: readonly PostgresValue[]): Promise<Row[]> {
    return this.use((client) => client.query<Row>(text, values));
  }

  /** Runs one statement that writes, as a transaction, and returns how many rows it wrote. */
  write(text: string, values?: readonly PostgresValue[]): Promise<number> {
    return this.transaction((client) => client.write(text, values));
  }

  /** As `PostgresClient.transaction`, on a connection of the pool. `work` may run no longer than its statements do. */
  transaction<Result>(
    work: (client: PostgresClient) => Promise<Result>,
    options?: TransactionOptions,
  ): Promise<Result> {
    return this.use((client) => client.transaction(work, options));
  }

  /**
   * Opens a connection beside the pool. Its owner closes it, and opens another when it ends.
   *
   * @throws DatabaseError
   */
  async connect(options: ConnectOptions = {}): Promise<PostgresClient> {
    const { onEnd, onNotification, isLook = false, answerTimeoutMs = this.answerTimeoutMs } = options;
    const client = await this.noting(() => {
      if (!isLook) this.refuseSilent();
      return opened(makeClient({ ...this.driver(), ...timeoutOf(options) }));
    });
    if (onNotification !== undefined) client.on('notification', onNotification);
    let isOpen = true;
    const ended = () => {
      if (isOpen) onEnd?.();
      isOpen = false;
    };
    // Without a listener, the end of a connection that nobody uses would end the process.
    client.on('error', ended).on('end', ended);
    return new PostgresClient(client, answerTimeoutMs, async () => {
      isOpen = false;
      const waiting = setTimeout(() => cutOff(client), closeMs);
      await client.end().catch(() => undefined);
      clearTimeout(waiting);
    });
  }

  /**
   * Uses new connections from now on. A connection of the server was found dead, so those of the pool may be, too, and
   * a statement would find out after its whole time. What runs on them goes on.
   */
  renewPool(): void {
    const old = this.pool;
    this.pool = undefined;
    void old?.then((pool) => pool.end()).catch(() => undefined);
  }

  /**
   * Has `asker` ask after statements that wait on the pool, so that a connection that was lost keeps nobody waiting for long.
   *
   * @param asker undefined: nobody can ask
   */
  lookAfterBy(asker: PostgresStatements | undefined): void {
    this.lost.askBy(asker);
  }

  /** Says, as a problem, when the server allows too few connections. */
  start(): void {
    void this.checkConnections().catch(() => undefined);
  }

  /** The service ends: from now on a connection of the pool is cut off when it is used for more than a few seconds. */
  async stop(): Promise<void> {
    clearInterval(this.watch);
    this.isStopping = true;
    for (const connection of this.inUse.keys()) this.hold(connection);
  }

  /** Counts the replicas that are connected now, and says whether there is room for all connections that each may open. */
  async checkConnections(): Promise<void> {
    const [row] = await this.query<{ allowed: number; replicas: number }>(
      `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS allowed,
         (SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'verdict %') AS replicas`,
    );
    const { allowed, replicas } = row!;
    const needed = replicas * connectionsOfReplica;
    if (needed <= allowed) return;
    this.options.onProblem(
      `PostgreSQL allows ${allowed} connections (max_connections), and ${replicas} replicas open up to ${needed}, ` +
        `${connectionsOfReplica} each: raise max_connections, or put PgBouncer in front`,
      undefined,
    );
  }

  async size(): Promise<number> {
    // A scrape of metrics must not wait for a server that is away.
    if (this.lastProblem !== undefined) return this.lastSize;
    const [row] = await this.query<{ bytes: number }>(
      `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 AS bytes
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'm')`,
      [this.schema],
    ).catch((error: unknown) => {
      if (!isAway(error)) throw error;
      return [{ bytes: this.lastSize }];
    });
    this.lastSize = row!.bytes;
    return this.lastSize;
  }

  /** Waits a second for what runs now, then closes the connections of the pool; what still runs fails. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearInterval(this.watch);
    const waiting = setTimeout(() => [...this.inUse.keys()].forEach(cutOff), closeMs);
    const pool = await this.pool?.catch(() => undefined);
    this.pool = undefined;
    await pool?.end();
    clearTimeout(waiting);
  }

  private use<Result>(work: (client: PostgresClient) => Promise<Result>, isLook = false): Promise<Result> {
    return this.noting(async () => {
      if (!isLook) this.refuseSilent();
      if (this.isClosed) throw new DatabaseError('CONNECTION: the database is closed', 'CONNECTION', true, true);
      this.pool ??= this.openPool();
      const pool = await this.pool;
      const connection = await opened(pool.connect());
      // An error between two statements is heard by the next one.
      const onError = () => undefined;
      connection.on('error', onError);
      this.hold(connection);
      const client = new PostgresClient(connection, this.answerTimeoutMs, (isBroken) => {
        connection.off('error', onError);
        clearTimeout(this.inUse.get(connection));
        this.inUse.delete(connection);
        this.lost.leave(connection);
        connection.release(isBroken);
      });
      this.lost.watch(connection, client);
      try {
        return await work(client);
      } finally {
        await client.close();
      }
    });
  }

  private look(): Promise<unknown> {
    return this.use((client) => client.query('SELECT 1'), true);
  }

  private async openPool(): Promise<PgPool> {
    const pool = await makePool(this.driver(), this.options.maxConnections ?? defaultMaxConnections, idleMs);
    // Idle connections end with the server; the pool drops them, and the next statement opens another.
    return pool.on('error', () => undefined);
  }

  private get answerTimeoutMs(): number {
    return this.options.answerTimeoutMs ?? answerTimeoutOf(defaultStatementTimeoutMs);
  }

  private driver(): DriverOptions {
    const { url, instance, connectTimeoutMs = defaultConnectTimeoutMs } = this.options;
    return {
      url,
      applicationName: `verdict ${instance}`,
      connectTimeoutMs,
    };
  }

  /** Else a start, which asks for one thing after the other, would wait its whole time for each of them. */
  private refuseSilent(): void {
    if (performance.now() >= this.silentUntil) return;
    throw new DatabaseError('CONNECTION: the server did not answer a moment ago', 'CONNECTION', true, true);
  }

  private foundSilent(): void {
    this.silentUntil = this.isStopping ? Number.POSITIVE_INFINITY : performance.now() + lookEveryMs;
  }

  private hold(connection: PgClient): void {
    const end = () => {
      // Nobody after it waits for the same server.
      this.foundSilent();
      cutOff(connection);
    };
    this.inUse.set(connection, this.isStopping ? setTimeout(end, lastUseMs) : undefined);
  }

  private async noting<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      const result = await run();
      this.note(undefined);
      return result;
    } catch (error) {
      if (error instanceof DatabaseError && (isAway(error) || isRefusedConnection(error))) {
        if (noConnection.test(error.message)) this.foundSilent();
        this.note(error);
      }
      throw error;
    }
  }

  /** While there is a problem, the database is asked now and then whether it is over. */
  private note(error: DatabaseError | undefined): void {
    if (error === undefined ? this.lastProblem === undefined : this.isClosed) return;
    const isNew = this.lastProblem === undefined || error === undefined;
    this.lastProblem = error?.message;
    if (error === undefined) this.silentUntil = 0;
    clearInterval(this.watch);
    this.watch = undefined;
    if (error !== undefined) {
      this.watch = setInterval(() => void this.look().catch(() => undefined), lookEveryMs).unref();
    }
    if (!isNew) return;
    const name = describePostgresUrl(this.options.url);
    if (error === undefined) this.options.onProblem(`${name} can be used again`, undefined);
    else this.options.onProblem(`${name} cannot be used: ${error.message}`, error);
  }
}

function timeoutOf({ connectTimeoutMs }: ConnectOptions): Pick<DriverOptions, 'connectTimeoutMs'> | undefined {
  return connectTimeoutMs === undefined ? undefined : { connectTimeoutMs };
}

/** What the driver says of a connection that does not come about. Whatever else fails while one is used is left as it is. */
async function opened<Connection>(connecting: Promise<Connection>): Promise<Connection> {
  try {
    return await connecting;
  } catch (error) {
    throw toDatabaseError(error);
  }
}
