import type { PostgresStatements } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { type LogWriter, type LogWriters, writerNotFound, writerRunning } from '../log-writers.js';

/** A writer that was not heard of for so long, in milliseconds, has ended without a word or cannot reach the database. */
export const silentMs = 10_000;

interface Row {
  readonly writer: number;
  readonly journal: string;
  readonly fork: number;
  readonly instance: string;
  readonly state: 'running' | 'stopped' | 'retired';
  readonly silent_ms: number;
  readonly decided: number;
  readonly shipped: number;
  readonly complete_to: number;
}

/** What the writers of the shared log have shipped, read in one statement: as the transaction sees it, if it is in one. */
export async function readWriters(
  database: Pick<PostgresDatabase, 'table'>,
  statements: PostgresStatements,
): Promise<LogWriters> {
  const rows = await statements.query<Row>(
    `SELECT writer, journal, fork, instance, state, decided, shipped, complete_to,
       (extract(epoch FROM clock_timestamp() - beat) * 1000)::int8 AS silent_ms
     FROM ${database.table('decision_writer')} ORDER BY writer`,
  );
  const now = Date.now();
  const running = rows.filter(({ state }) => state === 'running');
  const ends = (some: readonly Row[]) => some.map((row) => row.complete_to);
  const completeTo = running.length === 0 ? Math.max(0, ...ends(rows)) : Math.min(...ends(running));
  return { completeTo: new Date(completeTo).toISOString(), writers: rows.map((row) => writerOf(row, now)) };
}

function writerOf(
  { writer, journal, instance, state, silent_ms, decided, shipped, complete_to }: Row,
  now: number,
): LogWriter {
  const isSilent = state === 'running' && silent_ms > silentMs;
  return {
    writer,
    journal,
    instance,
    state: isSilent ? 'silent' : state,
    heard: new Date(now - silent_ms).toISOString(),
    decided,
    shipped,
    missing: Math.max(0, decided - shipped),
    completeTo: new Date(complete_to).toISOString(),
  };
}

/**
 * Gives a writer up: it holds `completeTo` back no more, and what it had not shipped is a gap. If its replica comes back
 * all the same and ships, the gap goes again.
 *
 * @throws VerdictError `writer_not_found`; `writer_running` for one that was heard of a moment ago
 */
export async function retireWriter(database: PostgresDatabase, writer: number): Promise<void> {
  await database.transaction(async (client) => {
    const [row] = await client.query<Row>(
      `SELECT state, decided, shipped, complete_to, (extract(epoch FROM clock_timestamp() - beat) * 1000)::int8 AS silent_ms
       FROM ${database.table('decision_writer')} WHERE writer = $1 FOR UPDATE`,
      [writer],
    );
    if (row === undefined) throw writerNotFound(writer);
    if (row.state === 'running' && row.silent_ms <= silentMs) {
      throw writerRunning(writer, row.silent_ms);
    }
    if (row.state === 'retired') return;
    await client.query(`UPDATE ${database.table('decision_writer')} SET state = 'retired' WHERE writer = $1`, [writer]);
    if (row.state === 'stopped') return;
    // It said how far it had decided once a second; what came after that, nobody can know.
    await client.query(
      `INSERT INTO ${database.table('decision_gap')} (writer, after, lost, since, until, cause)
       VALUES ($1, $2, $3, $4, $5, 'retired') ON CONFLICT DO NOTHING`,
      [
        writer,
        row.shipped,
        row.decided > row.shipped ? row.decided - row.shipped : null,
        row.complete_to,
        Date.now() - row.silent_ms,
      ],
    );
  });
}
