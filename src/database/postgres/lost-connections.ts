import type { PostgresClient, PostgresStatements } from './postgres-client.js';
import { bytesMovedOf, cutOff, type PgClient, sessionOf } from './postgres-driver.js';

/**
 * How long a statement waits for its answer before somebody asks what became of it, in milliseconds: longer than it takes TCP
 * to send a packet again that was lost once.
 */
const doubtMs = 400;
/** Pause between two looks at how long statements have waited, in milliseconds. */
const everyMs = 100;
/** For how long a session must have been without work before its answer counts as lost, in milliseconds of the server's clock. */
const idleMs = 350;

interface SessionRow {
  readonly pid: number;
  readonly works: boolean;
}

/**
 * Sessions that work, or may: in doubt a connection is left alone. A session that waits for its client has sent its answer, or
 * has not got its statement.
 */
const sessionsSql = `SELECT pid, state IS DISTINCT FROM 'idle' AND state NOT LIKE 'idle in transaction%'
    AND wait_event_type IS DISTINCT FROM 'Client' OR state_change > clock_timestamp() - interval '${idleMs} milliseconds' AS works
  FROM pg_stat_activity WHERE pid = ANY ($1)`;

/**
 * Finds the connections over which an answer is waited for that will not come: a firewall that forgot them, a proxy that hangs,
 * a link that was cut and is back. TCP says nothing of that for hours, and how long a statement takes says nothing either. So
 * another connection asks the server what the session does: one that is without work while somebody waits for its answer has
 * lost its connection. That is cut off, and what waits fails at once instead of after its whole time.
 *
 * The answer of a session that has ended its work was sent before the answer to that question: what is slow is not taken for
 * what is lost.
 */
export class LostConnections {
  private readonly watched = new Map<PgClient, PostgresClient>();
  private asker: PostgresStatements | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isAsking = false;

  /** @param onLost called when a connection was cut off */
  constructor(private readonly onLost: () => void) {}

  /** Watches a connection until `leave`. */
  watch(connection: PgClient, client: PostgresClient): void {
    this.watched.set(connection, client);
    if (this.asker !== undefined) this.timer ??= setInterval(() => void this.look(), everyMs).unref();
  }

  leave(connection: PgClient): void {
    this.watched.delete(connection);
    if (this.watched.size === 0) this.rest();
  }

  /**
   * Says who can ask the server now; undefined: nobody, or a pooler is between, which makes up the numbers of sessions. What
   * waits already is asked for at once: the connection of the asker may have been renewed because the one before was lost.
   */
  askBy(asker: PostgresStatements | undefined): void {
    this.asker = asker;
    this.rest();
    if (asker === undefined || this.watched.size === 0) return;
    this.timer = setInterval(() => void this.look(), everyMs).unref();
    void this.look();
  }

  private rest(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  /** Does not throw: who cannot be asked knows nothing. */
  private async look(): Promise<void> {
    const { asker } = this;
    const now = performance.now();
    const doubtful = [...this.watched].flatMap(([connection, { waiting }]) => {
      const pid = sessionOf(connection);
      if (waiting === undefined || now - waiting.since < doubtMs || pid === null) return [];
      return [{ connection, waiting, pid, moved: bytesMovedOf(connection) }];
    });
    if (asker === undefined || this.isAsking || doubtful.length === 0) return;
    this.isAsking = true;
    try {
      const pids = doubtful.map(({ pid }) => pid);
      const rows = await asker.query<SessionRow>(sessionsSql, [pids]);
      const working = new Set(rows.flatMap(({ pid, works }) => (works ? [pid] : [])));
      for (const { connection, waiting, pid, moved } of doubtful) {
        const waitsStill = this.watched.get(connection)?.waiting === waiting && bytesMovedOf(connection) === moved;
        if (!waitsStill || working.has(pid)) continue;
        cutOff(connection);
        this.onLost();
      }
    } catch {
      // The next look asks again.
    } finally {
      this.isAsking = false;
    }
  }
}
