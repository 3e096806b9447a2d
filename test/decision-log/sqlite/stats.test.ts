import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { DecisionCounts } from '../../../src/decision-log/decision-counts.js';
import { plainCoding } from '../../../src/decision-log/group-coding.js';
import { addFile, timeAfter } from '../../../src/decision-log/sqlite/counted-file.js';
import { openReader } from '../../../src/decision-log/sqlite/key-index.js';
import { tallyLimits } from '../../../src/decision-log/sqlite/tally-table.js';
import { statsOf } from '../../../src/decision-log/stats-answer.js';
import { tallyQuestionOf } from '../../../src/decision-log/tally-question.js';
import { appendExamples, appendFiveMinutes, noon } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

it('counts survive a restart, and a lost index', async () => {
  const directory = temporaryDirectory();
  const query = { bucket: 'minute', by: ['policySet', 'decision', 'caller'] } as const;
  const first = await startLog(directory);
  await appendFiveMinutes(first);
  await first.indexNow();
  await appendFiveMinutes(first, 300);
  const expected = await first.stats(query);
  await first.stop();
  const second = await startLog(directory);
  expect(await second.stats(query)).toEqual(expected);
  await second.stop();
  rmSync(join(directory, 'verdict.decisions.index.sqlite'));
  const third = await startLog(directory);
  await third.indexNow();
  expect(await third.stats(query)).toEqual(expected);
});

it('answers while counts are made anew, and says up to when they are complete', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  await appendExamples(
    log,
    Array.from({ length: 300 }, (_, i) => ({ now: noon + i * 1_000 })),
  );
  await log.stop();
  const connection = await openReader(
    join(directory, 'verdict.decisions.index.sqlite'),
    join(directory, 'verdict.decisions.sqlite'),
  );
  onTestFinished(() => connection.close());
  const question = tallyQuestionOf({}, {});
  const file = { connection, coding: plainCoding, hasCounts: true, before: 0, end: 300, uncounted: [] };
  const few = new DecisionCounts(question);
  // Nothing is counted in the file; it may read one record fewer than there are, then all of them.
  expect(await addFile(few, { ...file, hasCounts: false }, 299)).toBe(0);
  expect(await statsOf(few, [], { countedTo: await timeAfter(connection, 0) })).toEqual({
    items: [],
    total: 0,
    complete: false,
    countedTo: new Date(noon).toISOString(),
  });
  const all = new DecisionCounts(question);
  expect(await addFile(all, { ...file, hasCounts: false }, 300)).toBeUndefined();
  expect((await statsOf(all, [])).total).toBe(300);
  // What the process knows of its newest groups is counted in any case.
  const rows = [
    { minute: noon / 60_000, policySet: 'a', policyVersion: 'b', decision: 'deny', reason: 'c', caller: 'd', count: 7 },
  ];
  const newest = new DecisionCounts(question);
  expect(
    await addFile(newest, { ...file, hasCounts: false, end: 307, uncounted: [{ first: 301, last: 307, rows }] }, 0),
  ).toBe(0);
  expect(newest.total).toBe(7);
});

it('hands the event loop few rows at a time, however many there are', async () => {
  const log = await startLog(temporaryDirectory());
  const examples = Array.from({ length: 2_500 }, (_, i) => ({ now: noon + i * 10_000, caller: `c${i % 900}` }));
  await appendExamples(log, examples);
  await log.indexNow();
  const parse = vi.spyOn(JSON, 'parse');
  onTestFinished(() => parse.mockRestore());
  const { items } = await log.stats({ bucket: 'minute', by: ['caller', 'decision'] });
  expect(items).toHaveLength(2_500);
  const pieces = parse.mock.results.map(({ value }) => (Array.isArray(value) ? value.length : 0));
  expect(pieces.reduce((sum, length) => sum + length, 0)).toBe(2_500);
  expect(Math.max(...pieces)).toBeLessThanOrEqual(500);
});

it('a crowd of callers is counted as others, which no caller can be taken for', async () => {
  const log = await startLog(temporaryDirectory());
  const names = [...Array.from({ length: tallyLimits.names - 1 }, (_, i) => `c${i}`), 'other', 'other'];
  await appendExamples(
    log,
    // Within a day: each file keeps as many names apart.
    names.map((caller, i) => ({ caller, now: noon + i * 30_000 })),
  );
  await log.indexNow();
  await appendExamples(log, [{ caller: 'late', now: noon + 90_000 }]);
  await log.indexNow();
  const { items, total } = await log.stats({ by: ['caller'] });
  expect(total).toBe(tallyLimits.names + 2);
  expect(items[0]).toEqual({ caller: 'other', count: 2 });
  expect(items.filter(({ caller }) => caller === undefined)).toEqual([{ other: ['caller'], count: 1 }]);
  expect(await log.stats({ caller: 'late' })).toEqual({ items: [], total: 0, uncertain: 1 });
  expect(await log.stats({ caller: 'c7' })).toEqual({ items: [{ count: 1 }], total: 1, uncertain: 1 });
});

it('an answer keeps as many callers apart as it may, and one more is counted with the others', async () => {
  const rows = ['a', 'b', 'c', 'a', 'd'].map((caller) => {
    return {
      minute: noon / 60_000,
      policySet: 's',
      policyVersion: 'v',
      decision: 'allow',
      reason: 'r',
      caller,
      count: 1,
    };
  });
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  await log.stop();
  const connection = await openReader(
    join(directory, 'verdict.decisions.index.sqlite'),
    join(directory, 'verdict.decisions.sqlite'),
  );
  onTestFinished(() => connection.close());
  const itemsOf = async (limit: number) => {
    const counts = new DecisionCounts(tallyQuestionOf({ by: ['caller'] }, {}), 10, limit);
    const uncounted = [{ first: 1, last: 5, rows }];
    await addFile(counts, { connection, coding: plainCoding, hasCounts: false, before: 0, end: 5, uncounted });
    return (await statsOf(counts, ['caller'])).items;
  };
  expect(await itemsOf(4)).toEqual([
    { caller: 'a', count: 2 },
    { caller: 'b', count: 1 },
    { caller: 'c', count: 1 },
    { caller: 'd', count: 1 },
  ]);
  expect(await itemsOf(3)).toEqual([
    { caller: 'a', count: 2 },
    { caller: 'b', count: 1 },
    { caller: 'c', count: 1 },
    { other: ['caller'], count: 1 },
  ]);
});

it('an answer is refused whose groups were not all read, even where it would count some of them together', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  await appendExamples(
    log,
    Array.from({ length: 6 }, (_, i) => ({ caller: `c${i}` })),
  );
  await log.indexNow();
  await log.stop();
  const connection = await openReader(
    join(directory, 'verdict.decisions.index.sqlite'),
    join(directory, 'verdict.decisions.sqlite'),
  );
  onTestFinished(() => connection.close());
  const file = { connection, coding: plainCoding, hasCounts: true, before: 0, end: 6, uncounted: [] };
  const ask = async (limit: number) => {
    const counts = new DecisionCounts(tallyQuestionOf({ by: ['caller'] }, {}), limit, 2);
    await addFile(counts, file);
    return counts.total;
  };
  expect(await ask(6)).toBe(6);
  await expect(ask(5)).rejects.toMatchObject({ code: 'invalid_request' });
});

it('a damaged group costs the counts of its own records alone', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  for (let batch = 0; batch < 3; batch++) await appendExamples(log, [{ now: noon }, { now: noon + 1 }]);
  await log.stop();
  const path = join(directory, 'verdict.decisions.sqlite');
  const journal = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
  await journal.query(`UPDATE journal SET records = substr(records, 1, length(records) - 40) WHERE first = 3`);
  await journal.close();
  rmSync(join(directory, 'verdict.decisions.index.sqlite'));
  const again = await startLog(directory);
  await again.indexNow();
  expect((await again.stats({})).total).toBe(4);
});
