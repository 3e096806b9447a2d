import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { describeAbout } from '../about-suite.js';
import { describeDecisionLog } from '../decision-log-suite.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { sharedHome, startReplica } from './shared-home.js';

describe.skipIf(!hasPostgres)('PostgreSQL', () => {
  const server = postgresForTests();
  describeDecisionLog('PostgreSQL', () => sharedHome(server));
  describeAbout('PostgreSQL', () => sharedHome(server));
  const keys = EncryptionKeys.of(randomBytes(32).toString('base64'));
  describeDecisionLog('PostgreSQL, encrypted', () => sharedHome(server, keys));
  describeAbout('PostgreSQL, encrypted', () => sharedHome(server, keys));

  describe('the log that replicas share', () => {
    const append = async (log: DecisionLog, subject: string): Promise<string> => {
      const record = exampleRecord(log, { subject, now: Date.now() });
      await log.append(record);
      return record.id;
    };
    const subjectsOf = async (log: DecisionLog) =>
      (await log.search({})).items.map(({ request }) => request.subject.id).sort();

    /** A server for a test that takes it away. */
    async function ownServer(): Promise<PostgresServer> {
      const own = await PostgresServer.start();
      onTestFinished(() => own.remove());
      return own;
    }

    it('answers for all replicas, on each of them, with cursors that go on at another one', async () => {
      const url = await server().createDatabase();
      const [one, other] = [await startReplica(url), await startReplica(url)];
      const ids = [await append(one, 'a'), await append(other, 'b'), await append(one, 'c')];
      await Promise.all([one.shipped(), other.shipped()]);
      for (const log of [one, other]) {
        expect(await subjectsOf(log)).toEqual(['a', 'b', 'c']);
        for (const id of ids) expect((await log.find(id))?.id).toBe(id);
        expect((await log.stats({})).total).toBe(3);
      }
      const first = await one.search({ limit: 1 });
      const second = await other.search({ limit: 2, cursor: first.nextCursor! });
      expect([...first.items, ...second.items].map(({ id }) => id).sort()).toEqual(ids.toSorted());
      expect(second.completeTo).toBe(first.completeTo);
    });

    it('P4: while PostgreSQL is away decisions go on, and are in the log when it is back', async () => {
      const own = await ownServer();
      const log = await startReplica(await own.createDatabase());
      await append(log, 'before');
      await own.kill();
      const id = await append(log, 'meanwhile');
      expect((await log.find(id))?.request.subject.id).toBe('meanwhile');
      await expect.poll(() => log.status.problem, { timeout: 10_000 }).toMatch(/not shipped/);
      expect(log.status).toMatchObject({ answering: true, state: 'ok' });
      await expect(log.search({})).rejects.toMatchObject({ code: 'decision_log_unavailable' });
      await own.resume();
      await log.shipped();
      await expect.poll(() => subjectsOf(log), { timeout: 20_000 }).toEqual(['before', 'meanwhile']);
      await expect.poll(() => log.status.problem, { timeout: 20_000 }).toBeUndefined();
    }, 60_000);

    it('P4: a journal that is full refuses decisions in mode sync, and in mode async counts what it loses', async () => {
      const own = await ownServer();
      const url = await own.createDatabase();
      const sync = await startReplica(url, temporaryDirectory(), { journalLimit: 1 });
      const lossy = await startReplica(url, temporaryDirectory(), { journalLimit: 1, mode: 'async' });
      for (const log of [sync, lossy]) await append(log, 'before');
      await Promise.all([sync.shipped(), lossy.shipped()]);
      await own.kill();
      await expect.poll(() => sync.status.answering, { timeout: 20_000 }).toBe(false);
      await expect(append(sync, 'refused')).rejects.toMatchObject({ code: 'decision_log_unavailable' });
      await expect
        .poll(() => append(lossy, 'lost').then(() => lossy.status.lost), { timeout: 20_000 })
        .toBeGreaterThan(0);
      expect(lossy.status.answering).toBe(true);
      await own.resume();
      await expect.poll(() => sync.status.answering, { timeout: 20_000 }).toBe(true);
      await append(sync, 'after');
      await expect
        .poll(() => append(lossy, 'after').then(() => lossy.status.problem), { timeout: 20_000 })
        .toBeUndefined();
      await sync.shipped();
      await expect
        .poll(async () => (await sync.search({})).gaps, { timeout: 20_000 })
        .toMatchObject([{ lost: lossy.status.lost, cause: 'queue_full' }]);
    }, 90_000);

    it('P4: in mode replicated no record is promised that PostgreSQL does not have', async () => {
      const own = await ownServer();
      const url = await own.createDatabase();
      const log = await startReplica(url, temporaryDirectory(), { mode: 'replicated' });
      const inPostgres = async () =>
        Number((await own.query('SELECT coalesce(sum(count), 0) AS n FROM verdict.decision_group', url))[0].n);
      for (let n = 1; n <= 5; n++) {
        await append(log, `s${n}`);
        expect(await inPostgres()).toBe(n);
      }
      await Promise.all(Array.from({ length: 200 }, () => append(log, 'many')));
      expect(await inPostgres()).toBe(205);
      await own.kill();
      await expect(append(log, 'lost')).rejects.toMatchObject({ code: 'decision_log_unavailable' });
      await own.resume();
      await expect
        .poll(
          () =>
            append(log, 'after').then(
              () => true,
              () => false,
            ),
          { timeout: 30_000 },
        )
        .toBe(true);
    }, 60_000);

    it('stops within its time while PostgreSQL is away, and the next start ships what was left', async () => {
      const own = await ownServer();
      const url = await own.createDatabase();
      const directory = temporaryDirectory();
      const log = await startReplica(url, directory);
      await append(log, 'a');
      await own.stop();
      await append(log, 'b');
      const started = performance.now();
      await log.stop();
      expect(performance.now() - started).toBeLessThan(12_000);
      await own.resume();
      const again = await startReplica(url, directory);
      await again.shipped();
      expect(await subjectsOf(again)).toEqual(['a', 'b']);
    }, 60_000);
  });
});
