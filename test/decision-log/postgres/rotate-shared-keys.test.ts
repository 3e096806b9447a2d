/** Keys of the shared log are rotated, and its rows encrypted anew, while replicas serve (docs/encryption.md). */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { rewrapSharedLog, rewriteSharedLog } from '../../../src/decision-log/postgres/rotate-shared-keys.js';
import { encodeKey } from '../../../src/decision-log/record-keys.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { startReplica } from './shared-home.js';

const [first, second] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
const oldKey = EncryptionKeys.of(first);
const newThenOld = EncryptionKeys.of(`${second},${first}`);
const newKey = EncryptionKeys.of(second);
const child = fileURLToPath(new URL('./rewrite-until-killed.mjs', import.meta.url));

const names = ['planted-ann', 'planted-bob', 'planted-billing'];

async function append(log: PostgresDecisionLog, count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, i) =>
    exampleRecord(log, { subject: names[i % 2]!, caller: names[2]!, now: Date.now() }),
  );
  await Promise.all(records.map((record) => log.append(record)));
}

async function verified(url: string, log: PostgresDecisionLog, key: string) {
  process.env.VERDICT_ENCRYPTION_KEY = key;
  try {
    return await verifyLog({ database: url, keys: await log.proofs.keys(), against: [], depth: 'content' });
  } finally {
    delete process.env.VERDICT_ENCRYPTION_KEY;
  }
}

interface KeyRow {
  readonly id: number;
  readonly use: string;
  readonly retired: boolean;
  readonly fingerprint: string;
}

const keysIn = (database: PostgresDatabase) =>
  database.query<KeyRow>(
    `SELECT id, use, retired, encode(substr(wrapped, 2, 8), 'hex') AS fingerprint
     FROM ${database.table('decision_data_key')} ORDER BY id`,
  );

const rowsIn = (database: PostgresDatabase) =>
  database.query<{ data_key: number | null; sealed: Buffer | null; records: string }>(
    `SELECT data_key, sealed, records FROM ${database.table('decision_group')} ORDER BY writer, first`,
  );

/** The tables in which a row, as it is read, has one of the names. */
async function tablesWithNames(database: PostgresDatabase): Promise<string[]> {
  const tables = await database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = $1 AND tablename ~ '^(decision|key|tally)_' ORDER BY 1`,
    [database.schema],
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await database.query(
      `SELECT FROM ${database.table(name)} r WHERE r::text ~ ANY ($1::text[]) LIMIT 1`,
      [names.flatMap((each) => [each, Buffer.from(each).toString('hex')])],
    );
    if (rows.length > 0) found.push(name);
  }
  return found;
}

/** Where a key of one of the names stands as it is without masks: who knows a name could look for it. */
async function tablesWithKeys(database: PostgresDatabase): Promise<string[]> {
  const keys = names.flatMap((name) => [encodeKey('subject', name), encodeKey('caller', name)]);
  const found: string[] = [];
  for (const [name, column] of [
    ['decision_group', 'keys'],
    ['key_page', 'entries'],
  ] as const) {
    const conditions = keys.map((_, i) => `position($${i + 1}::bytea IN ${column}) > 0`).join(' OR ');
    const rows = await database.query(`SELECT FROM ${database.table(name)} WHERE ${conditions} LIMIT 1`, keys);
    if (rows.length > 0) found.push(name);
  }
  return found;
}

/** What a log answers, for comparison. */
async function answers(log: PostgresDecisionLog) {
  const { items } = await log.search({ limit: 1_000 });
  return {
    ids: items.map(({ id }) => id),
    ofAnn: (await log.search({ subject: names[0]!, caller: names[2]!, limit: 1_000 })).items.length,
    ofNobody: (await log.search({ subject: 'nobody' })).items.length,
    counts: (await log.stats({ by: ['caller', 'policySet', 'decision'], bucket: 'day' })).items,
    ofBilling: (await log.stats({ caller: names[2]! })).total,
    inSet: (await log.stats({}, { policySets: ['invoices'] })).total,
  };
}

describe.skipIf(!hasPostgres)('the keys of an encrypted log that replicas share', () => {
  const server = postgresForTests();

  it('are wrapped anew while replicas ship and are asked, and then the old key can be left out', async () => {
    const url = await server().createDatabase();
    const folders = [temporaryDirectory(), temporaryDirectory()] as const;
    const before = await startReplica(url, folders[0], { encryption: oldKey });
    await append(before, 60);
    await before.settle();
    await before.stop();
    const logs = await Promise.all([
      startReplica(url, folders[0], { encryption: newThenOld }),
      startReplica(url, folders[1], { encryption: newThenOld }),
    ]);
    const [log, other] = logs;
    let isOver = false;
    let decided = 60;
    const deciding = logs.map(async (each) => {
      while (!isOver) {
        await append(each, 5);
        decided += 5;
        expect((await each.search({ subject: names[0]!, limit: 3 })).items).toHaveLength(3);
      }
    });
    await expect.poll(() => decided, { timeout: 20_000 }).toBeGreaterThan(100);
    const database = openDatabase(url);
    const total = (await keysIn(database)).length;
    const rotated = await rewrapSharedLog(database, newThenOld);
    expect(rotated.failed).toEqual([]);
    expect(rotated.changed + rotated.current).toBeGreaterThanOrEqual(total);
    expect(rotated.changed).toBeGreaterThan(0);
    const then = decided;
    await expect.poll(() => decided, { timeout: 20_000 }).toBeGreaterThan(then + 50);
    isOver = true;
    await Promise.all(deciding);
    await Promise.all(logs.map((each) => each.shipped()));
    expect((await keysIn(database)).every(({ fingerprint }) => fingerprint === newKey.fingerprints[0])).toBe(true);
    expect(await rewrapSharedLog(database, newKey)).toMatchObject({ changed: 0, failed: [] });
    const [whole] = await Promise.all([log!.search({ limit: 1_000 }), other!.checkpoint(), log!.checkpoint()]);
    expect(whole.items.length).toBe(Math.min(decided, 1_000));
    await Promise.all(logs.map((each) => each.stop()));
    const reader = await startReplica(url, temporaryDirectory(), { mode: 'off', encryption: newKey });
    expect((await reader.stats({})).total).toBe(decided);
    expect((await reader.search({ limit: 1_000 })).items).toHaveLength(Math.min(decided, 1_000));
    expect(await verified(url, log!, second)).toMatchObject({ findings: [], depth: 'content', records: decided });
    const failed = await rewrapSharedLog(database, EncryptionKeys.of(randomBytes(32).toString('base64')));
    expect(failed).toMatchObject({ changed: 0, current: 0 });
    expect(failed.failed[0]).toContain(`the key ${newKey.fingerprints[0]} is needed to read it`);
  }, 120_000);

  it('with --rewrite all rows, pages and names are encrypted anew while a replica ships, also those from before there was a key', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const plain = await startReplica(url, folder);
    for (let i = 0; i < 3; i++) {
      await append(plain, 60);
      await plain.settle();
    }
    await plain.stop();
    const old = await startReplica(url, folder, { encryption: oldKey });
    await append(old, 60);
    await old.settle();
    await append(old, 60);
    await old.stop();
    const database = openDatabase(url);
    const keysBefore = await keysIn(database);
    const rowsBefore = await rowsIn(database);
    expect(await tablesWithNames(database)).toEqual(expect.arrayContaining(['decision_group', 'tally_name']));
    expect(await tablesWithKeys(database)).toEqual(['decision_group', 'key_page']);
    const log = await startReplica(url, folder, { encryption: newThenOld });
    const before = await answers(log);
    let isOver = false;
    let decided = 0;
    const deciding = (async () => {
      while (!isOver) {
        await append(log, 5);
        decided += 5;
        expect((await log.search({ subject: names[1]!, limit: 3 })).items).toHaveLength(3);
      }
    })();
    await expect.poll(() => decided, { timeout: 20_000 }).toBeGreaterThan(10);
    const rewritten = await rewriteSharedLog(database, newThenOld);
    expect(rewritten.records).toBeGreaterThanOrEqual(300);
    expect(rewritten.undecryptable).toBe(0);
    const then = decided;
    await expect.poll(() => decided, { timeout: 20_000 }).toBeGreaterThan(then + 20);
    isOver = true;
    await deciding;
    await log.shipped();

    const keysAfter = await keysIn(database);
    expect(keysAfter.every(({ retired, fingerprint }) => !retired && fingerprint === newKey.fingerprints[0])).toBe(
      true,
    );
    const kept = keysAfter.map(({ id }) => id);
    expect(keysBefore.filter(({ use, id }) => use === 'text' && kept.includes(id))).toEqual([]);
    const rowsAfter = await rowsIn(database);
    expect(rowsAfter.every(({ records, sealed }) => records === '' && sealed !== null)).toBe(true);
    const nonces = [...rowsBefore, ...rowsAfter].flatMap(({ sealed }) => sealed?.toString('hex', 0, 12) ?? []);
    expect(new Set(nonces).size).toBe(nonces.length);
    expect(await tablesWithNames(database)).toEqual([]);
    expect(await tablesWithKeys(database)).toEqual([]);
    const after = await answers(log);
    expect(after.ids.slice(-before.ids.length)).toEqual(before.ids);
    expect(after.ids).toHaveLength(300 + decided);
    expect(after.ofAnn).toBeGreaterThanOrEqual(before.ofAnn + Math.floor(decided / 2));
    expect(after.ofNobody).toBe(0);
    expect(after.counts).toMatchObject([{ caller: names[2], policySet: 'invoices', count: 300 + decided }]);
    expect([after.ofBilling, after.inSet]).toEqual([300 + decided, 300 + decided]);
    // By pages alone, and by the keys of rows.
    await log.settle();
    expect((await answers(log)).ofAnn).toBe(after.ofAnn);
    await log.checkpoint();
    expect(await verified(url, log, second)).toMatchObject({ findings: [], depth: 'content', records: 300 + decided });

    // A row that was changed stays as it is, with its key, and no later run is kept from beginning anew.
    await database.write(
      `UPDATE ${database.table('decision_group')} SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1)
       WHERE (writer, first) = (SELECT writer, first FROM ${database.table('decision_group')} ORDER BY 1, 2 LIMIT 1)`,
    );
    for (let i = 0; i < 2; i++) {
      const ids = (await keysIn(database)).filter(({ use }) => use === 'text').map(({ id }) => id);
      const again = await rewriteSharedLog(database, newKey);
      expect(again.undecryptable).toBeGreaterThan(0);
      expect(again.records).toBe(300 + decided - again.undecryptable);
      const made = (await keysIn(database)).filter(({ use, id }) => use === 'text' && !ids.includes(id));
      expect(made.length).toBeGreaterThan(0);
    }
    await expect(rewriteSharedLog(database, oldKey)).rejects.toMatchObject({ name: 'MissingEncryptionKey' });
  }, 180_000);

  it('a rewrite leaves no key from before, whatever an earlier one that was killed had come to, and whoever begins meanwhile', async () => {
    const url = await server().createDatabase();
    const log = await startReplica(url, temporaryDirectory(), { encryption: oldKey });
    await append(log, 20);
    await log.shipped();
    const database = openDatabase(url);
    const [keys, writers] = ['decision_data_key', 'decision_writer'].map((name) => database.table(name));
    // So far a run had come that was killed.
    await server().query(
      `UPDATE ${writers} SET key_epoch = key_epoch + 1; UPDATE ${keys} SET retired = true WHERE use = 'text'`,
      url,
    );
    await append(log, 20);
    await log.shipped();
    const before = (await keysIn(database)).filter(({ use }) => use === 'text').map(({ id }) => id);
    expect(before).toHaveLength(2);
    // A batch is under way, for which the rewrite waits, while another replica begins.
    let end!: () => void;
    const batch = database.transaction(async (client) => {
      await client.query(`UPDATE ${writers} SET beat = now()`);
      await new Promise<void>((resolve) => {
        end = resolve;
      });
    });
    const rewriting = rewriteSharedLog(database, newThenOld);
    await delay(200);
    const beginning = startReplica(url, temporaryDirectory(), { encryption: newThenOld });
    await delay(200);
    end();
    await batch;
    const other = await beginning;
    await append(other, 20);
    await other.shipped();
    await rewriting;
    for (const each of [log, other]) await append(each, 5);
    for (const each of [log, other]) await each.shipped();
    const [used, there] = [await rowsIn(database), (await keysIn(database)).map(({ id }) => id)];
    expect(used.filter(({ data_key }) => data_key === null || before.includes(data_key))).toEqual([]);
    expect(used.filter(({ data_key }) => !there.includes(data_key!))).toEqual([]);
    expect((await other.search({ limit: 1_000 })).items).toHaveLength(70);
  }, 90_000);

  it('a rewrite that is killed at any time leaves a log that is whole, and the next one goes on with it', async () => {
    const url = await server().createDatabase();
    const folder = temporaryDirectory();
    const plain = await startReplica(url, folder);
    for (let i = 0; i < 12; i++) {
      await append(plain, 20);
      await plain.shipped();
    }
    await plain.settle();
    await plain.stop();
    const log = await startReplica(url, folder, { encryption: newKey });
    for (let i = 0; i < 12; i++) {
      await append(log, 20);
      await log.shipped();
    }
    await log.settle();
    await log.checkpoint();
    const before = await answers(log);
    const database = openDatabase(url);
    for (let kill = 0; kill < 6; kill++) {
      const rewriting = spawn(process.execPath, [child, url, second], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(rewriting.stdout, 'data');
      await delay(Math.random() * 400);
      rewriting.kill('SIGKILL');
      await once(rewriting, 'exit');
      expect(await answers(log)).toEqual(before);
      await append(log, 1);
      await log.shipped();
      Object.assign(before, await answers(log));
    }
    await rewriteSharedLog(database, newKey);
    expect(await answers(log)).toEqual(before);
    expect((await rowsIn(database)).every(({ sealed }) => sealed !== null)).toBe(true);
    expect((await keysIn(database)).some(({ retired }) => retired)).toBe(false);
    expect(await tablesWithNames(database)).toEqual([]);
    expect(await tablesWithKeys(database)).toEqual([]);
    await log.checkpoint();
    expect(await verified(url, log, second)).toMatchObject({ findings: [], depth: 'content', records: 486 });
  }, 180_000);
});
