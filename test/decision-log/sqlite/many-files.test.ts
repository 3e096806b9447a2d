import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { backUpJournal } from '../../../src/decision-log/sqlite/journal-backup.js';
import { blocksOf, mayHoldKey } from '../../../src/decision-log/sqlite/key-filter.js';
import { exampleRecord, noon } from '../example-records.js';
import { isFullSize, report } from '../full-size.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const day = 86_400_000;
const small = { limits: { records: 20 } };

function journalsIn(directory: string): string[] {
  return readdirSync(directory).filter((name) => /^verdict\.decisions\.(\d+\.)?sqlite$/.test(name));
}

/** 45 files of 20 records; at full size 500. No subject has the key of a resource, which every file would then hold. */
const stored = isFullSize ? 10_000 : 900;

it(
  'a look-up of what is nowhere opens few files, however many there are, and one of what is there opens its own (P10)',
  async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, small);
    await append(log, stored, (i) => ({ subject: `user${i}`, resource: `r${i % 3}` }));
    const files = journalsIn(directory).length;
    expect(files).toBeGreaterThan(stored / 30);
    await log.indexNow();
    const opened = async (query: object): Promise<number> => {
      const before = log.filesOpened;
      await log.search(query);
      return log.filesOpened - before;
    };
    await opened({});
    let misses = 0;
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const started = performance.now();
      misses += await opened({ subject: `nobody${i}` });
      times.push(performance.now() - started);
    }
    times.sort((a, b) => a - b);
    report(
      `${files} files: 50 look-ups of nobody opened ${misses} files; median ${times[25]!.toFixed(1)} ms, longest ${times[49]!.toFixed(1)} ms`,
    );
    // A filter is wrong about a key of a hundred that it does not hold.
    expect(misses).toBeLessThan(50 * Math.max(1, files * 0.02));
    expect(await opened({ subject: 'user7', resource: 'r2' })).toBeLessThan(3);
    for (const i of [0, stored / 2, stored - 1])
      expect((await log.search({ subject: `user${i}` })).items).toHaveLength(1);
    expect(await everything(log, { resource: 'r1' })).toHaveLength(Math.floor((stored + 1) / 3));
    // The same after a restart, and of files that retention took nothing is left.
    await log.stop();
    const again = await startLog(directory, { ...small, retention: { maxRecords: 100 } });
    await again.prune(noon);
    expect((await again.search({ subject: 'user7' })).items).toEqual([]);
    expect((await again.search({ subject: `user${stored - 1}` })).items).toHaveLength(1);
    expect(journalsIn(directory).length).toBeLessThan(10);
  },
  isFullSize ? 1_200_000 : 120_000,
);

it('a filter never says of a key that it is not there when it is, and seldom that one is which is not', () => {
  const keys = fc.uniqueArray(fc.integer({ min: 0, max: 2 ** 36 - 1 }), { minLength: 1, maxLength: 400 });
  const inBlock = (block: number, rest: number): Buffer => {
    const key = Buffer.alloc(6);
    key.writeUIntBE(block * 2 ** 36 + rest, 0, 6);
    return key;
  };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_095 }), keys, (block, rests) => {
      const sorted = rests.sort((a, b) => a - b).map((rest) => inBlock(block, rest));
      const [only, ...others] = blocksOf(Buffer.concat(sorted));
      expect([only!.block, others]).toEqual([block, []]);
      expect(sorted.every((key) => mayHoldKey(only!.bits, key))).toBe(true);
    }),
  );
  const { bits } = blocksOf(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => inBlock(7, i * 1_000))))[0]!;
  const wrong = Array.from({ length: 10_000 }, (_, i) => inBlock(7, i * 1_000 + 1)).filter((key) =>
    mayHoldKey(bits, key),
  );
  expect(wrong.length).toBeLessThan(150);
  expect(bits.length).toBe(1_500);
});

it('of a block with one key nearly all others are known not to be there: every file has such keys in common', () => {
  const key = (rest: number) => Buffer.from((7 * 2 ** 36 + rest).toString(16).padStart(12, '0'), 'hex');
  const { bits } = blocksOf(key(1))[0]!;
  const wrong = Array.from({ length: 10_000 }, (_, i) => key(i + 2)).filter((other) => mayHoldKey(bits, other));
  expect(mayHoldKey(bits, key(1))).toBe(true);
  expect(wrong.length).toBeLessThan(10);
});

it('retention by count removes closed files, and keeps no more than one file more than it must', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { ...small, retention: { maxRecords: 50 } });
  await append(log, 210);
  const before = journalsIn(directory);
  await log.prune(noon);
  const left = sequencesOf(await everything(log));
  expect(left).toEqual(countDown(210, 211 - left.length));
  expect(left.length).toBeGreaterThanOrEqual(50);
  expect(left.length).toBeLessThan(50 + 30);
  expect(journalsIn(directory).length).toBeLessThan(before.length);
  for (const name of readdirSync(directory).filter((name) => /index\.\d/.test(name))) {
    expect(journalsIn(directory)).toContain(name.replace('index', 'decisions'));
  }
});

it('retention by age removes the files of days that are over, and the sequence goes on when nothing is left', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { retention: { maxAgeMs: 2 * day } });
  for (let i = 0; i < 6; i++) await append(log, 3, () => ({ now: noon + i * day }));
  await log.prune(noon + 5 * day);
  expect(sequencesOf(await everything(log))).toEqual(countDown(18, 10));
  await append(log, 1, () => ({ now: noon + 6 * day }));
  await log.stop();
  const later = await startLog(directory, { retention: { maxAgeMs: 2 * day } });
  await later.prune(noon + 40 * day);
  // The newest group says where the journal ends, and is kept.
  expect(sequencesOf(await everything(later))).toEqual([19]);
  await append(later, 1, () => ({ now: noon + 40 * day }));
  await later.prune(noon + 43 * day);
  await later.stop();
  const again = await startLog(directory);
  await append(again, 1, () => ({ now: noon + 43 * day }));
  expect(sequencesOf(await everything(again))[0]).toBe(21);
});

it('an export that has begun goes on when the retention removes files', async () => {
  const log = await startLog(temporaryDirectory(), { ...small, retention: { maxRecords: 60 } });
  await append(log, 200);
  const pieces = log.export({});
  let text = (await pieces.next()).value as string;
  await log.prune(noon);
  for await (const piece of pieces) text += piece;
  const lines = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  const sequences = lines.flatMap(({ gap, sequence }) => (gap === undefined ? [sequence] : []));
  expect(sequences).toEqual(countDown(200, 201 - sequences.length));
  // What went before it was read is not passed over in silence.
  const gaps = lines.flatMap(({ gap }) => (gap === undefined ? [] : [gap]));
  expect(gaps).toEqual(sequences.length === 200 ? [] : [expect.objectContaining({ cause: 'removed' })]);
  expect(sequences.length).toBeGreaterThanOrEqual(60);
});

it('after the clock went thirty days forth and back, look-ups of other times read no more than before', async () => {
  const log = await startLog(temporaryDirectory());
  const at = (now: number) => append(log, 100, (i) => ({ now: now + i * 1_000 }));
  for (let i = 0; i < 4; i++) await at(noon + i * day);
  const [old] = await everything(log, { from: '2026-11-22T12:00:00Z', to: '2026-11-22T12:01:00Z' });
  const opened = async (): Promise<number> => {
    // What stays open from before is not opened again: so all others are opened first.
    for (let i = 0; i < 2; i++) await everything(log);
    const before = log.filesOpened;
    await log.find(old!.id);
    await everything(log, { from: '2026-11-22T12:00:00Z', to: '2026-11-22T12:01:00Z' });
    return log.filesOpened - before;
  };
  const before = await opened();
  await at(noon + 34 * day);
  for (let i = 4; i < 8; i++) await at(noon + i * day);
  expect(await opened()).toBeLessThanOrEqual(before + 1);
  const later = await everything(log, { from: '2026-11-26', to: '2026-11-26' });
  expect(later).toHaveLength(100);
  // Ids stay ahead of the clock; each is found all the same.
  for (const record of later.slice(0, 5)) expect(await log.find(record.id)).toEqual(record);
});

it('a backup has every closed file with its index, and what the open one held; a log goes on from it', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, small);
  await append(log, 90);
  const folder = join(directory, 'copy');
  mkdirSync(folder);
  const going = append(log, 100);
  const copies = await backUpJournal(join(directory, 'verdict.decisions.sqlite'), folder);
  await going;
  expect(readdirSync(folder).sort()).toEqual(copies.map((path) => path.slice(folder.length + 1)).sort());
  for (const path of copies) expect(statSync(path).mode & 0o777).toBe(0o600);
  const problems: string[] = [];
  const restored = await startLog(folder, { ...small, onProblem: (what) => problems.push(what) });
  const records = await everything(restored);
  expect(problems).toEqual([]);
  expect(records.length).toBeGreaterThanOrEqual(90);
  expect(sequencesOf(records)).toEqual(countDown(records.length));
  await restored.append(exampleRecord(restored));
  expect(sequencesOf(await everything(restored))[0]).toBe(records.length + 1);
  expect((await restored.stats({})).total).toBe(records.length + 1);
});

it('closed files whose indexes are gone are searched all the same, and get them again', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, small);
  await append(log, 110, (i) => ({ subject: `s${i % 2}` }));
  const wanted = await everything(log, { subject: 's1' });
  await log.stop();
  const indexes = readdirSync(directory).filter((name) => /^verdict\.index\.\d+\.sqlite$/.test(name));
  for (const name of indexes) rmSync(join(directory, name));
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  expect(await everything(reader, { subject: 's1' })).toEqual(wanted);
  expect((await reader.stats({})).total).toBe(110);
  const problems: string[] = [];
  const again = await startLog(directory, { ...small, onProblem: (what) => problems.push(what) });
  expect(await everything(again, { subject: 's1' })).toEqual(wanted);
  await again.indexNow();
  expect(await everything(again, { subject: 's1' })).toEqual(wanted);
  expect((await again.stats({})).total).toBe(110);
  expect(problems).toEqual([]);
  const files = readdirSync(directory).filter((name) => /^verdict\.index\.\d+\.sqlite/.test(name));
  expect(files.sort()).toEqual(indexes.sort());
});
