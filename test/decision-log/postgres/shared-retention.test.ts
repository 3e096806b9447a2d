import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { startReplica } from './shared-home.js';

const day = 86_400_000;

describe.skipIf(!hasPostgres)('retention of the shared log', () => {
  const server = postgresForTests();
  const tables = async (url: string) =>
    (
      await server().query(
        `SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(decision_group|key_page)_'`,
        url,
      )
    )
      .map(({ relname }) => relname as string)
      .sort();
  const nameOf = (time: number) => new Date(time).toISOString().slice(0, 10).replaceAll('-', '');

  /** A log with a record on each of these days before today. */
  async function filled(url: string, days: readonly number[], retention = {}) {
    const log = await startReplica(url, temporaryDirectory(), { retention });
    for (const before of days) await log.append(exampleRecord(log, { now: Date.now() - before * day }));
    await log.settle();
    return log;
  }

  const agesOf = async (log: Awaited<ReturnType<typeof filled>>) =>
    (await log.search({})).items.map(({ time }) => Math.round((Date.now() - Date.parse(time)) / day));

  it('drops days that are wholly older, with their key pages and counts, and keeps all younger ones', async () => {
    const url = await server().createDatabase();
    const log = await filled(url, [9, 5, 3, 1, 0], { maxAgeMs: 3.5 * day });
    await log.prune(Date.now());
    expect((await agesOf(log)).filter((age) => age < 3.5)).toEqual([0, 1, 3]);
    expect(await agesOf(log)).not.toContain(9);
    expect((await tables(url)).filter((name) => name.endsWith(nameOf(Date.now() - 9 * day)))).toEqual([]);
    expect((await log.stats({})).total).toBe((await agesOf(log)).length);
  });

  it('by count keeps at least as many as asked for, in whole days', async () => {
    const url = await server().createDatabase();
    const log = await filled(url, [9, 5, 5, 3, 3, 0], { maxRecords: 2 });
    await log.prune(Date.now());
    expect(await agesOf(log)).toEqual([0, 3, 3]);
  });

  it('waits for nobody who reads, and is done when they are', async () => {
    const url = await server().createDatabase();
    const log = await filled(url, [9, 0], { maxAgeMs: 2 * day });
    const reader = openDatabase(url);
    let release!: () => void;
    const reading = reader.transaction(
      async (client) => {
        await client.query(`SELECT count(*) FROM ${reader.table('decision_group')}`);
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      },
      { snapshot: true, readOnly: true },
    );
    await expect.poll(() => release).toBeDefined();
    const pruning = log.prune(Date.now());
    // What others do meanwhile does not wait behind it.
    for (let i = 0; i < 5; i++) {
      const started = performance.now();
      await log.append(exampleRecord(log, { now: Date.now() }));
      await log.shipped();
      await log.search({ limit: 1 });
      expect(performance.now() - started).toBeLessThan(5_000);
    }
    release();
    await reading;
    await pruning;
    await log.prune(Date.now());
    expect((await tables(url)).filter((name) => name.endsWith(nameOf(Date.now() - 9 * day)))).toEqual([]);
  }, 60_000);

  it('finishes what a drop that was interrupted left behind, detached or half detached', async () => {
    const url = await server().createDatabase();
    const log = await filled(url, [9, 0], { maxAgeMs: 2 * day });
    const old = nameOf(Date.now() - 9 * day);
    await server().query(`ALTER TABLE verdict.decision_group DETACH PARTITION verdict.decision_group_${old}`, url);
    expect(await tables(url)).toContain(`decision_group_${old}`);
    await log.prune(Date.now());
    expect((await tables(url)).filter((name) => name.endsWith(old))).toEqual([]);
  });

  it('a record of a day that is gone is not shipped: a gap says so, and those behind it are', async () => {
    const url = await server().createDatabase();
    const log = await filled(url, [0], { maxAgeMs: 2 * day });
    await log.prune(Date.now());
    await log.append(exampleRecord(log, { now: Date.now() - 30 * day }));
    await log.append(exampleRecord(log, { now: Date.now() }));
    await log.shipped();
    expect(await agesOf(log)).toEqual([0, 0]);
    expect((await log.search({})).gaps).toMatchObject([{ after: 1, lost: 1, cause: 'expired' }]);
  });

  it('a role that may not make tables ships into the partitions that are there', async () => {
    const url = await server().createDatabase();
    const owner = await filled(url, [0]);
    await server().query(
      `CREATE ROLE inserter LOGIN; GRANT USAGE ON SCHEMA verdict TO inserter;
       GRANT SELECT ON ALL TABLES IN SCHEMA verdict TO inserter;
       GRANT INSERT ON verdict.decision_group, verdict.decision_gap, verdict.tally_delta, verdict.decision_writer TO inserter;
       GRANT INSERT ON verdict.decision_tree, verdict.decision_entry, verdict.decision_checkpoint TO inserter;
       GRANT INSERT, UPDATE ON verdict.decision_key TO inserter;
       GRANT UPDATE ON verdict.decision_writer TO inserter; GRANT DELETE ON verdict.decision_gap TO inserter;
       GRANT USAGE ON ALL SEQUENCES IN SCHEMA verdict TO inserter`,
      url,
    );
    onTestFinished(async () => {
      await server().query('DROP OWNED BY inserter; DROP ROLE inserter', url);
    });
    await owner.stop();
    // The day after tomorrow has passed into the days that are made ahead.
    const ahead = nameOf(Date.now() + 2 * day);
    await server().query(`DROP TABLE verdict.decision_group_${ahead}; DROP TABLE verdict.key_page_${ahead}`, url);
    const log = await startReplica(url.replace('//postgres@', '//inserter@'));
    await log.append(exampleRecord(log, { now: Date.now() }));
    await log.shipped();
    expect(await agesOf(log)).toEqual([0, 0]);
  });
});
