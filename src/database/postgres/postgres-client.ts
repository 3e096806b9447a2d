import { createHash } from 'node:crypto';
import { DatabaseError, isAway } from '../database-error.js';
import { copyIn, type PgClient, type Statement, sessionOf } from './postgres-driver.js';
import { toDatabaseError } from './postgres-error.js';
import { quoteIdentifier } from './quote-identifier.js';

export type PostgresValue =
  | string
  | number
  | boolean
  | Buffer
  | null
  | readonly (string | null)[]
  | readonly (number | null)[];

/** Who runs statements: a connection, or whatever has one at hand. */
export interface PostgresStatements {
  /**
   * Runs one statement and returns its rows. Values are `$1`, `$2`, …; they are in no message of an error.
   *
   * @throws DatabaseError
   */
  query<Row extends object>(text: string, values?: readonly PostgresValue[]): Promise<Row[]>;
}

export interface TransactionOptions {
  /** Every statement sees what was committed when the first one began. */
  readonly snapshot?: boolean;
  readonly readOnly?: boolean;
  /** Longest time of one statement, in milliseconds (30,000); 0: any. */
  readonly statementTimeoutMs?: number;
  /** Longest wait for a lock, in milliseconds (10,000); 0: any. */
  readonly lockTimeoutMs?: number;
}

export const defaultStatementTimeoutMs = 30_000;
const defaultLockTimeoutMs = 10_000;
const graceMs = 5_000;

/**
 * One connection to PostgreSQL. Nothing is set for its session and statements have no names (but those of `writePrepared`),
 * so that it may be one of PgBouncer's, which gives each transaction another session.
 */
export class PostgresClient implements PostgresStatements {
  private isBroken = false;
  private mayPrepare = true;
  /** The statement that was sent last, while its answer is waited for; `since` by the monotonic clock. */
  waiting: { readonly since: number } | undefined;

  constructor(
    private readonly client: PgClient,
    /** Longest wait for the answer to a statement that is sent from now on, in milliseconds; 0: any. */
    public answerTimeoutMs: number,
    private readonly end: (isBroken: boolean) => Promise<void> | void,
  ) {}

  async query<Row extends object>(text: string, values?: readonly PostgresValue[]): Promise<Row[]> {
    const result = await this.send(() => this.client.query<Row>(this.statement(text, values)));
    return result.rows;
  }

  /**
   * Runs one statement and returns how many rows it wrote.
   *
   * @throws DatabaseError
   */
  async write(text: string, values?: readonly PostgresValue[]): Promise<number> {
    const result = await this.send(() => this.client.query(this.statement(text, values)));
    return result.rowCount ?? 0;
  }

  /**
   * As `write`, for a statement that is run again and again: the server keeps its plan. Where PgBouncer gives another session
   * to it, which has no such statement or has it already, nothing was run; then, and from then on, it is not kept.
   *
   * @throws DatabaseError
   */
  async writePrepared(text: string, values: readonly PostgresValue[]): Promise<number> {
    if (!this.mayPrepare) return this.write(text, values);
    try {
      const named = { ...this.statement(text, values), name: statementName(text) };
      const result = await this.send(() => this.client.query(named));
      return result.rowCount ?? 0;
    } catch (error) {
      if (!(error instanceof DatabaseError) || !preparedElsewhere.includes(error.code)) throw error;
      this.mayPrepare = false;
      return this.write(text, values);
    }
  }

  /**
   * Runs `COPY … FROM STDIN` with this data.
   *
   * @throws DatabaseError
   */
  async copy(text: string, chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
    await this.send(() => copyIn(this.client, this.statement(text), chunks));
  }

  /**
   * Runs `work` as one transaction: it is committed when the returned promise resolves, on disk too, whatever the server
   * is set to. If it fails, nothing of it is kept; only when the connection ends while it is committed, nobody can know.
   *
   * @throws DatabaseError, and what `work` throws
   */
  async transaction<Result>(
    work: (client: PostgresClient) => Promise<Result>,
    options: TransactionOptions = {},
  ): Promise<Result> {
    const { answerTimeoutMs } = this;
    const { statementTimeoutMs = defaultStatementTimeoutMs } = options;
    this.answerTimeoutMs = answerTimeoutOf(statementTimeoutMs);
    try {
      await this.query(beginning(options));
      const result = await work(this);
      const { command } = await this.send(() => this.client.query(this.statement('COMMIT')));
      // PostgreSQL takes back what had an error, also when nobody looked at it, and calls that a success.
      if (command !== 'COMMIT') throw new DatabaseError('25P02: the transaction was taken back', '25P02', false);
      return result;
    } catch (error) {
      if (!this.isBroken) await this.query('ROLLBACK').catch(() => undefined);
      throw error;
    } finally {
      this.answerTimeoutMs = answerTimeoutMs;
    }
  }

  /**
   * Listens to these channels, on a connection that is not one of a pool. Returns false, and does nothing, if a pooler
   * stands between: it would give the session to others, and theirs to us.
   *
   * @throws DatabaseError
   */
  async listen(channels: readonly string[]): Promise<boolean> {
    const [row] = await this.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    // A pooler makes up the number that it gives to a client.
    if (row!.pid !== sessionOf(this.client)) return false;
    await this.query(channels.map((channel) => `LISTEN ${quoteIdentifier(channel)}`).join('; '));
    return true;
  }

  /** Closes the connection, or gives it back to its pool. */
  async close(): Promise<void> {
    await this.end(this.isBroken);
  }

  private statement(text: string, values?: readonly PostgresValue[]): Statement {
    return { text, ...(values !== undefined && { values: [...values] }), query_timeout: this.answerTimeoutMs };
  }

  private async send<Result>(run: () => Promise<Result>): Promise<Result> {
    const waiting = { since: performance.now() };
    this.waiting = waiting;
    try {
      return await run();
    } catch (error) {
      const failure = toDatabaseError(error);
      // After its time a statement may still run, so the connection cannot be used for another.
      this.isBroken ||= isAway(failure);
      throw failure;
    } finally {
      if (this.waiting === waiting) this.waiting = undefined;
    }
  }
}

/** `duplicate_prepared_statement` and `invalid_sql_statement_name`. */
const preparedElsewhere: readonly (string | undefined)[] = ['42P05', '26000'];

/** One name has one text, so that a session that another replica, of another version, has used does the same. */
function statementName(text: string): string {
  return `verdict_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
}

/** Longer than the statement itself may take, so that it is the server that ends it, and the connection can be used again. */
export function answerTimeoutOf(statementTimeoutMs: number): number {
  return statementTimeoutMs === 0 ? 0 : statementTimeoutMs + graceMs;
}

/**
 * The server compiles a statement that it believes to be long, and has no statistics of a partition that was made today: it
 * takes a tenth of a second for what then runs in a hundredth.
 */
const uncompiled = 'SET LOCAL jit = off';

/**
 * A server behind a link that was cut does not hear that a transaction has ended. It keeps its locks until it finds out,
 * which takes hours where nothing is set.
 */
const untilGone = [
  'SET LOCAL idle_in_transaction_session_timeout = 15000',
  'SET LOCAL tcp_keepalives_idle = 10',
  'SET LOCAL tcp_keepalives_interval = 5',
  'SET LOCAL tcp_keepalives_count = 3',
];

function beginning({ snapshot = false, readOnly = false, ...options }: TransactionOptions): string {
  const { statementTimeoutMs = defaultStatementTimeoutMs, lockTimeoutMs = defaultLockTimeoutMs } = options;
  return [
    `BEGIN ${snapshot ? 'ISOLATION LEVEL REPEATABLE READ' : ''} ${readOnly ? 'READ ONLY' : ''}`,
    `SET LOCAL statement_timeout = ${Math.round(statementTimeoutMs)}`,
    `SET LOCAL lock_timeout = ${Math.round(lockTimeoutMs)}`,
    ...(readOnly ? [uncompiled] : ['SET LOCAL synchronous_commit = on', ...untilGone]),
  ].join('; ');
}
