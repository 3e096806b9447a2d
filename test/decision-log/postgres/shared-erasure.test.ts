/** "This person" in the log that replicas share: rows, pages, counts, spools, and what comes late. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import type { NewDecisionRecord } from '../../../src/decision-log/decision-record.js';
import { erasedValue } from '../../../src/decision-log/erasure/erase-record.js';
import { draftErasure, Erasures } from '../../../src/decision-log/erasure/erasures.js';
import { noHolds } from '../../../src/decision-log/holds/holds.js';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { startReplica } from './shared-home.js';

const name = 'planted-dana';
const latestMs = 300;

/** The orders of a replica, carried out as the service does. Stopped before its log. */
function carryOut(log: PostgresDecisionLog): Erasures {
  const erasures = new Erasures({
    orders: log.orders,
    log,
    holds: noHolds,
    latestMs,
    lookMs: 50,
    onProblem: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
  erasures.start();
  onTestFinished(() => erasures.stop());
  return erasures;
}

async function order(erasures: Erasures, person: string): Promise<string> {
  const draft = await erasures.draft('subject', person, 'a request of the person', 'ann');
  await erasures.commit(draft);
  return draft.id;
}

const finished = (erasures: Erasures, id: string) =>
  expect.poll(async () => (await erasures.find(id)).state, { timeout: 60_000, interval: 100 }).toBe('finished');

async function appendAbout(log: PostgresDecisionLog, count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, i): NewDecisionRecord => {
    return exampleRecord(log, {
      now: Date.now(),
      subject: i % 7 === 0 ? name : `s${i}`,
      requestId: `r-${i}`,
      ...(i % 5 === 0 && { caller: name }),
      attributes: i % 5 === 1 ? { manager: name } : { tenant: 'acme' },
    });
  });
  await Promise.all(records.map((record) => log.append(record)));
}

const filesWith = (directory: string) =>
  readdirSync(directory).filter((file) => readFileSync(join(directory, file)).includes(name));

/** The tables in which a row, as it is read, has the name. */
async function tablesWith(database: PostgresDatabase): Promise<string[]> {
  const tables = await database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = $1 ORDER BY tablename`,
    [database.schema],
  );
  const found: string[] = [];
  for (const table of tables) {
    const rows = await database.query(
      `SELECT FROM ${database.table(table.name)} r
       WHERE position($1 IN r::text) > 0 OR position(encode($2::bytea, 'hex') IN r::text) > 0 LIMIT 1`,
      [name, Buffer.from(name)],
    );
    if (rows.length > 0) found.push(table.name);
  }
  return found;
}

describe.skipIf(!hasPostgres)('the erasure of a person from the log that replicas share', () => {
  const server = postgresForTests();

  it('leaves the name in no table and no spool, under load on three replicas; decisions go on, and the chain verifies', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const folders = [temporaryDirectory(), temporaryDirectory(), temporaryDirectory()];
    const logs = await Promise.all(folders.map((folder, i) => startReplica(url, folder, { instance: `pdp-${i}` })));
    for (const log of logs) for (let i = 0; i < 10; i++) await appendAbout(log, 70);
    for (const log of logs) await log.settle();
    expect(await tablesWith(database)).toEqual(expect.arrayContaining(['tally_name']));
    let isOver = false;
    let decided = 0;
    const deciding = logs.map(async (log) => {
      for (let i = 0; !isOver; i++) {
        // After the order nobody of that name asks.
        await (i < 20 ? appendAbout(log, 10) : log.append(exampleRecord(log, { now: Date.now() })));
        decided += i < 20 ? 10 : 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await expect.poll(() => decided, { timeout: 20_000 }).toBeGreaterThan(600);
    const erasures = logs.map(carryOut);
    const id = await order(erasures[0]!, name);
    const before = decided;
    await finished(erasures[1]!, id);
    expect(decided).toBeGreaterThan(before);
    isOver = true;
    await Promise.all(deciding);
    for (const log of logs) {
      await log.checkpoint();
      await log.settle();
    }
    expect(await tablesWith(database)).toEqual([]);
    for (const folder of folders) expect(filesWith(folder)).toEqual([]);

    const [log] = logs as [PostgresDecisionLog];
    expect((await log.search({ subject: name })).items).toEqual([]);
    const erased = (await log.search({ subject: erasedValue, limit: 1_000 })).items;
    expect(erased).toHaveLength(3 * (100 + 20 * 2));
    expect(erased.every((record) => record.erased?.erasures[0]?.id === id)).toBe(true);
    const stats = await log.stats({ by: ['caller'] });
    expect(stats.items.map(({ caller }) => caller).sort()).toEqual(['[erased]', 'billing']);
    expect(stats.total).toBe(3 * 700 + decided);
    const { records } = await erasures[2]!.find(id);
    expect(records.about).toBe(erased.length);
    const report = await verifyLog({ database: url, keys: await log.proofs.keys(), against: [], depth: 'content' });
    expect(report.findings).toEqual([]);
    expect(report.erasures).toEqual([expect.objectContaining({ id, records: records.about + records.named })]);
    // The journals keep what they have shipped for an hour.
    const spool = { database: join(folders[0]!, 'verdict.sqlite'), keys: await log.proofs.keys(), against: [] };
    expect((await verifyLog({ ...spool, depth: 'content' })).findings).toEqual([]);
  }, 180_000);

  it('erases what a replica that was away ships later, before it is there', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const folder = temporaryDirectory();
    const late = await startReplica(url, folder, { instance: 'late' });
    await appendAbout(late, 21);
    await late.shipped();
    // It goes on without the database, and ends.
    await late.stop();
    const { SqliteDecisionLog } = await import('../../../src/decision-log/sqlite/sqlite-decision-log.js');
    const alone = new SqliteDecisionLog({
      databasePath: join(folder, 'verdict.sqlite'),
      mode: 'sync',
      isShipped: true,
    });
    await alone.start();
    await alone.append(exampleRecord(alone, { now: Date.now(), subject: name, requestId: 'r' }));
    await alone.stop();
    expect(filesWith(folder)).not.toEqual([]);

    const other = await startReplica(url, temporaryDirectory(), { instance: 'other' });
    const erasures = carryOut(other);
    const id = await order(erasures, name);
    await finished(erasures, id);
    expect(await tablesWith(database)).toEqual([]);

    const again = await startReplica(url, folder, { instance: 'late' });
    await again.shipped();
    expect(await tablesWith(database)).toEqual([]);
    expect((await other.search({ subject: erasedValue })).items).toHaveLength(4);
    expect(await erasures.find(id)).toMatchObject({ state: 'running', waitingFor: ['late'] });
    const own = carryOut(again);
    await finished(own, id);
    expect(filesWith(folder)).toEqual([]);
    await again.checkpoint();
    await other.checkpoint();
    const report = await verifyLog({ database: url, keys: await again.proofs.keys(), against: [], depth: 'content' });
    expect(report.findings).toEqual([]);
  }, 120_000);

  it('takes a caller from the counts up to the newest of two orders that are carried out at once', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const log = await startReplica(url);
    await appendAbout(log, 21);
    await log.settle();
    expect(await tablesWith(database)).toEqual(expect.arrayContaining(['tally_name']));
    const earlier = await draftErasure(log.orders, 'subject', name, 'one', 'ann');
    await log.orders.add({ ...earlier, time: earlier.time - 7_200_000 });
    const later = await draftErasure(log.orders, 'subject', name, 'two', 'ann');
    await log.orders.add(later);
    await finished(carryOut(log), later.id);
    expect(await tablesWith(database)).toEqual([]);
  }, 60_000);

  it('is not ordered where only replicas run that record nothing, since none would carry it out', async () => {
    const url = await server().createDatabase();
    const off = await startReplica(url, temporaryDirectory(), { mode: 'off' });
    const onProblem = (what: string, error: unknown) => {
      throw new Error(what, { cause: error });
    };
    const erasures = new Erasures({ orders: off.orders, log: off, holds: noHolds, latestMs, isIdle: true, onProblem });
    await expect(order(erasures, name)).rejects.toMatchObject({ code: 'conflict' });
    expect(await off.orders.list(1)).toEqual([]);
    const log = await startReplica(url);
    await appendAbout(log, 7);
    await log.shipped();
    const id = await order(erasures, name);
    await finished(carryOut(log), id);
    await erasures.stop();
  }, 60_000);

  it('counts without changing anything what an erasure would come to', async () => {
    const url = await server().createDatabase();
    const log = await startReplica(url);
    await appendAbout(log, 70);
    await log.shipped();
    const erasures = carryOut(log);
    const counts = await erasures.preview('subject', name);
    expect(counts.of('preview')).toEqual({ about: 10, named: 24, held: 0 });
    expect((await log.search({ subject: name })).items).toHaveLength(10);
  }, 60_000);
});
