/** Statements whose connection was lost without a word fail at once; those that are slow do not. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { ChangeFeed } from '../../../src/database/postgres/change-feed.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { openDatabase, postgresForTests } from './databases.js';
import { Link } from './link.js';
import { hasPostgres } from './postgres-server.js';

describe.skipIf(!hasPostgres)('connections that are lost (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  /** A database by a link, whose statements somebody asks after who has a connection that is well. */
  async function looked(): Promise<{ database: PostgresDatabase; link: Link; direct: PostgresDatabase }> {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const database = openDatabase(link.through(url), { connectTimeoutMs: 10_000 });
    const direct = openDatabase(url);
    database.lookAfterBy(direct);
    return { database, link, direct };
  }

  /** Resolves when the server runs a statement with this text. */
  const runs = (direct: PostgresDatabase, text: string) =>
    expect
      .poll(async () => {
        const sql = `SELECT 1 FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active' AND pid <> pg_backend_pid()`;
        return (await direct.query(sql, [`%${text}%`])).length;
      })
      .toBe(1);

  const outcome = (statement: Promise<unknown>) =>
    statement.then(
      () => 'answered',
      (error: { code?: string }) => error.code,
    );

  it('end what waits for an answer that was lost, and the next statement has another one', async () => {
    const { database, link, direct } = await looked();
    const statement = outcome(database.query(`SELECT pg_sleep(0.5), 'lost'`));
    await runs(direct, 'lost');
    link.silence();
    expect(await statement).toBe('CONNECTION');
    link.open();
    expect(await outcome(database.query('SELECT 1'))).toBe('answered');
  });

  it('end what was sent and did not arrive, also within a transaction', async () => {
    const { database, link } = await looked();
    const transaction = database.transaction(async (client) => {
      await client.query('SELECT 1');
      link.silence();
      await client.query('SELECT 2');
    });
    expect(await outcome(transaction)).toBe('CONNECTION');
  });

  it('are told from a statement that takes long, and one that waits for a lock', async () => {
    const { database, direct } = await looked();
    await direct.write(`CREATE TABLE ${direct.table('held')} (n int)`).catch(async () => {
      await direct.write(`CREATE SCHEMA IF NOT EXISTS "${direct.schema}"`);
      await direct.write(`CREATE TABLE ${direct.table('held')} (n int)`);
    });
    const waiting = await direct.transaction(async (client) => {
      await client.query(`LOCK TABLE ${direct.table('held')} IN ACCESS EXCLUSIVE MODE`);
      const statement = outcome(database.query(`SELECT 1 FROM ${direct.table('held')}`));
      expect(await outcome(database.query('SELECT pg_sleep(1.5)'))).toBe('answered');
      return { statement };
    });
    expect(await waiting.statement).toBe('answered');
  });

  it('are told from a link that is slow, by which the answer comes in pieces', async () => {
    const { database, link } = await looked();
    const asker = openDatabase(link.through(server().newSchema()));
    database.lookAfterBy(asker);
    await Promise.all([database.query('SELECT 1'), asker.query('SELECT 1')]);
    link.slow(600);
    expect(await outcome(database.query(`SELECT repeat('x', 1000000)`))).toBe('answered');
  });

  it('are found by the connection that looks for changes, also where that one was lost too', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const database = openDatabase(link.through(url));
    const feed = new ChangeFeed(database, { onProblem: () => undefined });
    feed.start();
    onTestFinished(() => feed.stop());
    await expect.poll(() => feed.ageMs).toBeLessThan(1_000);
    const statement = outcome(database.query(`SELECT pg_sleep(0.3), 'both'`));
    await runs(openDatabase(url), 'both');
    link.silence();
    await expect.poll(() => feed.ageMs, { timeout: 5_000 }).toBeGreaterThan(800);
    link.open();
    expect(await statement).toBe('CONNECTION');
    expect(await outcome(database.query('SELECT 1'))).toBe('answered');
  });

  it('are not looked for by a pooler, which makes up the numbers of sessions, or by nobody', async () => {
    const { database } = await looked();
    database.lookAfterBy(undefined);
    expect(await outcome(database.query('SELECT pg_sleep(0.6)'))).toBe('answered');
  });
});
