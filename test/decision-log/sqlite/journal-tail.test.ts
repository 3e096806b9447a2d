import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { recordsOf } from '../../../src/decision-log/group-text.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

it('reads from memory what it reads from the files, in order, whatever the groups', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { isShipped: true });
  for (const count of [1, 100, 3, 1, 128]) {
    await Promise.all(Array.from({ length: count }, (_, i) => log.append(exampleRecord(log, { subject: `s${i}` }))));
  }
  const other = await startLog(directory, { isShipped: true });
  const textOf = async (journal: typeof log.journal) => {
    const read: string[] = [];
    for (let after = 0; after < 233; ) {
      const { groups, missing, to } = await journal.read(after, 100);
      expect(missing).toEqual([]);
      read.push(...groups.flatMap((group) => [...recordsOf(group)].reverse().map((record) => JSON.stringify(record))));
      after = to;
    }
    return read;
  };
  const fromMemory = await textOf(log.journal);
  expect(fromMemory).toHaveLength(233);
  expect(await textOf(other.journal)).toEqual(fromMemory);
  const keysOf = async (journal: typeof log.journal) =>
    (await journal.read(0, 1_000)).groups.map(({ first, keys }) => [first, [...keys.keys()].sort()]);
  expect(await keysOf(log.journal)).toEqual(await keysOf(other.journal));
});

it('P4: says where it ends while its files are being opened again', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { isShipped: true, watchMs: 10, retryMs: 50 });
  await Promise.all(Array.from({ length: 5 }, () => log.append(exampleRecord(log))));
  const ends = new Set<number>();
  rmSync(join(directory, 'verdict.decisions.sqlite'));
  for (let i = 0; i < 200; i++) {
    ends.add(log.journal.end);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect([...ends]).toEqual([5]);
});
