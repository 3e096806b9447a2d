/** Keys are rotated while decisions run; files are encrypted anew while nobody uses them (docs/encryption.md). */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { digestOfPerson, StandingOrders } from '../../../src/decision-log/erasure/standing-orders.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { closedFiles, closedPathOf, erasureDraftsOf } from '../../../src/decision-log/sqlite/log-files.js';
import { rewrapJournal, rewriteJournal } from '../../../src/decision-log/sqlite/rotate-keys.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { exampleRecord } from '../example-records.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const [first, second] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
const oldKeys = EncryptionKeys.of(first);
const bothKeys = EncryptionKeys.of(`${second} ${first}`);
const newKeys = EncryptionKeys.of(second);

const limits = { records: 40 };
const pathIn = (directory: string): string => join(directory, 'verdict.decisions.sqlite');
const databaseIn = (directory: string): string => join(directory, 'verdict.sqlite');
const closedIn = (directory: string): string[] => {
  const path = pathIn(directory);
  return closedFiles(path).map((start) => closedPathOf(path, start));
};
const named = (i: number) => ({ subject: `planted-${i % 3}`, caller: 'planted-caller' });
const isInClear = (directory: string): boolean =>
  readdirSync(directory).some((file) => readFileSync(join(directory, file), 'latin1').includes('planted-'));

async function verified(directory: string, log: SqliteDecisionLog, key: string) {
  process.env.VERDICT_ENCRYPTION_KEY = key;
  try {
    return await verifyLog({ database: directory, keys: log.publishedKeys, against: [], depth: 'content' });
  } finally {
    delete process.env.VERDICT_ENCRYPTION_KEY;
  }
}

async function wrappedIn(path: string): Promise<string[]> {
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
  const rows = await connection.query<{ wrapped: string }>('SELECT hex(wrapped) AS wrapped FROM data_key ORDER BY use');
  await connection.close();
  return rows.map(({ wrapped }) => wrapped);
}

describe('the keys of an encrypted log', () => {
  it('are wrapped anew while decisions run and are read, and then the old key can be left out', async () => {
    const directory = temporaryDirectory();
    const old = await startLog(directory, { encryption: oldKeys, limits });
    await append(old, 150, named);
    await old.stop();
    const log = await startLog(directory, { encryption: bothKeys, limits });
    let isOver = false;
    let decided = 150;
    const deciding = (async () => {
      while (!isOver) {
        await append(log, 10, named);
        decided += 10;
        expect((await log.search({ subject: 'planted-1', limit: 1_000 })).items.length).toBeGreaterThan(0);
      }
    })();
    const files = closedIn(directory).length;
    const { changed, failed, plain } = await rewrapJournal(pathIn(directory), bothKeys);
    isOver = true;
    await deciding;
    expect({ failed, plain }).toEqual({ failed: [], plain: [] });
    expect(changed.length).toBeGreaterThanOrEqual(files);
    await log.stop();
    expect(await rewrapJournal(pathIn(directory), newKeys)).toMatchObject({ changed: [], failed: [] });
    const again = await startLog(directory, { encryption: newKeys, limits });
    expect(sequencesOf(await everything(again))).toEqual(countDown(decided));
    await again.stop();
    expect(await verified(directory, again, second)).toMatchObject({ found: 0, depth: 'content', records: decided });
  });

  it('stay as they are where one is not there, which is named', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: oldKeys, limits });
    await append(log, 90, named);
    await log.stop();
    const files = [...closedIn(directory), pathIn(directory)];
    const before = await Promise.all(files.map(wrappedIn));
    const { changed, failed } = await rewrapJournal(pathIn(directory), newKeys);
    expect(changed).toEqual([]);
    expect(failed.map(({ path }) => path)).toEqual(files);
    for (const { why } of failed) expect(why).toContain(`the key ${oldKeys.fingerprints[0]} is needed`);
    expect(await Promise.all(files.map(wrappedIn))).toEqual(before);
    await expect(rewriteJournal(pathIn(directory), newKeys)).rejects.toThrow(
      `the key ${oldKeys.fingerprints[0]} is needed`,
    );
  });

  it('encrypt anew, each file under another data key, also what was written in clear; nothing is lost or found wrong', async () => {
    const directory = temporaryDirectory();
    const plain = await startLog(directory, { limits });
    await append(plain, 100, named);
    await plain.indexNow();
    await plain.stop();
    expect(isInClear(directory)).toBe(true);
    const old = await startLog(directory, { encryption: oldKeys, limits });
    await append(old, 100, named);
    await old.checkpoint();
    await old.indexNow();
    await old.stop();
    // What a crash of a rewrite leaves.
    const { work, made } = erasureDraftsOf(closedIn(directory)[1]!);
    for (const draft of [work, made]) writeFileSync(draft, 'planted-draft');
    const { changed, failed, plain: left } = await rewriteJournal(pathIn(directory), bothKeys);
    expect({ failed, left }).toEqual({ failed: [], left: [] });
    expect(changed).toEqual(closedIn(directory));
    for (const draft of [work, made]) expect(existsSync(draft)).toBe(false);
    expect(isInClear(directory)).toBe(false);
    const wrapped = await Promise.all(closedIn(directory).map(wrappedIn));
    expect(new Set(wrapped.flat()).size).toBe(2 * wrapped.length);

    const log = await startLog(directory, { encryption: newKeys, limits });
    await append(log, 10, named);
    const indexed = async () => {
      expect(sequencesOf(await everything(log))).toEqual(countDown(210));
      expect(await everything(log, { subject: 'planted-1' })).toHaveLength(69);
      expect(await everything(log, { caller: 'planted-caller', subject: 'planted-0' })).toHaveLength(72);
      expect((await log.stats({ by: ['caller'] })).items).toEqual([{ caller: 'planted-caller', count: 210 }]);
    };
    await indexed();
    await log.indexNow();
    await indexed();
    expect(isInClear(directory)).toBe(false);
    await log.stop();
    const report = await verified(directory, log, second);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ depth: 'content', records: 210, unproved: 0 });
    const reader = await DecisionLogReader.open(databaseIn(directory), oldKeys);
    await expect(reader.search({ limit: 1_000 })).rejects.toThrow(`the key ${newKeys.fingerprints[0]} is needed`);
  });

  it('kill -9 at any moment of a rewrite leaves every record where it is found and proved, and the next one ends it', async () => {
    const directory = temporaryDirectory();
    const plain = await startLog(directory, { limits });
    await append(plain, 120, named);
    await plain.indexNow();
    await plain.stop();
    for (let i = 0; i < 6; i++) {
      const script = join(import.meta.dirname, 'rewrite-until-killed.mjs');
      const writer = spawn(process.execPath, [script, pathIn(directory), `${second},${first}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(writer.stdout, 'data');
      await delay(Math.random() * 400);
      writer.kill('SIGKILL');
      const [, signal] = await once(writer, 'close');
      expect(signal).toBe('SIGKILL');
      const reader = await DecisionLogReader.open(databaseIn(directory), bothKeys);
      expect(sequencesOf((await reader.search({ limit: 1_000 })).items)).toEqual(countDown(120));
    }
    expect(await rewriteJournal(pathIn(directory), bothKeys)).toMatchObject({ failed: [], plain: [] });
    expect(isInClear(directory)).toBe(false);
    const log = await startLog(directory, { encryption: newKeys, limits });
    expect(sequencesOf(await everything(log))).toEqual(countDown(120));
    expect(await everything(log, { subject: 'planted-2' })).toHaveLength(40);
    await log.indexNow();
    expect((await log.stats({ by: ['caller'] })).items).toEqual([{ caller: 'planted-caller', count: 120 }]);
    await log.stop();
    const report = await verified(directory, log, second);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ depth: 'content', records: 120 });
    const files = readdirSync(directory).filter((file) => /eras/.test(file));
    expect(files).toEqual([]);
  });

  it('a file with a changed text is left as it is by a rewrite, so that what shows the change stays', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: oldKeys, limits });
    await append(log, 90, named);
    await log.stop();
    const [path] = closedIn(directory) as [string];
    const connection = await SqliteConnection.open({ path, wal: false, busyTimeoutMs: 0 });
    await connection.query('UPDATE journal SET records = zeroblob(900) WHERE first = (SELECT min(first) FROM journal)');
    await connection.close();
    const before = readFileSync(path);
    const { failed, changed } = await rewriteJournal(pathIn(directory), bothKeys);
    expect(failed).toEqual([{ path, why: expect.stringContaining('cannot be decrypted') }]);
    expect(changed.length).toBeGreaterThan(1);
    expect(readFileSync(path)).toEqual(before);
  });

  it('an erasure rewrites encrypted groups with new nonces, and what is left is found by its masked keys', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { encryption: oldKeys, limits });
    await append(log, 100, (i) => ({ subject: i % 4 === 0 ? 'planted-dana' : `planted-${i}` }));
    await log.indexNow();
    const key = Buffer.alloc(32, 3);
    const digest = digestOfPerson(key, 'planted-dana');
    const standing = new StandingOrders(key, [{ id: 'e-1', time: Date.now() + 60_000, digest }]);
    const nonces = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const path of closedIn(directory)) {
        const connection = await SqliteConnection.open({ path, wal: false, busyTimeoutMs: 1_000 });
        const rows = await connection.query<{ nonce: string }>(
          'SELECT hex(substr(records, 1, 12)) AS nonce FROM journal',
        );
        found.push(...rows.map(({ nonce }) => nonce));
        await connection.close();
      }
      return found;
    };
    const before = await nonces();
    const counts = await log.erase({ standing }, new AbortController().signal);
    expect(counts.of('e-1').about).toBe(25);
    expect(counts.unreadable).toBe(0);
    const after = await nonces();
    expect(after.filter((nonce) => before.includes(nonce))).toEqual([]);
    await log.append(exampleRecord(log, { subject: 'planted-1' }));
    await log.checkpoint();
    await log.indexNow();
    expect(await everything(log, { subject: 'planted-dana' })).toEqual([]);
    expect(await everything(log, { subject: 'planted-1' })).toHaveLength(2);
    expect(isInClear(directory)).toBe(false);
    await log.stop();
    const report = await verified(directory, log, first);
    expect(report.findings).toEqual([]);
  });

  it.each([
    ['before', true],
    ['while', false],
  ])('are wrapped anew for good %s an erasure puts a file in its place', async (_when, isAwaited) => {
    const directory = temporaryDirectory();
    const old = await startLog(directory, { encryption: oldKeys, limits });
    await append(old, 100, (i) => ({ subject: i % 4 === 0 ? 'planted-dana' : `planted-${i}` }));
    await old.stop();
    const log = await startLog(directory, { encryption: bothKeys, limits });
    const key = Buffer.alloc(32, 3);
    const digest = digestOfPerson(key, 'planted-dana');
    const standing = new StandingOrders(key, [{ id: 'e-1', time: Date.now() + 60_000, digest }]);
    const rewrapping: ReturnType<typeof rewrapJournal>[] = [];
    await log.erase(
      {
        standing,
        place: async (work) => {
          // The file was copied with its keys as they were.
          if (rewrapping.length === 0) rewrapping.push(rewrapJournal(pathIn(directory), bothKeys));
          if (isAwaited) await Promise.all(rewrapping);
          return work();
        },
      },
      new AbortController().signal,
    );
    expect((await rewrapping[0]!).failed).toEqual([]);
    for (const wrapped of (await Promise.all(closedIn(directory).map(wrappedIn))).flat())
      expect(bothKeys.isNewest(Buffer.from(wrapped, 'hex'))).toBe(true);
  });

  it('a group that cannot be decrypted counts as unreadable in an erasure', async () => {
    const directory = temporaryDirectory();
    const written = await startLog(directory, { encryption: oldKeys, limits });
    await append(written, 90, named);
    await written.stop();
    const [path] = closedIn(directory) as [string];
    const connection = await SqliteConnection.open({ path, wal: false, busyTimeoutMs: 0 });
    await connection.query('UPDATE journal SET records = zeroblob(900) WHERE first = (SELECT min(first) FROM journal)');
    const [damaged] = await connection.query<{ count: number }>('SELECT count FROM journal ORDER BY first LIMIT 1');
    await connection.close();
    const log = await startLog(directory, { encryption: oldKeys, limits });
    const key = Buffer.alloc(32, 3);
    const digest = digestOfPerson(key, 'planted-0');
    const standing = new StandingOrders(key, [{ id: 'e-1', time: Date.now() + 60_000, digest }]);
    const { signal } = new AbortController();
    expect((await log.erasable({ standing }, signal)).unreadable).toBe(damaged!.count);
    expect((await log.erase({ standing }, signal)).unreadable).toBe(damaged!.count);
  });
});
