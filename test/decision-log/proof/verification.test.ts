/** P5: what was changed, removed, inserted, moved or put back is found and named; nothing true is called false. */
import { copyFileSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import type { CertifiedKey } from '../../../src/decision-log/proof/log-keys.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { LogVerification, type VerificationReport } from '../../../src/decision-log/proof/log-verification.js';
import { Frontier } from '../../../src/decision-log/proof/merkle-tree.js';
import type { StoredProofGroup, TreePart } from '../../../src/decision-log/proof/proof-sink.js';
import { closedFiles, closedPathOf } from '../../../src/decision-log/sqlite/log-files.js';
import { exampleRecord } from '../example-records.js';
import { append } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const pathIn = (directory: string): string => join(directory, 'verdict.decisions.sqlite');
const databaseIn = (directory: string): string => join(directory, 'verdict.sqlite');

/** A log of several files with a gap; returns its keys. */
async function madeLog(directory: string, records = 40): Promise<readonly CertifiedKey[]> {
  const log = await startLog(directory, { limits: { records } });
  for (let i = 0; i < 13; i++) {
    const examples = Array.from({ length: 9 }, (_, j) => ({
      subject: `s${i}-${j}`,
      attributes: { b: [1, 'ü'], a: i },
    }));
    await Promise.all(examples.map((example) => log.append(exampleRecord(log, example))));
  }
  await log.stop();
  const losing = await startLog(directory, { limits: { records }, mode: 'async', queueLimit: 20 });
  await append(losing, 50);
  await losing.flush();
  await append(losing, 7);
  await losing.stop();
  return losing.publishedKeys;
}

const verified = (directory: string, keys: readonly CertifiedKey[], notes: string[] = []) =>
  verifyLog({
    database: databaseIn(directory),
    keys,
    against: notes.map((note) => ({ note, place: 'elsewhere' })),
    depth: 'content',
  });

async function change(path: string, ...statements: string[]): Promise<void> {
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 0, wal: false });
  for (const statement of statements) await connection.query(statement);
  await connection.close();
}

const filesOf = (directory: string): string[] => {
  const path = pathIn(directory);
  return [...closedFiles(path).map((first) => closedPathOf(path, first)), path];
};

const kindsOf = (report: VerificationReport) => report.findings.map(({ kind, sequence }) => [kind, sequence]);

describe('the verification of a log', () => {
  it('finds nothing in one that nobody touched, over files, restarts, gaps and the retention', async () => {
    const directory = temporaryDirectory();
    const keys = await madeLog(directory);
    const whole = await verified(directory, keys);
    expect(whole.findings).toEqual([]);
    expect(whole).toMatchObject({ found: 0, depth: 'content', unproved: 0, unsigned: 0 });
    expect(whole.records).toBeGreaterThan(100);
    expect(whole.checkpoints).toBeGreaterThan(0);
    expect(await verified(directory, keys).then(({ gaps }) => gaps.length)).toBeGreaterThan(0);
    const structure = await verifyLog({ database: directory, keys, against: [], depth: 'structure' });
    expect(structure).toMatchObject({ found: 0, depth: 'structure', records: whole.records });

    const again = await startLog(directory, { limits: { records: 40 }, retention: { maxRecords: 60 } });
    for (let i = 0; i < 8; i++) await append(again, 11);
    await again.prune(Date.now());
    await again.checkpoint();
    await append(again, 5);
    // While the service runs.
    const running = await verified(directory, keys);
    expect(running.findings).toEqual([]);
    expect(running.unsigned).toBe(5);
    await again.stop();
    const small = await startLog(directory, { retention: { maxRecords: 3 } });
    await small.prune(Date.now());
    await small.stop();
    expect((await verified(directory, keys)).findings).toEqual([]);
  });

  for (const [what, statements] of [
    ['changed text', [`UPDATE journal SET records = replace(records, '"s1-3"', '"s1-4"')`]],
    [
      'a member that was added',
      [`UPDATE journal SET records = replace(records, '"durationUs"', '"note":1,"durationUs"')`],
    ],
    [
      'another order of members',
      [`UPDATE journal SET records = replace(records, '{"a":1,"b":[1,"ü"]}', '{"b":[1,"ü"],"a":1}')`],
    ],
    [
      'another caller for a group',
      [`UPDATE journal SET records = replace(records, '"billing"', '"billinh"') WHERE first = 10`],
    ],
    ['a removed group', ['DELETE FROM journal WHERE first = 10']],
    [
      'a removed group, with the rest moved up',
      ['DELETE FROM journal WHERE first = 10', 'UPDATE journal SET entry = entry - 1 WHERE entry > 1'],
    ],
    [
      'two groups in each other’s place',
      [
        'UPDATE journal SET first = 1000 WHERE first = 10',
        'UPDATE journal SET first = 10 WHERE first = 19',
        'UPDATE journal SET first = 19 WHERE first = 1000',
      ],
    ],
    [
      'hashes of other records',
      ['UPDATE journal SET leaves = (SELECT leaves FROM journal WHERE first = 1) WHERE first = 10'],
    ],
    ['a destroyed salt', ['UPDATE journal SET salts = zeroblob(length(salts)) WHERE first = 10']],
    [
      'records outside the tree',
      ['UPDATE journal SET entry = NULL, node = NULL, leaves = NULL, salts = NULL WHERE first = 10'],
    ],
    [
      'keys that find other records',
      [`UPDATE journal SET keys = CAST(x'000000000000' || substr(keys, 7) AS BLOB) WHERE first = 10`],
    ],
    ['another time', ['UPDATE journal SET until = until + 1 WHERE first = 10']],
    ['another writer', ['UPDATE log SET writer = writer + 1']],
    ['another beginning', ['UPDATE log SET entries = 1, frontier = zeroblob(32)']],
  ] as const) {
    it(`finds ${what}, and names the first record`, async () => {
      const directory = temporaryDirectory();
      const keys = await madeLog(directory);
      await change(filesOf(directory)[0]!, ...statements);
      const report = await verified(directory, keys);
      expect(report.found).toBeGreaterThan(0);
      const [first] = report.findings;
      expect(first!.sequence).toBeGreaterThanOrEqual(1);
      expect(first!.sequence).toBeLessThanOrEqual(19);
    });
  }

  it('finds a gap that was removed, changed or made up, and a checkpoint that was changed', async () => {
    for (const statement of [
      'DELETE FROM gap',
      'UPDATE gap SET lost = lost + 1',
      `INSERT INTO gap (after, lost, since, until, cause) VALUES (3, 2, 1, 2, 'queue_full')`,
      `UPDATE checkpoint SET note = replace(note, 'sequence ', 'sequence 1')`,
      'UPDATE checkpoint SET time = time + 1',
      'DELETE FROM checkpoint',
    ]) {
      const directory = temporaryDirectory();
      const keys = await madeLog(directory, 10_000);
      await change(pathIn(directory), statement);
      expect((await verified(directory, keys)).found).toBeGreaterThan(0);
    }
  });

  it('finds missing files: in the middle, at the beginning, and at the end against a checkpoint from elsewhere', async () => {
    const directory = temporaryDirectory();
    const keys = await madeLog(directory);
    const files = filesOf(directory);
    const starts = [...closedFiles(pathIn(directory))];
    expect(starts.length).toBeGreaterThan(1);
    const copy = (): string => {
      const to = temporaryDirectory();
      for (const name of readdirSync(directory)) copyFileSync(join(directory, name), join(to, name));
      return to;
    };
    const middle = copy();
    unlinkSync(filesOf(middle)[1]!);
    const inMiddle = await verified(middle, keys);
    expect(inMiddle.findings[0]).toMatchObject({ kind: 'missing', sequence: starts[1] });
    const beginning = copy();
    unlinkSync(filesOf(beginning)[0]!);
    expect((await verified(beginning, keys)).findings[0]).toMatchObject({
      kind: 'missing',
      sequence: 1,
      through: starts[1]! - 1,
    });

    // The end is gone with its checkpoints: nothing in the log says so.
    const connection = await SqliteConnection.open({ path: files.at(-1)!, immutable: true, busyTimeoutMs: 0 });
    const [newest] = await connection.query<{ note: string }>(
      'SELECT note FROM checkpoint ORDER BY entries DESC LIMIT 1',
    );
    await connection.close();
    const end = copy();
    unlinkSync(pathIn(end));
    const against = await verified(end, keys, [newest!.note]);
    expect(kindsOf(against)).toContainEqual([
      'missing',
      Number(/sequence (\d+)/.exec(newest!.note)![1]) - 0 === 0 ? 1 : expect.any(Number),
    ]);
    expect(against.findings.at(-1)).toMatchObject({ kind: 'missing' });
  });

  it('finds an old file that was put back', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory);
    await append(log, 20);
    await log.stop();
    const old = temporaryDirectory();
    for (const name of readdirSync(directory)) copyFileSync(join(directory, name), join(old, name));
    const again = await startLog(directory);
    const keys = again.publishedKeys;
    await append(again, 20);
    const later = await again.checkpoint();
    await again.stop();
    expect((await verified(directory, keys, [later!])).found).toBe(0);
    const report = await verified(old, keys, [later!]);
    expect(report.findings).toMatchObject([{ kind: 'missing', sequence: 21, through: 40 }]);
  });

  it('takes the keys that are given, and those that they certify, and no others', async () => {
    const directory = temporaryDirectory();
    const keys = await madeLog(directory);
    const other = await startLog(temporaryDirectory());
    const report = await verified(directory, other.publishedKeys);
    expect(report.found).toBeGreaterThan(0);
    expect(report.checkpoints).toBe(0);
    expect((await verified(directory, [...other.publishedKeys, ...keys])).found).toBe(0);
  });

  it('finds every single bit of a group that is changed', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory);
    await append(log, 2, (i) => ({ subject: `s\u0007${i}`, attributes: { n: 1e21, m: [true, null] } }));
    await append(log, 1);
    const keys = trustedKeys(log.publishedKeys);
    await log.stop();
    const connection = await SqliteConnection.open({ path: pathIn(directory), immutable: true, busyTimeoutMs: 0 });
    const rows = await connection.query<StoredProofGroup & NonNullable<StoredProofGroup['beside']>>(
      'SELECT first, count, entry, node, leaves, salts, since, until, idSince, idUntil, keys, records AS text FROM journal',
    );
    const [log1] = await connection.query<{ tree: string; writer: number }>('SELECT tree, writer FROM log');
    const notes = await connection.query<{ note: string }>('SELECT note FROM checkpoint');
    await connection.close();
    const part: TreePart = { journal: 'j', ...log1!, place: 'file', begun: Frontier.empty, start: 1 };
    const foundIn = (changed: readonly (typeof rows)[number][]): number => {
      const verification = new LogVerification({ keys, depth: 'content' });
      for (const { note } of notes) verification.checkpoint(note, 'file');
      verification.begin(part);
      for (const { since, until, idSince, idUntil, keys: found, ...group } of changed) {
        verification.group({ ...group, beside: { since, until, idSince, idUntil, keys: found } });
      }
      verification.end();
      return verification.report.found;
    };
    expect(foundIn(rows)).toBe(0);
    let flips = 0;
    const expectFound = (i: number, changed: Partial<(typeof rows)[number]>, what: string): void => {
      flips++;
      if (foundIn(rows.with(i, { ...rows[i]!, ...changed })) === 0) throw new Error(`not found: ${what}`);
    };
    for (const [i, row] of rows.entries()) {
      for (const column of ['node', 'leaves', 'salts', 'keys', 'text'] as const) {
        const bytes = Buffer.from(row[column] as Buffer | string);
        // Of the first group some, of the second one, which is of one record, all.
        for (let bit = 0; bit < bytes.length * 8; bit += i === 0 ? 13 : 1) {
          const changed = Buffer.from(bytes);
          changed[bit >> 3]! ^= 1 << (bit & 7);
          expectFound(i, { [column]: column === 'text' ? changed.toString() : changed }, `bit ${bit} of ${column}`);
        }
      }
      for (const column of ['first', 'count', 'entry', 'since', 'until', 'idSince', 'idUntil'] as const) {
        for (let bit = 0; bit < 48; bit++) {
          const number = BigInt(row[column]!) ^ (1n << BigInt(bit));
          expectFound(i, { [column]: Number(number) }, `bit ${bit} of ${column}`);
        }
      }
    }
    expect(flips).toBeGreaterThan(5_000);
  });
});
