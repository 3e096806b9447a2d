import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { recordsOf } from '../../../src/decision-log/group-text.js';
import type { JournalGroup } from '../../../src/decision-log/journal-group.js';
import { entryBytes } from '../../../src/decision-log/record-keys.js';
import type { JournalTail } from '../../../src/decision-log/sqlite/journal-tail.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const sizes = [1, 100, 3, 1, 128];
const total = 233;

async function appendGroups(log: Awaited<ReturnType<typeof startLog>>): Promise<void> {
  for (const count of sizes) {
    const examples = Array.from({ length: count }, (_, i) => ({
      subject: `s${i}`,
      caller: i % 3 === 0 ? 'crm' : 'billing \u0000"',
      decision: i % 7 === 0 ? ('deny' as const) : ('allow' as const),
      now: Date.now() + 40_000 * (i % 4),
    }));
    await Promise.all(examples.map((example) => log.append(exampleRecord(log, example))));
  }
}

async function groupsOf(journal: JournalTail): Promise<JournalGroup[]> {
  const read: JournalGroup[] = [];
  for (let after = 0; after < total; ) {
    const { groups, missing, to } = await journal.read(after, 100);
    expect(missing).toEqual([]);
    read.push(...groups);
    after = to;
  }
  return read;
}

/** What is shipped of a group, where keys and counts have no order. */
function content({ entries, tally, text, ...bounds }: JournalGroup) {
  const keys = Array.from({ length: entries.length / entryBytes }, (_, i) =>
    entries.toString('hex', i * entryBytes, (i + 1) * entryBytes),
  );
  return { ...bounds, keys: keys.sort(), tally: tally.map((row) => JSON.stringify(row)).sort(), text: text.toString() };
}

async function changeJournal(directory: string, statement: string): Promise<void> {
  const path = join(directory, 'verdict.decisions.sqlite');
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
  await connection.query(statement).finally(() => connection.close());
}

it('reads the same from memory, from the files, and from the texts in them, in order, whatever the groups', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { isShipped: true });
  await appendGroups(log);
  const fromMemory = (await groupsOf(log.journal)).map(content);
  const records = fromMemory.flatMap(({ first, text }) => [...recordsOf({ first, records: text })].reverse());
  expect(records.map(({ sequence }) => sequence)).toEqual(Array.from({ length: total }, (_, i) => i + 1));
  const other = await startLog(directory, { isShipped: true });
  expect((await groupsOf(other.journal)).map(content)).toEqual(fromMemory);
  await changeJournal(directory, 'UPDATE journal SET shipping = NULL');
  const masks = /....$/;
  const withoutMasks = (groups: ReturnType<typeof content>[]) =>
    groups.map((group) => ({ ...group, keys: group.keys.map((key) => key.replace(masks, '')) }));
  const fromText = (await groupsOf(other.journal)).map(content);
  expect(withoutMasks(fromText)).toEqual(withoutMasks(fromMemory));
  // Keys that the records share name every place when they are committed, and only their own when they are read.
  const places = (groups: ReturnType<typeof content>[]) =>
    groups.flatMap(({ keys }) => keys.map((key) => Number.parseInt(masks.exec(key)![0], 16)));
  const [told, found] = [places(fromMemory), places(fromText)];
  expect(found.every((mask, i) => mask !== 0 && (mask & told[i]!) === mask)).toBe(true);
});

for (const [what, change] of [
  ['its text', `records = replace(records, '"approve"', '"reprove"')`],
  ['its keys', `keys = CAST(X'000000000000' || substr(keys, 7) AS BLOB)`],
  ['its times', 'until = until + 1'],
  ['what its shipping needs', `shipping = CAST(substr(shipping, 1, length(shipping) - 2) || '}}' AS BLOB)`],
  ['the form of that', `shipping = CAST(X'7f' || substr(shipping, 2) AS BLOB)`],
] as const) {
  it(`a group of which ${what} is not as it was written is read from its text`, async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { isShipped: true });
    await appendGroups(log);
    await log.stop();
    await changeJournal(directory, `UPDATE journal SET ${change}`);
    const again = await startLog(directory, { isShipped: true });
    const groups = (await groupsOf(again.journal)).map(content);
    await changeJournal(directory, 'UPDATE journal SET shipping = NULL');
    expect(groups).toEqual((await groupsOf(again.journal)).map(content));
    expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(total);
  });
}

it('goes on with a file that was written while its journal was not shipped, and back', async () => {
  const directory = temporaryDirectory();
  for (const isShipped of [false, true, false, true]) {
    const log = await startLog(directory, { isShipped });
    await Promise.all(Array.from({ length: 20 }, () => log.append(exampleRecord(log))));
    await log.stop();
  }
  const log = await startLog(directory, { isShipped: true });
  const { groups, to } = await log.journal.read(0, 1_000);
  expect(to).toBe(80);
  expect(groups.map(({ first, count, entries }) => [first, count, entries.length])).toEqual(
    [1, 21, 41, 61].map((first) => [first, 20, 9 * entryBytes]),
  );
});

it('reads groups of any size, a large one alone', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { isShipped: true });
  const large = 'x'.repeat(1_500_000);
  for (const note of ['', large, large, '', '']) await log.append(exampleRecord(log, { attributes: { note } }));
  await log.stop();
  const again = await startLog(directory, { isShipped: true });
  const { groups, to } = await again.journal.read(0, 1_000);
  expect(to).toBe(5);
  expect(groups.map(({ text }) => text.length > large.length)).toEqual([false, true, true, false, false]);
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
