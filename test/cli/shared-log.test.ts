/** `verdict log` on the log that replicas share in PostgreSQL: what they shipped is read, and an SQLite log is taken in. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { migrate } from '../../src/database/postgres/migrations.js';
import { DataFolderLock } from '../../src/database/sqlite/data-folder-lock.js';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import { PostgresDecisionLog } from '../../src/decision-log/postgres/postgres-decision-log.js';
import { sharedLogMigrations } from '../../src/decision-log/postgres/shared-migrations.js';
import { readWriters } from '../../src/decision-log/postgres/writers.js';
import { openDatabase, postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { noon } from '../decision-log/example-records.js';
import { append, countDown, everything, sequencesOf } from '../decision-log/many-records.js';
import { startReplica } from '../decision-log/postgres/shared-home.js';
import { startLog, temporaryDirectory } from '../decision-log/temporary-log.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { hasTerminals, type Ran, verdict, verdictInTerminal, workFolder } from './run.js';

const entry = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const fixture = fileURLToPath(new URL('../fixtures/data-folder-0.1', import.meta.url));

const log = (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
  verdict(['log', ...args], { cwd: workFolder({ policies: false }), env });
const recordsOf = (stdout: string): DecisionRecord[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe.skipIf(!hasPostgres)('verdict log on PostgreSQL', () => {
  const server = postgresForTests();
  let url: string;
  let replicas: Service[];
  let spools: string;

  async function decide(replica: number, subject: string): Promise<string> {
    const { body } = await replicas[replica]!.post('/v1/decide', { subject, action: 'read', resource: 'doc' });
    return body.decisionId;
  }
  const shipped = () => Promise.all(replicas.map((replica) => (replica.log as PostgresDecisionLog).shipped()));

  beforeAll(async () => {
    url = await server().createDatabase();
    spools = mkdtempSync(join(tmpdir(), 'verdict-spools-'));
    replicas = [];
    for (const instance of ['pdp-1', 'pdp-2']) {
      replicas.push(await startService(onePolicySet, { databaseUrl: url, spoolDir: join(spools, instance), instance }));
    }
  }, 60_000);

  afterAll(async () => {
    for (const replica of replicas ?? []) await replica.stop();
    if (spools !== undefined) rmSync(spools, { recursive: true, force: true });
  });

  it('reads what all replicas decided, and nothing of a local journal', async () => {
    const ids = [await decide(0, 'ann'), await decide(1, 'bob'), await decide(0, 'zoe')];
    await shipped();
    const queried = await log(['query', '--database', url]);
    expect(queried).toMatchObject({ code: 0, stderr: '' });
    expect(recordsOf(queried.stdout).map(({ id }) => id)).toEqual(ids.toReversed());
    expect(new Set(recordsOf(queried.stdout).map(({ instance }) => instance))).toEqual(new Set(['pdp-1', 'pdp-2']));
    const exported = await log(['export'], { VERDICT_DATABASE_URL: url });
    expect(recordsOf(exported.stdout).map(({ id }) => id)).toEqual(ids.toReversed());
    const counted = await log(['stats', '--by', 'decision', '--top', 'subject', '--database', url]);
    expect(JSON.parse(counted.stdout)).toMatchObject({ total: 3, top: expect.any(Object) });
    const replayed = await log(['replay', ids[1]!, '--database', url]);
    expect(JSON.parse(replayed.stdout)).toMatchObject({ same: true, recorded: { decision: 'deny' } });
    const missing = await log(['replay', '01999999-9999-7999-8999-999999999999', '--database', url]);
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toContain('There is no decision');
  });

  it('compares a folder with what is served there', async () => {
    const cwd = workFolder({ policies: false });
    cpSync(join(replicas[0]!.directory, 'policies/default'), join(cwd, 'default'), { recursive: true });
    const same = await verdict(['diff', '--database', url, 'default', '--output', 'json'], { cwd });
    expect(same).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(same.stdout)).toMatchObject({ sets: [{ name: 'default' }] });
  });

  it('tail shows what comes from each replica, once', async () => {
    const child = spawn(process.execPath, [entry, 'log', 'tail', '--lines', '1', '--database', url], {
      env: { PATH: process.env.PATH },
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    const ids = () => recordsOf(text).map(({ id }) => id);
    await expect.poll(ids, { timeout: 20_000 }).toHaveLength(1);
    const begun = ids();
    const decided: string[] = [];
    for (let i = 0; i < 3; i++) {
      decided.push(await decide(0, 'ann'), await decide(1, 'bob'), await decide(1, 'cid'));
      await shipped();
      await expect.poll(() => ids().length, { timeout: 20_000 }).toBe(decided.length + 1);
    }
    expect(ids().toSorted()).toEqual([...begun, ...decided].toSorted());
    child.kill('SIGINT');
    const [code] = await once(child, 'close');
    expect(code).toBe(0);
  }, 60_000);

  it('says what is wrong, and never the password', async () => {
    const empty = await server().createDatabase();
    const nothing = await log(['query', '--database', empty.replace('postgres@', 'postgres:s3cret@')]);
    expect(nothing).toMatchObject({ code: 2, stdout: '' });
    expect(nothing.stderr).toContain(`there is no decision log in ${empty}`);
    expect(await server().query(`SELECT FROM pg_namespace WHERE nspname = 'verdict'`, empty)).toEqual([]);
    const cwd = workFolder({ policies: false });
    const folder = oldFolder();
    for (const [bad, why] of [
      ['postgres://verdict:s3cret@127.0.0.1:1/verdict', 'ECONNREFUSED'],
      ['postgres://verdict:s3cret/s3cret@127.0.0.1/verdict', 'has an "@", "/" or "?" in its user or password'],
      [empty.replace('postgres@', 'nobody:s3cret@'), 'nobody'],
    ] as const) {
      for (const args of [
        ['log', 'stats', '--database', bad],
        ['log', 'import', '--from', join(folder, 'verdict.sqlite'), '--database', bad],
        ['diff', '--set', 'default', '--database', bad, 'sha256:1f09'],
      ]) {
        const ran = await verdict(args, { cwd });
        expect(ran).toMatchObject({ code: 2, stdout: '' });
        expect(ran.stderr).toContain(why);
        expect(ran.stderr).not.toContain('s3cret');
      }
    }
  }, 60_000);
});

describe.skipIf(!hasPostgres)('verdict log import', () => {
  const server = postgresForTests();

  /** The log as the replicas would answer. */
  const reader = (url: string) => PostgresDecisionLog.reader(openDatabase(url));
  const gap = { lost: 2, cause: 'queue_full' };

  it('takes a log of version 0.1 whole, with its gap and the versions that answer again', async () => {
    const url = await server().createDatabase();
    const folder = oldFolder();
    const before = readdirSync(folder);
    const args = ['import', '--from', `sqlite:${join(folder, 'verdict.sqlite')}`, '--database', url];
    const ran = await log(args);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toBe(
      `32 records and 2 policy versions are in ${url}; API keys and audit events were not taken\n`,
    );
    expect(readdirSync(folder)).toEqual([...before, 'verdict.lock'].sort());
    const shared = reader(url);
    const records = await everything(shared);
    const own = await startLog(oldFolder());
    expect(records).toEqual(await everything(own));
    expect((await shared.search({ limit: 1_000 })).gaps).toMatchObject([gap]);
    expect((await shared.stats({})).total).toBe(32);
    expect(await readWriters(openDatabase(url), openDatabase(url))).toMatchObject({
      writers: [{ state: 'stopped', decided: 32, shipped: 32, missing: 0 }],
    });
    for (const { id } of [records[0]!, records.at(-1)!]) {
      const replayed = JSON.parse((await log(['replay', id, '--database', url])).stdout);
      expect(replayed).toMatchObject({ same: true });
    }
    const versions = await server().query('SELECT semantics FROM verdict.policy_version', url);
    expect(versions).toEqual([{ semantics: 1 }, { semantics: 1 }]);
    for (const table of ['api_key', 'audit_event']) {
      expect(await server().query(`SELECT to_regclass('verdict.${table}') AS name`, url)).toEqual([{ name: null }]);
    }
    expect((await log(args)).code).toBe(0);
    expect(await everything(shared)).toEqual(records);
  }, 60_000);

  it('P4: killed half-way and run again, it has every record of all files once', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const count = 24_000;
    const source = await startLog(folder, { limits: { records: 10_000 } });
    await append(source, count, (i) => ({ now: noon + i, subject: `s${i % 7}` }));
    const records = await everything(source);
    await source.stop();
    expect(readdirSync(folder).filter((name) => /decisions\.\d{16}\.sqlite$/.test(name))).toHaveLength(2);
    const database = openDatabase(url);
    await migrate(database, 'decision-log', sharedLogMigrations);
    await server().query(
      `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END';
       CREATE TRIGGER slowly AFTER INSERT ON verdict.decision_group EXECUTE FUNCTION slowly()`,
      url,
    );
    const shipped = async () =>
      (await server().query('SELECT max(shipped)::int AS n FROM verdict.decision_writer', url))[0].n;
    const args = ['log', 'import', '--from', join(folder, 'verdict.sqlite'), '--database', url];
    let kills = 0;
    for (let mark = 0; kills < 3; mark = await shipped()) {
      const child = spawn(process.execPath, [entry, ...args], { stdio: 'ignore' });
      await expect.poll(shipped, { timeout: 30_000, interval: 10 }).toBeGreaterThan(mark);
      // In the middle of the next batch.
      await delay(kills * 70);
      child.kill('SIGKILL');
      await once(child, 'close');
      kills++;
    }
    expect(await shipped()).toBeLessThan(count);
    expect(await readWriters(database, database)).toMatchObject({ writers: [{ state: 'running', decided: count }] });
    const ran = await log(args.slice(1));
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('is not in the archive: its decisions cannot be replayed');
    const shared = reader(url);
    const taken = await everything(shared);
    expect(sequencesOf(taken)).toEqual(countDown(count));
    expect(taken).toEqual(records);
    expect((await shared.stats({ by: ['decision'] })).total).toBe(count);
    expect((await readWriters(database, database)).writers).toMatchObject([{ state: 'stopped', missing: 0 }]);
  }, 120_000);

  it('waits for no service: it refuses a folder that one uses', async () => {
    const folder = oldFolder();
    const holder = { instance: 'pdp-7', pid: process.pid };
    const lock = await DataFolderLock.take({ folder, holder, waitMs: 0, onProblem: () => undefined });
    onTestFinished(() => lock.release());
    const url = await server().createDatabase();
    const ran = await log(['import', '--from', join(folder, 'verdict.sqlite'), '--database', url]);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(`the data folder ${folder} is in use by instance "pdp-7"`);
    expect(ran.stderr).toContain('stop the service first');
    expect(await server().query(`SELECT FROM pg_namespace WHERE nspname = 'verdict'`, url)).toEqual([]);
  });

  it.each([
    [
      ['--from', 'nowhere.sqlite', '--database', 'postgres://a@127.0.0.1:1/b'],
      'no decision log nowhere.decisions.sqlite',
    ],
    [['--from', join(fixture, 'verdict.sqlite')], 'a log is imported into PostgreSQL'],
    [['--from', 'postgres://a:s3cret@b/c', '--database', 'postgres://a@b/c'], 'a log is imported from an SQLite file'],
    [['--database', 'postgres://a@b/c'], "required option '--from <file>' not specified"],
  ])('%j ends with 2 and says what is wrong', async (args, message) => {
    const cwd = workFolder({ policies: false });
    const ran = await verdict(['log', 'import', ...args], { cwd });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(message);
    expect(ran.stderr).not.toContain('s3cret');
    expect(readdirSync(cwd)).toEqual([]);
  });

  it.skipIf(!hasTerminals)('shows on a terminal how far it is', async () => {
    const url = await server().createDatabase();
    const { stdout } = await verdictInTerminal(
      ['log', 'import', '--from', join(oldFolder(), 'verdict.sqlite'), '--database', url],
      { cwd: workFolder({ policies: false }) },
    );
    expect(stdout).toContain('32 of 32 records');
    expect(stdout).toContain('32 records and 2 policy versions are in');
  });

  it('a replica on the folder ships its log by itself, and goes on behind an import', async () => {
    const [alone, after] = [await server().createDatabase(), await server().createDatabase()];
    const folder = oldFolder();
    const args = ['import', '--from', join(folder, 'verdict.sqlite'), '--database', after];
    expect((await log(args)).code).toBe(0);
    for (const [url, spool] of [
      [alone, oldFolder()],
      [after, folder],
    ] as const) {
      const replica = await startReplica(url, spool);
      await append(replica, 5, () => ({ now: Date.now() }));
      await replica.shipped();
      const records = await everything(replica);
      expect(sequencesOf(records)).toEqual(countDown(37));
      // With the next word of the replica.
      await expect
        .poll(async () => (await replica.search({ limit: 1_000 })).gaps, { timeout: 10_000 })
        .toMatchObject([gap]);
      expect((await replica.writers()).writers).toHaveLength(1);
      expect((await replica.stats({})).total).toBe(37);
      await replica.stop();
    }
    expect((await log(args)).stdout).toContain('37 records and');
    expect((await reader(after).stats({})).total).toBe(37);
  }, 60_000);
});

/** A copy of the data folder of version 0.1. */
function oldFolder(): string {
  const folder = temporaryDirectory();
  cpSync(fixture, folder, { recursive: true });
  return folder;
}
