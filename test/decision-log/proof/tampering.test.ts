/**
 * P5 at random: a bit that is changed anywhere, in what is stored or was exported, and what was removed, put in or moved, is found.
 *
 *     VERDICT_TEST_TAMPERINGS=2000    # of each kind
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportProvenLog, verifyLog } from '../../../src/cli/sources/verified-log.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { type CertifiedKey, trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { LogVerification } from '../../../src/decision-log/proof/log-verification.js';
import { verifyExport, WrongExport } from '../../../src/decision-log/proof/proven-export.js';
import { closedFiles, closedPathOf, decisionLogPath } from '../../../src/decision-log/sqlite/log-files.js';
import { append } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const tamperings = Number(process.env.VERDICT_TEST_TAMPERINGS ?? 25);

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** A log of several files with a gap, an anchor of the retention and checkpoints; returns its keys and its newest note. */
async function makeLog(directory: string): Promise<{ keys: readonly CertifiedKey[]; note: string }> {
  const log = await startLog(directory, { limits: { records: 30 }, mode: 'async', queueLimit: 20 });
  await append(log, 50);
  await log.flush();
  for (let i = 0; i < 12; i++) {
    await append(log, 1 + ((i * 5) % 9), (j) => ({
      subject: `s${i}/${j}`,
      attributes: { z: [i, 'ü'], a: { b: true } },
    }));
    await log.flush();
    if (i % 4 === 0) await log.checkpoint();
  }
  const note = await log.checkpoint();
  await log.stop();
  return { keys: log.publishedKeys, note: note! };
}

const databaseIn = (directory: string) => join(directory, 'verdict.sqlite');

async function inFile<Result>(path: string, work: (connection: SqliteConnection) => Promise<Result>): Promise<Result> {
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000, wal: false });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

type Row = Record<string, Buffer | string | number | null>;

/** What proves the records, and they themselves. */
const columns: Record<string, readonly string[]> = {
  journal: [
    'first',
    'count',
    'since',
    'until',
    'idSince',
    'idUntil',
    'entry',
    'node',
    'keys',
    'leaves',
    'salts',
    'records',
  ],
  gap: ['after', 'lost', 'since', 'until', 'cause', 'entry', 'node'],
  log: ['entries', 'frontier', 'writer'],
  checkpoint: ['entries', 'sequence', 'time', 'note'],
};

function withBit(value: Buffer | string | number, random: (below: number) => number): Buffer | string | number {
  if (typeof value === 'number') return Number(BigInt(value) ^ (1n << BigInt(random(40))));
  const bytes = Buffer.from(value as string);
  const bit = random(bytes.length * 8);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  return typeof value === 'string' ? bytes.toString('latin1') : bytes;
}

describe('what is done at random to a log', () => {
  it('is found, whichever bit of whichever row it changes, and whichever row it takes, doubles or swaps', async () => {
    const original = temporaryDirectory();
    const { keys, note } = await makeLog(original);
    const copy = temporaryDirectory();
    const verified = async () =>
      verifyLog({ database: databaseIn(copy), keys, against: [{ note, place: 'kept' }], depth: 'content' });
    const reset = () => {
      rmSync(copy, { recursive: true, force: true });
      cpSync(original, copy, { recursive: true });
    };
    reset();
    expect((await verified()).findings).toEqual([]);
    const path = decisionLogPath(databaseIn(copy));
    const files = [...closedFiles(path).map((first) => closedPathOf(path, first)), path];
    expect(files.length).toBeGreaterThan(2);
    for (let n = 0; n < tamperings; n++) {
      const random = generator(n + 1);
      reset();
      const file = files[random(files.length)]!;
      const done = await inFile(file, async (connection) => {
        const tables = Object.keys(columns);
        const table = tables[random(2) === 0 ? 0 : random(tables.length)]!;
        const rows = await connection.query<Row & { place: number }>(`SELECT rowid AS place, * FROM ${table}`);
        const row = rows[random(rows.length)];
        if (row === undefined) return undefined;
        const where = `${table} of ${file}, row ${row.place}`;
        const act = table === 'journal' ? random(8) : 7;
        if (act === 0) {
          await connection.query('DELETE FROM journal WHERE rowid = ?', [row.place]);
          return `removed: ${where}`;
        }
        if (act === 1 && rows.length > 1) {
          const [one, other] = [row, rows.find((each) => each !== row)!];
          for (const [into, from] of [
            [one, other],
            [other, one],
          ] as const)
            await connection.query('UPDATE journal SET leaves = ?, salts = ?, records = ?, count = ? WHERE rowid = ?', [
              ...(['leaves', 'salts', 'records', 'count'] as const).map((name) => from[name]!),
              into.place,
            ]);
          return `swapped: ${where}`;
        }
        if (act === 2) {
          await connection.query(
            `INSERT INTO journal SELECT first + 100000, ${columns.journal!.slice(1, -1).join(', ')}, shipping, records
             FROM journal WHERE rowid = ?`,
            [row.place],
          );
          return `doubled: ${where}`;
        }
        const name = columns[table]![random(columns[table]!.length)]!;
        const value = row[name];
        if (value === null || value === undefined || value === '' || (Buffer.isBuffer(value) && value.length === 0))
          return undefined;
        const changed = withBit(value, random);
        await connection.query(`UPDATE ${table} SET ${name} = ? WHERE rowid = ?`, [changed, row.place]);
        return `${name} in ${where}`;
      }).catch((error: Error) => {
        // The table itself refuses some.
        if (/constraint|UNIQUE/i.test(error.message)) return undefined;
        throw error;
      });
      if (done === undefined) continue;
      const { found, findings } = await verified();
      expect(found, `tampering ${n}, ${done}`).toBeGreaterThan(0);
      for (const { place, what } of findings) expect(`${place}${what}`).not.toBe('');
    }
  });

  it('is found in an export, whichever bit of it is changed, and whichever line is taken, doubled or moved', async () => {
    const directory = temporaryDirectory();
    const { keys } = await makeLog(directory);
    let text = '';
    await exportProvenLog(databaseIn(directory), {}, async (more) => {
      text += more;
    });
    const found = async (changed: string): Promise<number> => {
      async function* lines() {
        yield* changed.replace(/\n$/, '').split('\n');
      }
      try {
        const begin = (certified: readonly CertifiedKey[]) =>
          new LogVerification({ keys: trustedKeys(keys, certified), depth: 'content' });
        return (await verifyExport(lines(), begin)).report.found;
      } catch (error) {
        // It says the number of the line.
        if (error instanceof WrongExport) return 1;
        throw error;
      }
    };
    expect(await found(text)).toBe(0);
    // Base64 that other readers take for the same: behind the padding, and bits that no byte has.
    expect(await found(text.replace(/("salt":"[^"]+=)="/, '$15"'))).toBeGreaterThan(0);
    const salt = /"salt":"([^"]+)=="/.exec(text)![1]!;
    const other = String.fromCharCode(salt.charCodeAt(salt.length - 1) + 1);
    expect(await found(text.replace(`${salt}==`, `${salt.slice(0, -1)}${other}==`))).toBeGreaterThan(0);
    const whole = text.split('\n').slice(0, -1);
    // Keys are those of the verifier, and of a writer's name only the tree counts.
    const proving = whole.flatMap((line, i) => (/^\{"(key|tree|unproved)"/.test(line) ? [] : [i]));
    for (let n = 0; n < tamperings * 10; n++) {
      const random = generator(n + 1);
      const at = proving[random(proving.length)]!;
      const line = whole[at]!;
      const kind = random(8);
      let changed: string[];
      if (kind === 0) changed = whole.toSpliced(at, 1);
      else if (kind === 1) changed = whole.toSpliced(at, 0, line);
      else if (kind === 2) changed = whole.slice(0, at);
      else changed = whole.with(at, String(withBit(Buffer.from(line), random)));
      const isOfCheckpoint = line.startsWith('{"checkpoint"');
      // One checkpoint less, or one twice, proves as much where a later one is there.
      if (isOfCheckpoint && kind < 2) continue;
      expect(
        await found(`${changed.join('\n')}\n`),
        `tampering ${n} of line ${at + 1}: ${kind}: ${changed[at]}`,
      ).toBeGreaterThan(0);
    }
  });
});
