/** Encryption at rest (docs/encryption.md): what is recorded with a key is in no file in clear, and is read with the key alone. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { proveDecision } from '../../../src/decision-log/proof/prove.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { journalAtRest } from '../../../src/decision-log/sqlite/journal-at-rest.js';
import { backUpJournal } from '../../../src/decision-log/sqlite/journal-backup.js';
import { closedFiles, closedPathOf, removeIndex } from '../../../src/decision-log/sqlite/log-files.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import type { StreamPosition } from '../../../src/decision-log/stream-position.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { describeDecisionLog } from '../decision-log-suite.js';
import { exampleRecord } from '../example-records.js';
import { countDown, everything, sequencesOf } from '../many-records.js';
import { sqliteHome, startLog, temporaryDirectory } from '../temporary-log.js';

const newKeyText = (): string => randomBytes(32).toString('base64');
const [first, second] = [newKeyText(), newKeyText()];
const keys = EncryptionKeys.of(first);
const both = EncryptionKeys.of(`${second},${first}`);
const others = EncryptionKeys.of(newKeyText());

describeDecisionLog('SQLite, encrypted', () => sqliteHome(temporaryDirectory(), keys));

const pathIn = (directory: string): string => join(directory, 'verdict.decisions.sqlite');
const databaseIn = (directory: string): string => join(directory, 'verdict.sqlite');
const journalsIn = (directory: string): string[] => {
  const path = pathIn(directory);
  return [...closedFiles(path).map((start) => closedPathOf(path, start)), path];
};

/** Names that stand in no program. */
const planted = {
  subject: 'Dana-Quillfeather',
  resource: 'ledger-of-Ozymandias',
  caller: 'payroll-of-Brobdingnag',
  policySet: 'expenses-of-Lilliput',
  requestId: 'request-Xanadu',
  attribute: 'salary-of-Rumpelstiltskin',
} as const;

async function plant(log: SqliteDecisionLog, count: number): Promise<void> {
  const { subject, resource, caller, policySet, requestId, attribute } = planted;
  const attributes = { [attribute]: attribute };
  const examples = Array.from({ length: count }, () => ({
    subject,
    resource,
    caller,
    policySet,
    requestId,
    attributes,
  }));
  await Promise.all(examples.map((example) => log.append(exampleRecord(log, example))));
}

/** Which of the planted names stand anywhere in the files of a folder. */
function foundIn(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const bytes = files.map((file) => join(directory, file)).map((path) => readFileSync(path, 'latin1'));
  return Object.values(planted).filter((name) => bytes.some((text) => text.includes(name)));
}

/** Counts, with names, of everything. */
const countsOf = async (log: Pick<SqliteDecisionLog, 'stats'>) =>
  (await log.stats({ by: ['policySet', 'caller', 'reason'], top: 'subject' })) as {
    readonly items: readonly { readonly count: number }[];
    readonly total: number;
    readonly top?: unknown;
  };

async function formatsOf(directory: string): Promise<number[]> {
  const formats: number[] = [];
  for (const path of journalsIn(directory)) {
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    const [row] = await connection.query<{ user_version: number }>('PRAGMA user_version');
    formats.push(row!.user_version);
    await connection.close();
  }
  return formats;
}

describe('an encrypted log', () => {
  for (const [name, encryption, found] of [
    ['with a key, no byte of the data folder says who, what or which attributes, while it runs and later', keys, []],
    ['without one they stand there, so the search above would find them', undefined, Object.values(planted)],
  ] as const) {
    it(name, async () => {
      const directory = temporaryDirectory();
      const log = await startLog(directory, { encryption, limits: { records: 150 } });
      for (let i = 0; i < 4; i++) await plant(log, 100);
      await plant(log, 1);
      await log.indexNow();
      expect((await log.search({ subject: planted.subject, caller: planted.caller, limit: 1_000 })).items).toHaveLength(
        401,
      );
      expect((await log.search({ q: planted.attribute.toLowerCase(), limit: 1_000 })).items).toHaveLength(401);
      const { items, total, top } = await countsOf(log);
      expect({ items, total, top }).toMatchObject({
        items: [{ policySet: planted.policySet, caller: planted.caller, reason: 'rule_allowed', count: 401 }],
        total: 401,
        top: { ids: [{ id: planted.subject, count: 401 }] },
      });
      expect((await log.stats({ caller: planted.caller, policySet: planted.policySet })).total).toBe(401);
      expect((await log.stats({}, { policySets: [planted.policySet] })).total).toBe(401);
      expect((await log.stats({ caller: 'nobody' })).total).toBe(0);
      expect(foundIn(directory)).toEqual(found);
      await log.stop();
      expect(foundIn(directory)).toEqual(found);
    });
  }

  it('is found without its index, and counted again when that is lost, with the same names', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: keys, limits: { records: 150 } });
    for (let i = 0; i < 4; i++) await plant(log, 100);
    await log.stop();
    for (const file of readdirSync(directory)) {
      if (/index/.test(file)) removeIndex(join(directory, file.replace(/\.index.*$/, '.decisions.sqlite')));
    }
    const again = await startLog(directory, { encryption: keys, limits: { records: 150 } });
    expect((await again.search({ subject: planted.subject, limit: 1_000 })).items).toHaveLength(400);
    await again.indexNow();
    expect((await countsOf(again)).total).toBe(400);
    expect(foundIn(directory)).toEqual([]);
    const reader = await DecisionLogReader.open(databaseIn(directory), keys);
    expect((await reader.search({ resource: planted.resource, limit: 1_000 })).items).toHaveLength(400);
    expect((await countsOf(reader as never)).items[0]?.count).toBe(400);
  });

  it('that was begun without a key goes on encrypted with the start that has one, and stays readable', async () => {
    const directory = temporaryDirectory();
    const plain = await startLog(directory);
    await plant(plain, 30);
    await plain.stop();
    expect(await formatsOf(directory)).toEqual([3]);
    const log = await startLog(directory, { encryption: keys });
    await plant(log, 20);
    expect((await log.search({ subject: planted.subject, limit: 1_000 })).items).toHaveLength(50);
    await log.indexNow();
    expect((await countsOf(log)).items).toMatchObject([{ count: 50 }]);
    await log.stop();
    expect(await formatsOf(directory)).toEqual([3, 4]);
    const { findings } = await verifyLog({
      database: directory,
      keys: log.publishedKeys,
      against: [],
      depth: 'structure',
    });
    expect(findings).toEqual([]);
  });

  it('that had no record yet is encrypted from its first one on', async () => {
    const directory = temporaryDirectory();
    await (await startLog(directory)).stop();
    const log = await startLog(directory, { encryption: keys });
    await plant(log, 3);
    await log.stop();
    expect(await formatsOf(directory)).toEqual([4]);
    expect(foundIn(directory)).toEqual([]);
  });

  it('does not start without the key or with another one, and says which it needs', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: keys });
    await plant(log, 3);
    await log.stop();
    const [fingerprint] = keys.fingerprints;
    const needed = `the key ${fingerprint} is needed to read it: VERDICT_ENCRYPTION_KEY`;
    await expect(startLog(directory)).rejects.toThrow(`${needed} is not set`);
    await expect(startLog(directory, { encryption: others })).rejects.toThrow(
      `${needed} has ${others.fingerprints[0]}`,
    );
    for (const encryption of [undefined, others]) {
      const reader = await DecisionLogReader.open(databaseIn(directory), encryption);
      await expect(reader.search({})).rejects.toThrow(needed);
    }
    expect((await startLog(directory, { encryption: both })).status.state).toBe('ok');
  });

  it('whose older key is lost goes on; a question that its files are about says which key it needs', async () => {
    const directory = temporaryDirectory();
    const old = await startLog(directory, { encryption: keys, limits: { records: 20 } });
    for (let i = 0; i < 3; i++) await plant(old, 15);
    await old.stop();
    const rotated = await startLog(directory, { encryption: both, limits: { records: 20 } });
    for (let i = 0; i < 3; i++) await plant(rotated, 15);
    expect((await rotated.search({ limit: 1_000 })).items).toHaveLength(90);
    await rotated.stop();
    const log = await startLog(directory, { encryption: EncryptionKeys.of(second), limits: { records: 20 } });
    await plant(log, 5);
    expect((await log.search({ limit: 5 })).items).toHaveLength(5);
    await expect(log.search({ limit: 1_000 })).rejects.toMatchObject({
      code: 'decision_log_unavailable',
      detail: expect.stringContaining(`the key ${keys.fingerprints[0]} is needed`),
    });
  });

  it('never uses a nonce twice with a key, and no two files have a key in common', async () => {
    const directory = temporaryDirectory();
    const nonces: string[] = [];
    const wrapped: string[] = [];
    let groups = 0;
    for (let round = 0; round < 6; round++) {
      const encryption = EncryptionKeys.of(round % 2 === 0 ? `${first} ${second}` : `${second}\n${first}`);
      const log = await startLog(directory, { encryption, limits: { records: 200 } });
      const sizes = Array.from({ length: 12 }, () => 1 + Math.floor(Math.random() * 90));
      for (const size of sizes) await plant(log, size);
      await log.stop();
    }
    for (const path of journalsIn(directory)) {
      const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
      const rows = await connection.query<{ nonce: string }>(
        'SELECT hex(substr(records, 1, 12)) AS nonce FROM journal',
      );
      nonces.push(...rows.map(({ nonce }) => nonce));
      groups += rows.length;
      const [key] = await connection.query<{ wrapped: string }>(
        "SELECT hex(wrapped) AS wrapped FROM data_key WHERE use = 'text'",
      );
      wrapped.push(key!.wrapped);
      await connection.close();
    }
    expect(groups).toBeGreaterThan(30);
    expect(new Set(nonces).size).toBe(nonces.length);
    expect(new Set(wrapped).size).toBe(journalsIn(directory).length);
  });

  it('loses nothing that was acknowledged with kill -9, also where that met the first start with a key', async () => {
    const directory = temporaryDirectory();
    const acknowledged: string[] = [];
    for (const [i, key] of ['', first, first, first].entries()) {
      const script = join(import.meta.dirname, 'full-speed-writer.mjs');
      // Files end often, so that a kill may meet a turn.
      const limits = JSON.stringify({ records: 300 });
      const writer = spawn(process.execPath, [script, databaseIn(directory), 'sync', '64', limits, key], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const after = (50 + Math.floor(Math.random() * 2_000) * i) * 37;
      let output = '';
      writer.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString('latin1');
        if (output.length > after) writer.kill('SIGKILL');
      });
      const [, signal] = await once(writer, 'close');
      expect(signal).toBe('SIGKILL');
      acknowledged.push(...output.split('\n').slice(0, -1));
    }
    const log = await startLog(directory, { encryption: keys });
    const records = await everything(log);
    const stored = new Set(records.map(({ id }) => id));
    expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
    expect(sequencesOf(records)).toEqual(countDown(records.length));
    await log.stop();
    expect(await verifiedWith(first, directory, log)).toMatchObject({ found: 0, depth: 'content' });
    expect(new Set((await formatsOf(directory)).slice(-1))).toEqual(new Set([4]));
  });

  it('proves its records, and a copy of it is read with the key', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: keys, limits: { records: 30 } });
    for (let i = 0; i < 4; i++) await plant(log, 20);
    await log.checkpoint();
    const { items } = await log.search({ limit: 1_000 });
    for (const { id } of [items[0]!, items[70]!]) {
      const proof = await proveDecision(log, id);
      expect(Buffer.from(proof.salt ?? '', 'base64')).toHaveLength(16);
    }
    const copy = temporaryDirectory();
    await backUpJournal(pathIn(directory), copy);
    expect(foundIn(copy)).toEqual([]);
    const reader = await DecisionLogReader.open(databaseIn(copy), keys);
    onTestFinished(() => reader.close());
    expect((await reader.search({ limit: 1_000 })).items.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
    const report = await verifiedWith(first, copy, log);
    expect(report).toMatchObject({ found: 0, depth: 'content', records: 80 });
  });

  it('verifies its structure without the key, and says so; with it each changed bit of a text is found', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: keys, limits: { records: 30 } });
    for (let i = 0; i < 4; i++) await plant(log, 10);
    await log.stop();
    const remarks: string[] = [];
    const report = await verifiedWith(undefined, directory, log, remarks);
    expect(report).toMatchObject({ found: 0, depth: 'structure', records: 40 });
    expect(remarks).toEqual([expect.stringContaining(`the key ${keys.fingerprints[0]} is needed`)]);
    expect(await verifiedWith(first, directory, log)).toMatchObject({ found: 0, depth: 'content' });

    const [path] = journalsIn(directory) as [string];
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000, wal: false });
    const [row] = await connection.query<{ first: number; count: number; records: Buffer }>(
      'SELECT first, count, records FROM journal ORDER BY first LIMIT 1 OFFSET 1',
    );
    for (let i = 0; i < 24; i++) {
      const changed = Buffer.from(row!.records);
      const bit = i < 8 ? i * 29 : Math.floor(Math.random() * changed.length * 8);
      changed[bit >>> 3]! ^= 1 << (bit & 7);
      await connection.query('UPDATE journal SET records = ? WHERE first = ?', [changed, row!.first]);
      const { findings } = await verifiedWith(first, directory, log);
      expect(findings[0], `bit ${bit}`).toMatchObject({ kind: 'wrong', sequence: row!.first });
    }
    // The text of another group, which the key opens, is at home there alone.
    await connection.query(
      'UPDATE journal SET records = (SELECT records FROM journal ORDER BY first LIMIT 1) WHERE first = ?',
      [row!.first],
    );
    expect((await verifiedWith(first, directory, log)).findings[0]).toMatchObject({ sequence: row!.first });
    await connection.close();
    const reader = await DecisionLogReader.open(databaseIn(directory), keys);
    const { items, gaps } = await reader.search({ limit: 1_000 });
    expect(items).toHaveLength(40 - row!.count);
    expect(gaps).toMatchObject(Array.from({ length: row!.count }, () => ({ cause: 'file_damaged', lost: 1 })));
    // What reads the journal in its order goes around it, too: an import, and a stream.
    const tail = await journalAtRest(databaseIn(directory), keys);
    const { missing, to } = await tail.read(0, 1_000);
    expect(to).toBe(40);
    expect(missing).toMatchObject([{ after: row!.first - 1, lost: row!.count, cause: 'file_damaged' }]);
    tail.close();
    const again = await startLog(directory, { encryption: keys });
    const fed: number[] = [];
    for (let position: StreamPosition = { log: (await again.feed.end()).log, writers: new Map() }; ; ) {
      const read = await again.feed.readOn(position);
      fed.push(...read.records.map(({ record }) => record.sequence));
      position = read.position;
      if (read.isEnd) break;
    }
    expect(fed).toEqual(items.map(({ sequence }) => sequence).reverse());
  });
});

async function verifiedWith(key: string | undefined, database: string, log: SqliteDecisionLog, remarks: string[] = []) {
  const before = process.env.VERDICT_ENCRYPTION_KEY;
  if (key !== undefined) process.env.VERDICT_ENCRYPTION_KEY = key;
  try {
    return await verifyLog({ database, keys: log.publishedKeys, against: [], depth: 'content' }, (what) =>
      remarks.push(what),
    );
  } finally {
    if (before === undefined) delete process.env.VERDICT_ENCRYPTION_KEY;
  }
}
