/** Encryption at rest in the log that replicas share (docs/encryption.md): tables, PostgreSQL's own files, and spools. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { erasedValue } from '../../../src/decision-log/erasure/erase-record.js';
import { Erasures } from '../../../src/decision-log/erasure/erasures.js';
import type { Hold } from '../../../src/decision-log/holds/hold.js';
import { type HoldGuard, noHolds } from '../../../src/decision-log/holds/holds.js';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { rewrapSharedLog } from '../../../src/decision-log/postgres/rotate-shared-keys.js';
import { proveDecision } from '../../../src/decision-log/proof/prove.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { startReplica } from './shared-home.js';

const newKeyText = (): string => randomBytes(32).toString('base64');
const [first, second] = [newKeyText(), newKeyText()];
const keys = EncryptionKeys.of(first);
const [fingerprint] = keys.fingerprints as [string];
const others = EncryptionKeys.of(newKeyText());

const holdOn = (policySet: string): Hold => ({
  id: 'hold-1',
  policySets: [policySet],
  from: undefined,
  to: undefined,
  reason: 'audit',
  by: 'carol',
  created: Date.now(),
  released: undefined,
  releasedBy: undefined,
});

/** Names that stand in no program. */
const planted = {
  subject: 'Dana-Quillfeather',
  resource: 'ledger-of-Ozymandias',
  caller: 'payroll-of-Brobdingnag',
  policySet: 'expenses-of-Lilliput',
  requestId: 'request-Xanadu',
  attribute: 'salary-of-Rumpelstiltskin',
} as const;

async function plant(log: PostgresDecisionLog, count: number): Promise<void> {
  const { attribute, ...example } = planted;
  const attributes = { [attribute]: attribute };
  const records = Array.from({ length: count }, () => exampleRecord(log, { ...example, attributes, now: Date.now() }));
  await Promise.all(records.map((record) => log.append(record)));
}

/** Which of the planted names stand anywhere in the files of a folder. */
function foundIn(folder: string): string[] {
  const found = new Set<string>();
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, file);
    if (!statSync(path).isFile()) continue;
    const bytes = readFileSync(path, 'latin1');
    for (const name of Object.values(planted)) if (bytes.includes(name)) found.add(name);
  }
  return Object.values(planted).filter((name) => found.has(name));
}

/** What `verdict log verify` says, with the key of the variable. */
async function verified(url: string, log: PostgresDecisionLog, key: string | undefined, remarks: string[] = []) {
  const before = process.env.VERDICT_ENCRYPTION_KEY;
  if (key === undefined) delete process.env.VERDICT_ENCRYPTION_KEY;
  else process.env.VERDICT_ENCRYPTION_KEY = key;
  try {
    const options = { database: url, keys: await log.proofs.keys(), against: [], depth: 'content' as const };
    return await verifyLog(options, (what) => remarks.push(what));
  } finally {
    if (before === undefined) delete process.env.VERDICT_ENCRYPTION_KEY;
    else process.env.VERDICT_ENCRYPTION_KEY = before;
  }
}

const rowsOf = (database: PostgresDatabase) =>
  database.query<{ first: number; count: number; records: string; sealed: Buffer | null; salts: Buffer | null }>(
    `SELECT first, count, records, sealed, salts FROM ${database.table('decision_group')} ORDER BY writer, first`,
  );

describe.skipIf(!hasPostgres)('the log that replicas share, encrypted', () => {
  const server = postgresForTests();

  for (const [name, encryption, found] of [
    ['with a key, no file of PostgreSQL and none of the spool has a planted name, its WAL included', keys, []],
    ['without one they stand there, so the search above would find them', undefined, Object.values(planted)],
  ] as const) {
    it(name, async () => {
      const own = await PostgresServer.start();
      onTestFinished(() => own.remove());
      const url = await own.createDatabase();
      const folder = temporaryDirectory();
      const log = await startReplica(url, folder, { encryption });
      // PostgreSQL compresses larger rows in clear: the names are not whole in them.
      await plant(log, 1);
      await log.shipped();
      for (let i = 0; i < 4; i++) await plant(log, 100);
      await log.settle();
      for (let i = 0; i < 2; i++) await plant(log, 30);
      await log.shipped();
      const other = await startReplica(url, temporaryDirectory(), { encryption });
      for (const each of [log, other]) {
        const { subject, resource, caller, policySet, attribute } = planted;
        for (const query of [{ subject }, { resource, caller }, { policySet, q: attribute.toLowerCase() }])
          expect((await each.search({ ...query, limit: 1_000 })).items).toHaveLength(461);
        expect((await each.search({ subject: 'nobody' })).items).toEqual([]);
        const counted = await each.stats({ by: ['policySet', 'caller', 'reason'], top: 'subject' });
        expect(counted).toMatchObject({
          items: [{ policySet, caller, reason: 'rule_allowed', count: 461 }],
          total: 461,
          top: { ids: [{ id: subject, count: 461 }] },
        });
        expect((await each.stats({ caller, policySet })).total).toBe(461);
        expect((await each.stats({}, { policySets: [policySet] })).total).toBe(461);
        expect((await each.stats({ caller: 'nobody' })).total).toBe(0);
      }
      await own.query('CHECKPOINT');
      expect(foundIn(join(own.folder, 'data'))).toEqual(found);
      expect(foundIn(folder)).toEqual(found);
      await log.stop();
      await own.query('CHECKPOINT');
      expect(foundIn(join(own.folder, 'data'))).toEqual(found);
      expect(foundIn(folder)).toEqual(found);
    }, 120_000);
  }

  it('that was begun in clear goes on encrypted, and both parts are found, counted, exported and verified together', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const plain = await startReplica(url, folder);
    await plant(plain, 150);
    await plain.settle();
    await plain.stop();
    const log = await startReplica(url, folder, { encryption: keys });
    await plant(log, 150);
    for (const index of [false, true]) {
      if (index) await log.settle();
      else await log.shipped();
      const { subject, caller, policySet, attribute } = planted;
      for (const query of [{ subject }, { subject, caller }, { q: attribute.toLowerCase() }, {}]) {
        const { items } = await log.search({ ...query, limit: 1_000 });
        expect(new Set(items.map(({ id }) => id)).size).toBe(300);
        expect(items).toHaveLength(300);
      }
      expect((await log.stats({ by: ['caller', 'policySet'] })).items).toMatchObject([
        { caller, policySet, count: 300 },
      ]);
      expect((await log.stats({ caller })).total).toBe(300);
    }
    const database = openDatabase(url);
    const rows = await rowsOf(database);
    expect(rows.some(({ sealed }) => sealed === null)).toBe(true);
    const sealed = rows.filter((row) => row.sealed !== null);
    expect(sealed.length).toBeGreaterThan(0);
    expect(sealed.every(({ records, salts }) => records === '' && salts === null)).toBe(true);
    let exported = '';
    for await (const piece of log.export({ format: 'ndjson' })) exported += piece;
    expect(exported.trim().split('\n')).toHaveLength(300);
    await log.checkpoint();
    expect(await verified(url, log, first)).toMatchObject({ findings: [], depth: 'content', records: 300 });
    const [newest] = (await log.search({ limit: 1 })).items;
    expect((await log.find(newest!.id))?.id).toBe(newest!.id);
    expect(Buffer.from((await proveDecision(log, newest!.id)).salt ?? '', 'base64')).toHaveLength(16);
  }, 120_000);

  it('a replica whose keys are others, or that has none, does not start, and says which key it needs', async () => {
    const url = await server().createDatabase();
    const log = await startReplica(url, temporaryDirectory(), { encryption: keys });
    await plant(log, 10);
    await log.shipped();
    const needed = `the decision log in PostgreSQL is encrypted, and the key ${fingerprint} is needed to read it: VERDICT_ENCRYPTION_KEY`;
    for (const mode of ['sync', 'off'] as const) {
      const start = (encryption?: EncryptionKeys) =>
        startReplica(url, temporaryDirectory(), { mode, ...(encryption && { encryption }) });
      await expect(start(others)).rejects.toMatchObject({
        name: 'MissingEncryptionKey',
        message: `${needed} has ${others.fingerprints[0]}`,
      });
      await expect(start()).rejects.toMatchObject({ message: `${needed} is not set` });
    }
    const both = EncryptionKeys.of(`${newKeyText()},${first}`);
    const other = await startReplica(url, temporaryDirectory(), { encryption: both });
    expect((await other.search({ subject: planted.subject })).items).toHaveLength(10);
  }, 60_000);

  it('replicas that were started before go on in clear until they get the key, and do not answer of what they cannot read', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const before = await startReplica(url, folder);
    await plant(before, 10);
    await before.shipped();
    const log = await startReplica(url, temporaryDirectory(), { encryption: keys });
    await plant(log, 10);
    await log.shipped();
    await plant(before, 10);
    await before.shipped();
    const refused = {
      code: 'decision_log_unavailable',
      detail: `The decision log is encrypted, and the key ${fingerprint} is needed to read it.`,
    };
    await expect(before.search({})).rejects.toMatchObject(refused);
    await expect(before.search({ subject: planted.subject })).rejects.toMatchObject(refused);
    await expect(before.stats({ caller: planted.caller })).rejects.toMatchObject(refused);
    const { items } = await log.search({ limit: 1_000 });
    expect(items).toHaveLength(30);
    for (const { id } of items) expect((await log.find(id))?.id).toBe(id);
    const pieces = before.export({ format: 'ndjson' });
    await expect(pieces.next()).rejects.toMatchObject(refused);
    await before.stop();
    const again = await startReplica(url, folder, { encryption: keys });
    await plant(again, 10);
    await again.shipped();
    expect((await again.search({ limit: 1_000 })).items).toHaveLength(40);
    const rows = await rowsOf(openDatabase(url));
    expect(rows.filter(({ sealed }) => sealed === null).reduce((sum, { count }) => sum + count, 0)).toBe(20);
  }, 60_000);

  it('a replica that starts while PostgreSQL is away ships nothing to a log that it has no key for', async () => {
    const own = await PostgresServer.start();
    onTestFinished(() => own.remove());
    const url = await own.createDatabase();
    const log = await startReplica(url, temporaryDirectory(), { encryption: keys });
    await plant(log, 5);
    await log.shipped();
    await log.stop();
    await own.stop();
    const folder = temporaryDirectory();
    const without = await startReplica(url, folder);
    await plant(without, 5);
    await own.resume();
    await expect.poll(() => without.status.problem, { timeout: 30_000 }).toContain(`the key ${fingerprint} is needed`);
    await without.stop();
    const again = await startReplica(url, folder, { encryption: keys });
    await again.shipped();
    expect((await again.search({})).items).toHaveLength(10);
    const rows = await rowsOf(openDatabase(url));
    expect(rows.every(({ sealed }) => sealed !== null)).toBe(true);
  }, 90_000);

  it('verifies its structure without the key, and says so; with it each changed bit of a text is found', async () => {
    const url = await server().createDatabase();
    const log = await startReplica(url, temporaryDirectory(), { encryption: keys });
    for (let i = 0; i < 3; i++) {
      await plant(log, 10);
      await log.shipped();
    }
    await log.checkpoint();
    const remarks: string[] = [];
    expect(await verified(url, log, undefined, remarks)).toMatchObject({ findings: [], depth: 'structure' });
    expect(remarks).toEqual([expect.stringContaining(`the key ${fingerprint} is needed`)]);
    expect(await verified(url, log, first)).toMatchObject({ findings: [], depth: 'content', records: 30 });
    const database = openDatabase(url);
    const table = database.table('decision_group');
    const [row, next] = (await rowsOf(database)).slice(1);
    const set = (sealed: Buffer) =>
      database.write(`UPDATE ${table} SET sealed = $1 WHERE first = $2`, [sealed, row!.first]);
    for (let i = 0; i < 16; i++) {
      const changed = Buffer.from(row!.sealed!);
      const bit = i < 4 ? i * 29 : Math.floor(Math.random() * changed.length * 8);
      changed[bit >>> 3]! ^= 1 << (bit & 7);
      await set(changed);
      const { findings } = await verified(url, log, first);
      expect(findings[0], `bit ${bit}`).toMatchObject({ kind: 'wrong', sequence: row!.first });
    }
    // The text of another row, which the key opens, is at home there alone.
    await set(next!.sealed!);
    expect((await verified(url, log, first)).findings[0]).toMatchObject({ sequence: row!.first });
    const { items, gaps } = await log.search({ limit: 1_000 });
    expect(items).toHaveLength(30 - row!.count);
    expect(gaps?.reduce((sum, { lost }) => sum + (lost ?? 0), 0)).toBe(row!.count);
    await set(row!.sealed!);
    expect((await verified(url, log, first)).findings).toEqual([]);
    // A key that was changed opens nothing, and what it encrypts is named.
    await database.write(
      `UPDATE ${database.table('decision_data_key')} SET wrapped = set_byte(wrapped, 40, get_byte(wrapped, 40) # 1) WHERE use = 'text'`,
    );
    const { findings } = await verified(url, log, first);
    expect(findings[0]).toMatchObject({ kind: 'wrong', sequence: 1 });
  }, 120_000);

  it('a person is erased from it, it verifies afterwards, and no nonce is used twice', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const plain = await startReplica(url, folder);
    await plant(plain, 20);
    await plain.settle();
    await plain.stop();
    const log = await startReplica(url, folder, { encryption: keys });
    await plant(log, 20);
    const bystanders = Array.from({ length: 20 }, (_, i) =>
      exampleRecord(log, { subject: `s${i}`, caller: i % 2 === 0 ? planted.subject : 'billing', now: Date.now() }),
    );
    await Promise.all(bystanders.map((record) => log.append(record)));
    await log.settle();
    const database = openDatabase(url);
    const nonces = async () =>
      (await rowsOf(database)).flatMap(({ sealed }) => (sealed === null ? [] : [sealed.toString('hex', 0, 12)]));
    const before = await nonces();
    const erasures = new Erasures({
      orders: log.orders,
      log,
      holds: noHolds,
      latestMs: 300,
      lookMs: 50,
      onProblem: (what, error) => {
        throw new Error(what, { cause: error });
      },
    });
    erasures.start();
    onTestFinished(() => erasures.stop());
    const draft = await erasures.draft('subject', planted.subject, 'a request of the person', 'ann');
    await erasures.commit(draft);
    await expect
      .poll(async () => (await erasures.find(draft.id)).state, { timeout: 60_000, interval: 100 })
      .toBe('finished');
    await log.checkpoint();
    await log.settle();
    expect((await log.search({ subject: planted.subject })).items).toEqual([]);
    expect((await log.search({ subject: erasedValue, limit: 1_000 })).items).toHaveLength(40);
    const { items } = await log.stats({ by: ['caller'] });
    expect(items.map(({ caller }) => caller).sort()).toEqual(['[erased]', 'billing', planted.caller]);
    const report = await verified(url, log, first);
    expect(report).toMatchObject({ findings: [], depth: 'content' });
    expect(report.erasures).toEqual([expect.objectContaining({ id: draft.id, records: 50 })]);
    const after = await nonces();
    expect(after).toHaveLength(before.length);
    expect(new Set([...before, ...after]).size).toBe(before.length + after.length);
    expect((await rowsOf(database)).filter(({ records }) => records.includes(planted.subject))).toEqual([]);
    expect(foundIn(folder)).not.toContain(planted.subject);
  }, 120_000);

  it('rows whose key is not there keep no other from being erased from, and are erased when it is', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const one = await startReplica(url, temporaryDirectory(), { encryption: keys });
    await plant(one, 20);
    await one.stop();
    const both = await startReplica(url, folder, { encryption: EncryptionKeys.of(`${second},${first}`) });
    await plant(both, 10);
    await both.stop();
    const database = openDatabase(url);
    const table = database.table('decision_data_key');
    const [text] = await database.query<{ id: number; wrapped: Buffer }>(
      `SELECT id, wrapped FROM ${table} WHERE use = 'text' ORDER BY id LIMIT 1`,
    );
    const set = (wrapped: Buffer) =>
      database.write(`UPDATE ${table} SET wrapped = $2 WHERE id = $1`, [text!.id, wrapped]);
    await rewrapSharedLog(database, EncryptionKeys.of(`${second},${first}`));
    const [{ wrapped: anew }] = (await database.query<{ wrapped: Buffer }>(
      `SELECT wrapped FROM ${table} WHERE id = $1`,
      [text!.id],
    )) as [{ wrapped: Buffer }];
    await set(text!.wrapped);

    const log = await startReplica(url, folder, { encryption: EncryptionKeys.of(second) });
    const problems: unknown[] = [];
    const erasures = new Erasures({
      orders: log.orders,
      log,
      holds: noHolds,
      latestMs: 300,
      lookMs: 50,
      onProblem: (_, error) => problems.push(error),
    });
    erasures.start();
    onTestFinished(() => erasures.stop());
    const draft = await erasures.draft('subject', planted.subject, 'a request of the person', 'ann');
    await erasures.commit(draft);
    await expect.poll(() => problems, { timeout: 30_000 }).toHaveLength(1);
    expect(problems[0]).toMatchObject({ name: 'MissingEncryptionKey', fingerprint });
    // A pass reads all of the log: it is not begun at each look.
    const passes = vi.spyOn(log, 'erase');
    await delay(2_000);
    expect(passes.mock.calls.length).toBeLessThan(10);
    expect(await erasures.find(draft.id)).toMatchObject({
      state: 'running',
      records: { about: 10, unreadable: 20 },
    });
    await set(anew);
    await expect
      .poll(async () => (await erasures.find(draft.id)).state, { timeout: 30_000, interval: 100 })
      .toBe('finished');
    expect((await erasures.find(draft.id)).records).toMatchObject({ about: 30, unreadable: 0 });
    expect((await log.search({ subject: erasedValue })).items).toHaveLength(30);
    expect((await log.search({ subject: planted.subject })).items).toEqual([]);
    await log.checkpoint();
    expect(await verified(url, log, second)).toMatchObject({ findings: [], depth: 'content', records: 30 });
  }, 90_000);

  it('the keys of a day go with the day, and shipping goes on under others', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const dayMs = 86_400_000;
    const before = await startReplica(url, folder, { encryption: keys });
    const old = Array.from({ length: 10 }, () => exampleRecord(before, { now: Date.now() - 9 * dayMs }));
    await Promise.all(old.map((record) => before.append(record)));
    await plant(before, 10);
    await before.settle();
    await before.stop();
    const database = openDatabase(url);
    const daysOfKeys = async () =>
      (
        await database.query<{ age: number }>(
          `SELECT (now() AT TIME ZONE 'UTC')::date - day AS age FROM ${database.table('decision_data_key')}
           WHERE use = 'text' ORDER BY 1`,
        )
      ).map(({ age }) => age);
    expect((await daysOfKeys()).at(-1)).toBeGreaterThanOrEqual(9);
    const log = await startReplica(url, folder, { encryption: keys, retention: { maxAgeMs: 3 * dayMs } });
    await plant(log, 10);
    await log.shipped();
    await log.prune(Date.now());
    expect((await daysOfKeys()).every((age) => age <= 1)).toBe(true);
    await plant(log, 10);
    await log.shipped();
    expect((await log.search({ limit: 1_000 })).items).toHaveLength(30);
    await log.checkpoint();
    expect(await verified(url, log, first)).toMatchObject({ findings: [], depth: 'content', records: 30 });
  }, 60_000);

  it('is taken over from an SQLite log with the key, encrypted, and refuses it without', async () => {
    const { importLog } = await import('../../../src/cli/sources/database.js');
    const { startLog } = await import('../temporary-log.js');
    const directory = temporaryDirectory();
    const source = await startLog(directory, { encryption: keys });
    const records = Array.from({ length: 30 }, () => exampleRecord(source, { subject: planted.subject }));
    await Promise.all(records.map((record) => source.append(record)));
    await source.stop();
    const url = await server().createDatabase();
    const from = join(directory, 'verdict.sqlite');
    const options = { from, to: url, progress: () => undefined, remark: () => undefined };
    process.env.VERDICT_ENCRYPTION_KEY = `${second},${first}`;
    onTestFinished(() => {
      delete process.env.VERDICT_ENCRYPTION_KEY;
    });
    await importLog(options);
    const rows = await rowsOf(openDatabase(url));
    expect(rows.every(({ sealed }) => sealed !== null)).toBe(true);
    const reader = await startReplica(url, temporaryDirectory(), {
      mode: 'off',
      encryption: EncryptionKeys.of(second),
    });
    expect((await reader.search({ subject: planted.subject, limit: 1_000 })).items).toHaveLength(30);
    process.env.VERDICT_ENCRYPTION_KEY = first;
    await expect(importLog(options)).rejects.toMatchObject({ name: 'MissingEncryptionKey' });
  }, 60_000);

  it('keeps records of a day that a hold by policy set is about, and the key that it takes', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const dayMs = 86_400_000;
    const holds: HoldGuard = {
      inForce: async () => [holdOn('invoices')],
      guard: (remove) => remove([holdOn('invoices')]),
    };
    const options = { encryption: keys, holds, retention: { maxAgeMs: 2 * dayMs } };
    const log = await startReplica(url, folder, options);
    for (const [policySet, age] of [
      ['invoices', 10],
      ['orders', 20],
    ] as const) {
      const old = Array.from({ length: 3 }, () => exampleRecord(log, { policySet, now: Date.now() - age * dayMs }));
      await Promise.all(old.map((record) => log.append(record)));
    }
    await log.settle();
    await log.prune(Date.now());
    expect((await log.search({})).items.map(({ policySet }) => policySet)).toEqual([
      'invoices',
      'invoices',
      'invoices',
    ]);
    await log.append(exampleRecord(log, { now: Date.now() }));
    await log.shipped();
    await log.checkpoint();
    expect(await verified(url, log, first)).toMatchObject({ findings: [], depth: 'content', records: 4 });
  }, 60_000);

  it('makes no other key where the one that finds records was taken away, and nobody ships in clear', async () => {
    const url = await server().createDatabase();
    const log = await startReplica(url, temporaryDirectory(), { encryption: keys });
    await plant(log, 5);
    await log.settle();
    await log.checkpoint();
    const database = openDatabase(url);
    const table = database.table('decision_data_key');
    const [row] = await database.query<{ wrapped: Buffer }>(`SELECT wrapped FROM ${table} WHERE use = 'index'`);
    await server().query(`DELETE FROM ${table} WHERE use = 'index'`, url);
    await expect(log.search({ subject: planted.subject })).rejects.toMatchObject({ code: 'decision_log_unavailable' });
    for (const encryption of [keys, undefined])
      await expect(startReplica(url, temporaryDirectory(), { encryption })).rejects.toThrow('put the row of');
    expect((await verified(url, log, first)).findings).toMatchObject([{ kind: 'missing', place: 'decision_data_key' }]);
    await database.write(`INSERT INTO ${table} (use, wrapped) VALUES ('index', $1)`, [row!.wrapped]);
    expect((await log.search({ subject: planted.subject })).items).toHaveLength(5);
    expect((await verified(url, log, first)).findings).toEqual([]);
  }, 60_000);

  it('reads under the keys that there are, where the database was put back under a replica that runs', async () => {
    const url = await server().createDatabase();
    const [a, b] = [
      await startReplica(url, temporaryDirectory(), { encryption: keys }),
      await startReplica(url, temporaryDirectory(), { encryption: keys }),
    ];
    await plant(a, 3);
    await a.settle();
    await plant(b, 3);
    await b.settle();
    for (const log of [a, b]) expect((await log.search({ subject: planted.subject })).items).toHaveLength(6);
    // As if the one had never been: its number and the other's are exchanged, with what they encrypt.
    const database = openDatabase(url);
    const [key, group] = [database.table('decision_data_key'), database.table('decision_group')];
    const ids = await database.query<{ id: number }>(`SELECT id FROM ${key} WHERE use = 'text' ORDER BY id`);
    const [one, two] = ids.map(({ id }) => id) as [number, number];
    await server().query(
      `UPDATE ${group} SET data_key = ${one + two} - data_key;
       UPDATE ${key} k SET writer = other.writer, day = other.day, wrapped = other.wrapped
       FROM ${key} other WHERE k.use = 'text' AND other.use = 'text' AND other.id <> k.id`,
      url,
    );
    for (const log of [a, b]) expect((await log.search({ subject: planted.subject })).items).toHaveLength(6);
  }, 60_000);
});
