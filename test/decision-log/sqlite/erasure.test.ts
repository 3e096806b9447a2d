/** "This person": afterwards no byte of the files holds the name, the chain verifies, decisions went on. */
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import type { NewDecisionRecord } from '../../../src/decision-log/decision-record.js';
import { ErasureCounts } from '../../../src/decision-log/erasure/erase-group.js';
import { erasedValue } from '../../../src/decision-log/erasure/erase-record.js';
import { Erasures } from '../../../src/decision-log/erasure/erasures.js';
import { digestOfPerson, StandingOrders } from '../../../src/decision-log/erasure/standing-orders.js';
import { noHolds } from '../../../src/decision-log/holds/holds.js';
import {
  closedFiles,
  closedIndexPathOf,
  closedPathOf,
  erasureDraftsOf,
} from '../../../src/decision-log/sqlite/log-files.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { SqliteErasureOrders } from '../../../src/decision-log/sqlite/sqlite-erasure-orders.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const name = 'planted-dana';
const key = Buffer.alloc(32, 3);
const ordersAbout = (id: string, time = Date.now() + 60_000) => ({
  standing: new StandingOrders(key, [{ id: 'e-1', time, digest: digestOfPerson(key, id) }]),
});
const unending = new AbortController().signal;

/** Names of the files in which the text is, in any encoding that is used there. */
function filesWith(directory: string, text: string): string[] {
  return readdirSync(directory).filter((file) => readFileSync(join(directory, file)).includes(text));
}

/** Records of which each seventh is about the person, and each fifth names it. */
async function appendAbout(log: SqliteDecisionLog, count: number, from = 0): Promise<void> {
  const records = Array.from({ length: count }, (_, j): NewDecisionRecord => {
    const i = from + j;
    const record = exampleRecord(log, {
      now: Date.now(),
      subject: i % 7 === 0 ? name : `s${i}`,
      requestId: `r-${i}`,
      ...(i % 5 === 0 && { caller: name }),
      attributes: i % 5 === 1 ? { manager: name } : { tenant: 'acme' },
    });
    return record;
  });
  for (let i = 0; i < records.length; i += 10) {
    await Promise.all(records.slice(i, i + 10).map((record) => log.append(record)));
  }
}

const verified = (directory: string, log: SqliteDecisionLog) =>
  verifyLog({ database: join(directory, 'verdict.sqlite'), keys: log.publishedKeys, against: [], depth: 'content' });

const touched = (from: number, to: number): number =>
  Array.from({ length: to - from }, (_, i) => from + i).filter((i) => i % 7 === 0 || i % 5 < 2).length;

async function allOf(log: SqliteDecisionLog) {
  const records = [];
  for await (const text of log.export({}))
    records.push(
      ...text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
  return records.reverse();
}

describe('the erasure of a person from the files of a journal', () => {
  it('leaves the name in no byte of them, nothing else changed, and the chain whole', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 40 } });
    await appendAbout(log, 150);
    await log.indexNow();
    const before = await allOf(log);
    expect(filesWith(directory, name).length).toBeGreaterThan(4);
    const counts = await log.erase(ordersAbout(name), unending);
    expect(counts.of('e-1')).toEqual({ about: 22, named: touched(0, 150) - 22, held: 0 });
    expect(counts.unreadable).toBe(0);
    await Promise.all(Array.from({ length: 7 }, () => log.append(exampleRecord(log, { now: Date.now() }))));
    await log.checkpoint();
    await log.indexNow();
    expect(filesWith(directory, name)).toEqual([]);

    const after = await allOf(log);
    expect(after).toHaveLength(157);
    for (const [i, record] of before.entries()) {
      const isTouched = i % 7 === 0 || i % 5 < 2;
      if (!isTouched) expect(after[i]).toEqual(record);
      else
        expect(after[i]).toMatchObject({
          id: record.id,
          sequence: record.sequence,
          erased: { erasures: [{ id: 'e-1' }] },
        });
    }
    // By the key index, and counted.
    expect((await log.search({ subject: name })).items).toEqual([]);
    expect((await log.search({ subject: erasedValue })).items).toHaveLength(22);
    expect((await log.search({ caller: 'billing', limit: 1_000 })).items.length).toBeGreaterThan(100);
    const stats = await log.stats({ by: ['caller'] });
    expect(stats.items).toEqual(expect.arrayContaining([expect.objectContaining({ caller: erasedValue, count: 30 })]));
    const report = await verified(directory, log);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ records: 157, unsigned: 0, erasures: [{ id: 'e-1', records: touched(0, 150) }] });
    await log.stop();
    expect(filesWith(directory, name)).toEqual([]);
  });

  it('goes on beside decisions, and a second pass takes what was committed meanwhile', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 400 } });
    await appendAbout(log, 700);
    const orders = ordersAbout(name);
    let isOver = false;
    let appended = 700;
    const deciding = (async () => {
      while (!isOver) {
        await appendAbout(log, 10, appended);
        appended += 10;
      }
    })();
    await log.erase(orders, unending);
    isOver = true;
    await deciding;
    expect(appended).toBeGreaterThan(700);
    await log.erase(orders, unending);
    await log.checkpoint();
    await log.indexNow();
    expect(filesWith(directory, name)).toEqual([]);
    const report = await verified(directory, log);
    expect(report).toMatchObject({ findings: [], records: appended, erasures: [{ records: touched(0, appended) }] });
    await log.stop();
  });

  it('leaves nothing of what the retention had deleted from a file before', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { retention: { maxRecords: 20 } });
    await appendAbout(log, 300);
    // The newest name nobody.
    for (let i = 0; i < 30; i++) await log.append(exampleRecord(log, { now: Date.now() }));
    await log.prune(Date.now());
    expect((await log.search({ subject: name })).items).toEqual([]);
    expect(filesWith(directory, name)).not.toEqual([]);
    await log.erase(ordersAbout(name), unending);
    expect(filesWith(directory, name)).toEqual([]);
    await log.checkpoint();
    expect((await verified(directory, log)).findings).toEqual([]);
    const files = closedFiles(join(directory, 'verdict.decisions.sqlite')).length;
    await log.erase(ordersAbout('eve'), unending);
    expect(closedFiles(join(directory, 'verdict.decisions.sqlite'))).toHaveLength(files);
    await log.stop();
  });

  it('is finished by the next start, wherever the process was killed', async () => {
    const directory = temporaryDirectory();
    const copies = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 60 } });
    await appendAbout(log, 200);
    await log.indexNow();
    const orders = ordersAbout(name);
    let isOver = false;
    const snapshots: string[] = [];
    const erasing = log.erase(orders, unending).finally(() => {
      isOver = true;
    });
    // What a kill leaves is what lies there at that moment.
    while (!isOver && snapshots.length < 5) {
      const copy = join(copies, `${snapshots.length}`);
      try {
        cpSync(directory, copy, { recursive: true });
        snapshots.push(copy);
      } catch {
        // A file went while it was copied.
        rmSync(copy, { recursive: true, force: true });
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await erasing;
    await log.stop();
    expect(snapshots.length).toBeGreaterThan(0);
    for (const copy of snapshots) {
      const next = await startLog(copy, { limits: { records: 60 } });
      await next.erase(ordersAbout(name), unending);
      await next.indexNow();
      expect(filesWith(copy, name)).toEqual([]);
      expect((await verified(copy, next)).findings).toEqual([]);
      expect((await next.search({ subject: erasedValue })).items).toHaveLength(29);
      await next.stop();
    }
  });

  it('goes around a damaged file, which it names, and whose records it counts as unreadable, and goes on when it is put back', async () => {
    const directory = temporaryDirectory();
    const limits = { records: 40 };
    const written = await startLog(directory, { limits });
    await appendAbout(written, 150);
    await written.indexNow();
    await written.stop();
    const path = join(directory, 'verdict.decisions.sqlite');
    const file = closedPathOf(path, 1);
    const original = readFileSync(file);
    const records = closedFiles(path)[1]! - 1;
    writeFileSync(file, Buffer.concat([original.subarray(0, 4_096), Buffer.alloc(original.length - 4_096, 0xff)]));

    const orders = await SqliteErasureOrders.open(join(directory, 'verdict.sqlite'));
    onTestFinished(() => orders.close());
    const problems: string[] = [];
    const start = async () => {
      const log = await startLog(directory, { limits });
      const onProblem = (_what: string, error: unknown) => problems.push(String(error));
      const erasures = new Erasures({ orders, log, holds: noHolds, latestMs: -1, lookMs: 20, onProblem });
      erasures.start();
      return { log, erasures };
    };
    const damaged = await start();
    expect((await damaged.erasures.preview('subject', name)).unreadable).toBe(records);
    const order = await damaged.erasures.draft('subject', name, 'request 4711', 'dpo');
    await damaged.erasures.commit(order);
    await expect.poll(() => problems).toEqual([expect.stringContaining(`${file} cannot be read`)]);
    expect(filesWith(directory, name).every((found) => found.includes('0000000000000001'))).toBe(true);
    const some = await damaged.erasures.find(order.id);
    expect(some).toMatchObject({ state: 'running', records: { unreadable: records } });
    expect(some.records.about + some.records.named).toBe(touched(records, 150));
    // A later order is carried out as far, and counted once.
    const later = await damaged.erasures.draft('subject', 's2', 'request 4712', 'dpo');
    await damaged.erasures.commit(later);
    await expect
      .poll(async () => (await damaged.erasures.find(later.id)).records)
      .toEqual({ about: 0, named: 0, held: 0, unreadable: records });
    await damaged.erasures.stop();
    await damaged.log.stop();

    writeFileSync(file, original);
    const whole = await start();
    await expect.poll(async () => (await whole.erasures.find(order.id)).state, { timeout: 30_000 }).toBe('finished');
    expect((await whole.erasures.find(order.id)).records).toEqual({
      about: 22,
      named: touched(0, 150) - 22,
      held: 0,
      unreadable: 0,
    });
    expect((await whole.erasures.find(later.id)).records).toMatchObject({ about: 1, unreadable: 0 });
    await whole.log.checkpoint();
    expect(filesWith(directory, name)).toEqual([]);
    expect((await verified(directory, whole.log)).findings).toEqual([]);
    await whole.erasures.stop();
  });

  it('goes around files whose key is not there, and goes on when it is', async () => {
    const directory = temporaryDirectory();
    const limits = { records: 40 };
    const [first, second] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
    const old = await startLog(directory, { limits, encryption: EncryptionKeys.of(first) });
    await appendAbout(old, 70);
    await old.stop();
    const both = await startLog(directory, { limits, encryption: EncryptionKeys.of(`${second} ${first}`) });
    await appendAbout(both, 80, 70);
    await both.stop();
    const start = (keys: string) => startLog(directory, { limits, encryption: EncryptionKeys.of(keys) });
    const without = await start(second);
    const orders = ordersAbout(name);
    const preview = await without.erasable(orders, unending);
    expect(preview.unreadable).toBeGreaterThanOrEqual(70);
    const sum = new ErasureCounts();
    const erasing = without.erase(orders, unending, async (counts) => sum.add(counts));
    await expect(erasing).rejects.toThrow(`the key ${EncryptionKeys.of(first).fingerprints[0]} is needed`);
    expect(sum.unreadable).toBe(preview.unreadable);
    const { about, named } = sum.of('e-1');
    expect(about + named).toBe(touched(preview.unreadable, 150));
    await without.stop();
    const log = await start(`${second} ${first}`);
    const rest = (await log.erase(ordersAbout(name), unending)).of('e-1');
    expect(rest.about + rest.named).toBe(touched(0, preview.unreadable));
    expect((await log.search({ subject: name })).items).toEqual([]);
  });

  it('is not over while a file is away, and goes on when it is back', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 40 } });
    await appendAbout(log, 150);
    await log.indexNow();
    const file = closedPathOf(join(directory, 'verdict.decisions.sqlite'), 1);
    renameSync(file, `${file}.away`);
    const orders = ordersAbout(name);
    const sum = new ErasureCounts();
    const erase = () => log.erase(orders, unending, async (counts) => sum.add(counts));
    await expect(erase()).rejects.toThrow(`${file} is not there`);
    await expect(erase()).rejects.toThrow(`${file} is not there`);
    renameSync(`${file}.away`, file);
    await erase();
    expect(sum.of('e-1')).toEqual({ about: 22, named: touched(0, 150) - 22, held: 0 });
    expect(sum.unreadable).toBe(0);
    await log.checkpoint();
    expect(filesWith(directory, name)).toEqual([]);
  });

  it('is carried out again when a file comes back that was away at the start before it, in which the person is', async () => {
    const directory = temporaryDirectory();
    const start = () => startLog(directory, { limits: { records: 40 } });
    const first = await start();
    await appendAbout(first, 150);
    await first.indexNow();
    await first.stop();
    const file = closedPathOf(join(directory, 'verdict.decisions.sqlite'), 1);
    renameSync(file, `${directory}-away`);
    onTestFinished(() => rmSync(`${directory}-away`, { force: true }));
    const orders = await SqliteErasureOrders.open(join(directory, 'verdict.sqlite'));
    onTestFinished(() => orders.close());
    const onProblem = (_what: string, error: unknown) => expect(error).toBeUndefined();
    const erasing = (log: SqliteDecisionLog) =>
      new Erasures({ orders, log, holds: noHolds, latestMs: 0, lookMs: 20, onProblem });
    const stateOf = async (id: string) => (await orders.find(id))?.finished;

    const without = await start();
    const erasures = erasing(without);
    erasures.start();
    const order = await erasures.draft('subject', name, 'request 4711', 'dpo');
    await erasures.commit(order);
    await expect.poll(() => stateOf(order.id), { timeout: 30_000 }).toEqual(expect.any(Number));
    const before = await orders.find(order.id);
    await erasures.stop();
    await without.stop();

    renameSync(`${directory}-away`, file);
    // One that ends before anybody looked for erasures leaves that to the next.
    const early = await start();
    expect(early.hasReturned).toBe(true);
    await early.stop();
    const log = await start();
    expect(log.hasReturned).toBe(true);
    const again = erasing(log);
    again.start();
    await expect.poll(() => log.hasReturned, { timeout: 30_000 }).toBe(false);
    await expect.poll(() => stateOf(order.id), { timeout: 30_000 }).toEqual(expect.any(Number));
    await again.stop();
    const after = await orders.find(order.id);
    expect(before!.about + before!.named).toBe(touched(40, 150));
    expect(after!.about + after!.named).toBe(touched(0, 150));
    expect((await log.search({ subject: name })).items).toEqual([]);
    await log.stop();
    expect(filesWith(directory, name)).toEqual([]);
    const known = await start();
    expect(known.hasReturned).toBe(false);
  });

  it('counts what it had done when it was ended', async () => {
    const log = await startLog(temporaryDirectory(), { limits: { records: 40 } });
    await appendAbout(log, 150);
    const sum = new ErasureCounts();
    const ending = new AbortController();
    const erasing = log.erase(ordersAbout(name), ending.signal, async (counts) => {
      sum.add(counts);
      ending.abort();
    });
    await expect(erasing).rejects.toThrow();
    const { about } = sum.of('e-1');
    expect(about).toBeGreaterThan(0);
    expect(about).toBeLessThan(22);
    sum.add(await log.erase(ordersAbout(name), unending));
    expect(sum.of('e-1')).toEqual({ about: 22, named: touched(0, 150) - 22, held: 0 });
  });

  it('leaves nothing of an index that was made for it when the process was killed', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 40 } });
    await appendAbout(log, 50);
    await log.stop();
    const { work, made } = erasureDraftsOf(closedIndexPathOf(join(directory, 'verdict.decisions.sqlite'), 1));
    const drafts = [work, made, `${made}-wal`, `${made}-shm`];
    for (const draft of drafts) writeFileSync(draft, name);
    await startLog(directory, { limits: { records: 40 } });
    expect(drafts.filter((draft) => existsSync(draft))).toEqual([]);
  });

  it('says of each fault of an erased record that it is one: a change, a signature that is not there, a salt that went', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 40 } });
    await appendAbout(log, 50);
    await log.erase(ordersAbout(name), unending);
    await log.checkpoint();
    await log.stop();
    const path = join(directory, 'verdict.decisions.sqlite');
    const file = closedPathOf(path, closedFiles(path)[0]!);
    const original = readFileSync(file);
    const change = async (statement: string) => {
      writeFileSync(file, original);
      const connection = await SqliteConnection.open({ path: file, wal: false, busyTimeoutMs: 0 });
      await connection.query(statement);
      await connection.close();
      return (await verified(directory, log)).findings.map(({ kind, sequence, what }) => [kind, sequence, what]);
    };
    const unsigned = 'the record was erased, and no signature of the log says so';
    expect(await change('SELECT 1')).toEqual([]);
    expect(
      await change(`UPDATE journal SET records = replace(records, '"id":"s2"', '"id":"s9"') WHERE first = 1`),
    ).toContainEqual(['wrong', 3, 'the record is not the one that was hashed']);
    expect(
      await change(
        `UPDATE journal SET records = replace(records, '"requestId":"r-0"', '"requestId":"r-9"') WHERE first = 1`,
      ),
    ).toContainEqual(['wrong', 1, unsigned]);
    expect(await change(`UPDATE journal SET salts = zeroblob(length(salts)) WHERE first = 1`)).toEqual([
      ['wrong', 3, unsigned],
    ]);
  });
});
