import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { GroupCommit } from '../../../src/decision-log/sqlite/group-commit.js';
import { KeyIndex } from '../../../src/decision-log/sqlite/key-index.js';
import { Turns } from '../../../src/turns/turns.js';
import { exampleRecord, noon } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

/** Makes every turn as short as can be, so that each place where one may end is one where it does. */
function shortestTurns(): { ended: () => number } {
  const isOver = vi.spyOn(Turns.prototype, 'isOver', 'get').mockReturnValue(true);
  const next = vi.spyOn(Turns.prototype, 'next').mockResolvedValue();
  onTestFinished(() => {
    isOver.mockRestore();
    next.mockRestore();
  });
  return { ended: () => next.mock.calls.length };
}

it('a search, an export and the most frequent ids can be interrupted after each record that they parse', async () => {
  const log = await startLog(temporaryDirectory());
  const records = Array.from({ length: 300 }, (_, i) =>
    exampleRecord(log, { now: noon + i, subject: `s${i}`, attributes: { note: 'allow' } }),
  );
  await Promise.all(records.map((record) => log.append(record)));
  await log.indexNow();
  const turns = shortestTurns();
  const endedBy = async (read: () => Promise<unknown>) => {
    const before = turns.ended();
    await read();
    return turns.ended() - before;
  };
  // Every text has it, as the name of a member, and no value does: all are parsed and none is found.
  expect(await endedBy(() => log.search({ q: 'note' }))).toBeGreaterThanOrEqual(300);
  expect(await endedBy(() => log.search({ limit: 300 }))).toBeGreaterThanOrEqual(300);
  expect(await endedBy(() => log.stats({ top: 'subject' }))).toBeGreaterThanOrEqual(300);
  const exported = async () => {
    for await (const piece of log.export({})) expect(piece).not.toBe('');
  };
  expect(await endedBy(exported)).toBeGreaterThanOrEqual(300);
});

it('a group ends at a megabyte of text, for whoever reads a record reads its group', async () => {
  const sizes: number[] = [];
  const group = new GroupCommit(async ({ lines }) => {
    sizes.push(lines.length);
  });
  const log = await startLog(temporaryDirectory(), { mode: 'off' });
  const large = (length: number) => exampleRecord(log, { attributes: { text: 'x'.repeat(length) } });
  await Promise.all(Array.from({ length: 9 }, () => group.add(large(300_000))));
  // Four are more than a megabyte, so a fifth goes into the next group.
  expect(sizes).toEqual([4, 4, 1]);
});

it('a statement reads a few megabytes of text at most, whatever the records are', async () => {
  const log = await startLog(temporaryDirectory());
  const text = 'x'.repeat(200_000);
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => log.append(exampleRecord(log, { now: noon + i, attributes: { text } }))),
  );
  await log.indexNow();
  const found = await log.search({ limit: 60, subject: 'alice' });
  expect(found.items.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 60 }, (_, i) => 60 - i));
  const all = await log.search({ limit: 60 });
  expect(all.items).toEqual(found.items);
});

it('what goes on in the background ends with the step that it is about when the log is stopped', async () => {
  const directory = temporaryDirectory();
  const first = await startLog(directory);
  for (let i = 0; i < 20_000; i += 5_000) {
    await Promise.all(
      Array.from({ length: 5_000 }, (_, j) => first.append(exampleRecord(first, { now: noon + i + j }))),
    );
  }
  await first.stop();
  rmSync(join(directory, 'verdict.decisions.index.sqlite'));
  const step = vi.spyOn(KeyIndex.prototype, 'indexStep');
  onTestFinished(() => step.mockRestore());
  const second = await startLog(directory);
  await second.stop();
  // Counting alone would be five steps.
  expect(step.mock.calls.length).toBeLessThanOrEqual(2);
  step.mockClear();
  const third = await startLog(directory);
  await third.indexNow();
  expect(step.mock.calls.length).toBeGreaterThan(5);
  expect(await third.stats({})).toEqual({ items: [{ count: 20_000 }], total: 20_000 });
});
