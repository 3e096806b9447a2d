import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import { exampleRecord, noon } from './example-records.js';
import { startLog, temporaryDirectory } from './temporary-log.js';

/** 300 records, one a second; every third is a deny, sets and callers take turns. */
async function fill(log: DecisionLog, from = 0): Promise<void> {
  const examples = Array.from({ length: 300 }, (_, i) => ({
    now: noon + (from + i) * 1_000,
    decision: i % 3 === 0 ? ('deny' as const) : ('allow' as const),
    policySet: `set${i % 2}`,
    caller: i < 100 ? 'a' : 'b\u0000"',
  }));
  await Promise.all(examples.map((example) => log.append(exampleRecord(log, example))));
}

it('counts by bucket and field, from the index and from what is not indexed yet alike', async () => {
  const log = await startLog(temporaryDirectory());
  await fill(log);
  const expected = [await log.stats({}), await log.stats({ bucket: 'minute', by: ['decision'] })];
  await log.indexNow();
  expect([await log.stats({}), await log.stats({ bucket: 'minute', by: ['decision'] })]).toEqual(expected);
  expect(expected[0]).toEqual({ items: [{ count: 300 }], total: 300 });
  expect(expected[1]).toEqual({
    items: [0, 1, 2, 3, 4].flatMap((minute) => [
      { time: `2026-11-21T12:0${minute}:00.000Z`, decision: 'allow', count: 40 },
      { time: `2026-11-21T12:0${minute}:00.000Z`, decision: 'deny', count: 20 },
    ]),
    total: 300,
  });
  await fill(log, 300);
  expect(await log.stats({ bucket: 'hour', by: ['reason'] })).toEqual({
    items: [
      { time: '2026-11-21T12:00:00.000Z', reason: 'rule_allowed', count: 400 },
      { time: '2026-11-21T12:00:00.000Z', reason: 'no_matching_rule', count: 200 },
    ],
    total: 600,
  });
});

it('counts what filters, times and the scope leave', async () => {
  const log = await startLog(temporaryDirectory());
  await fill(log);
  expect((await log.stats({ policySet: 'set0' })).total).toBe(150);
  expect((await log.stats({ caller: 'b\u0000"', by: ['caller'] })).items).toEqual([{ caller: 'b\u0000"', count: 200 }]);
  expect((await log.stats({ from: '2026-11-21T12:01:30Z', to: '2026-11-21T12:02:30Z' })).total).toBe(120);
  expect((await log.stats({}, { policySets: ['set1'] })).total).toBe(150);
  expect((await log.stats({}, { policySets: [] })).total).toBe(0);
  await expect(log.stats({ from: 'x' })).rejects.toMatchObject({ code: 'invalid_request' });
});

it('counts survive a restart, and a lost index', async () => {
  const directory = temporaryDirectory();
  const query = { bucket: 'minute', by: ['policySet', 'decision', 'caller'] } as const;
  const first = await startLog(directory);
  await fill(first);
  await first.indexNow();
  await fill(first, 300);
  const expected = await first.stats(query);
  await first.stop();
  const second = await startLog(directory);
  expect(await second.stats(query)).toEqual(expected);
  await second.stop();
  rmSync(join(directory, 'verdict.decisions.index.sqlite'));
  const third = await startLog(directory);
  expect(await third.stats(query)).toEqual(expected);
});

it('a table of more than 10,000 rows is refused', async () => {
  const log = await startLog(temporaryDirectory());
  const append = (i: number) => log.append(exampleRecord(log, { now: noon + i * 60_000 }));
  await Promise.all(Array.from({ length: 10_000 }, (_, i) => append(i)));
  expect((await log.stats({ bucket: 'minute' })).items).toHaveLength(10_000);
  await append(10_000);
  await expect(log.stats({ bucket: 'minute' })).rejects.toMatchObject({
    code: 'invalid_request',
    extra: { errors: [{ pointer: '/bucket' }] },
  });
});

it('names the ids that decisions are about most often, within filters and scope', async () => {
  const log = await startLog(temporaryDirectory());
  const subjects = ['ann', 'ann', 'ann', '__proto__', '__proto__', 'bob', 'bob', ''];
  await Promise.all(
    subjects.map((subject, i) => log.append(exampleRecord(log, { subject, resource: `r${i % 2}`, now: noon + i }))),
  );
  const { top, total } = await log.stats({ top: 'subject' });
  expect(total).toBe(8);
  expect(top).toEqual({
    ids: [
      { id: 'ann', count: 3 },
      { id: '__proto__', count: 2 },
      { id: 'bob', count: 2 },
      { id: '', count: 1 },
    ],
    examined: 8,
  });
  expect((await log.stats({ top: 'resource', policySet: 'invoices' })).top?.ids).toHaveLength(2);
  expect((await log.stats({ top: 'subject', decision: 'deny' })).top).toEqual({ ids: [], examined: 0 });
  expect((await log.stats({ top: 'subject' }, { policySets: ['other'] })).top).toEqual({ ids: [], examined: 0 });
});

it('says how far back it counted, when the records are more than it reads', async () => {
  const log = await startLog(temporaryDirectory());
  const append = (i: number) => log.append(exampleRecord(log, { now: noon + i }));
  for (let i = 0; i < 70_000; i += 10_000) {
    await Promise.all(Array.from({ length: 10_000 }, (_, j) => append(i + j)));
  }
  const { top } = await log.stats({ top: 'subject' });
  expect(top!.examined).toBeGreaterThanOrEqual(65_536);
  expect(top!.examined).toBeLessThan(65_536 + 1_024);
  expect(top!.searchedTo).toBe(new Date(noon + 70_000 - top!.examined).toISOString());
});
