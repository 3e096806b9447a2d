import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StatsQuery } from '../../src/decision-log/stats-query.js';
import { type TallyField, tallyFields } from '../../src/decision-log/tally.js';
import { readTimeRange } from '../../src/query/time-range.js';
import { TimeZone } from '../../src/query/time-zone.js';
import { appendExamples, appendFiveMinutes, type Example, exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

const dayMs = 86_400_000;

/** Random decisions of two sets, few reasons and more callers than are kept apart, within two days. */
const examples = fc.array(
  fc.record({
    now: fc.oneof(
      fc.integer({ min: noon, max: noon + 2 * dayMs }),
      // Around the end of summer time.
      fc.integer({ min: Date.UTC(2026, 9, 24, 20), max: Date.UTC(2026, 9, 25, 4) }),
    ),
    decision: fc.constantFrom('allow' as const, 'deny' as const),
    policySet: fc.constantFrom('a', 'b'),
    caller: fc.constantFrom('', 'x', 'y', 'z', 'null', '0'),
  }),
  { maxLength: 120 },
);
const questions = fc.record(
  {
    bucket: fc.constantFrom('minute' as const, 'hour' as const, 'day' as const),
    by: fc.subarray([...tallyFields]),
    tz: fc.constantFrom('UTC', 'Europe/Zurich', 'Asia/Kathmandu', 'Australia/Lord_Howe'),
    from: fc.constantFrom('2026-10-25', '2026-10-25T00:30:00Z', '2026-11-21T12:07:00Z', '2026-11-22'),
    to: fc.constantFrom('2026-10-25', '2026-11-21T23:59:00Z', '2026-11-22', '2026-11-22T11:07:00Z'),
    decision: fc.constantFrom('deny'),
    caller: fc.constantFrom('x', 'nobody'),
  },
  { requiredKeys: [] },
);

/** What the clocks of a zone show at a time, up to the minute, the hour or the day. */
function rangeInMs(query: StatsQuery): { from: number; to: number } {
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = readTimeRange(query);
  return { from, to };
}

function bucketName(time: number, { bucket, tz = 'UTC' }: StatsQuery): string | undefined {
  if (bucket === undefined) return undefined;
  const zone = TimeZone.named(tz)!;
  const offset = zone.offsetAt(time);
  const shown = new Date(time + offset * 60_000).toISOString().slice(0, { minute: 16, hour: 13, day: 10 }[bucket]);
  // An hour that clocks show twice is two.
  return bucket === 'day' ? shown : `${shown} ${offset}`;
}

/** Counts are those of the records, by any field, bucket, zone and range. */
export function describeCounts(newHome: MakeLogHome): void {
  describe('statistics', () => {
    it('counts by bucket and field, from the index and from what is not indexed yet alike', async () => {
      const home = newHome();
      const log = await home.start();
      await appendFiveMinutes(log);
      const expected = [await log.stats({}), await log.stats({ bucket: 'minute', by: ['decision'] })];
      await home.index(log);
      expect([await log.stats({}), await log.stats({ bucket: 'minute', by: ['decision'] })]).toEqual(expected);
      expect(expected[0]).toEqual({ items: [{ count: 300 }], total: 300 });
      expect(expected[1]).toEqual({
        items: [0, 1, 2, 3, 4].flatMap((minute) => [
          { time: `2026-11-21T12:0${minute}:00.000Z`, decision: 'allow', count: 40 },
          { time: `2026-11-21T12:0${minute}:00.000Z`, decision: 'deny', count: 20 },
        ]),
        total: 300,
      });
      await appendFiveMinutes(log, 300);
      expect(await log.stats({ bucket: 'hour', by: ['reason'] })).toEqual({
        items: [
          { time: '2026-11-21T12:00:00.000Z', reason: 'rule_allowed', count: 400 },
          { time: '2026-11-21T12:00:00.000Z', reason: 'no_matching_rule', count: 200 },
        ],
        total: 600,
      });
    });

    it('counts what filters, times and the scope leave', async () => {
      const log = await newHome().start();
      await appendFiveMinutes(log);
      expect((await log.stats({ policySet: 'set0' })).total).toBe(150);
      expect((await log.stats({ caller: 'b\u0000"', by: ['caller'] })).items).toEqual([
        { caller: 'b\u0000"', count: 200 },
      ]);
      expect((await log.stats({ from: '2026-11-21T12:01:30Z', to: '2026-11-21T12:02:30Z' })).total).toBe(120);
      expect((await log.stats({}, { policySets: ['set1'] })).total).toBe(150);
      expect((await log.stats({}, { policySets: [] })).total).toBe(0);
      await expect(log.stats({ from: 'x' })).rejects.toMatchObject({ code: 'invalid_request' });
    });

    it('a table of more than 10,000 rows is refused', async () => {
      const log = await newHome().start();
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
      const log = await newHome().start();
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
      const home = newHome();
      const log = await home.start();
      const append = (i: number) => log.append(exampleRecord(log, { now: noon + i }));
      for (let i = 0; i < 70_000; i += 10_000) {
        await Promise.all(Array.from({ length: 10_000 }, (_, j) => append(i + j)));
      }
      const { top } = await log.stats({ top: 'subject' });
      expect(top!.examined).toBeGreaterThanOrEqual(home.leastCounted);
      expect(top!.examined).toBeLessThan(65_536 + 1_024);
      // All from that time on were counted, and perhaps the last of the millisecond before.
      const since = noon + 70_000 - Date.parse(top!.searchedTo!);
      expect(top!.examined - since).toBeOneOf([0, 1]);
    }, 120_000);

    it('counts as somebody would who reads every record, by any fields, bucket, zone and range', async () => {
      const home = newHome();
      const log = await home.start();
      const recorded: Required<Pick<Example, 'now' | 'decision' | 'policySet' | 'caller'>>[] = [];
      await fc.assert(
        fc.asyncProperty(
          examples,
          fc.array(questions, { minLength: 1, maxLength: 5 }),
          fc.boolean(),
          async (more, queries, index) => {
            await appendExamples(log, more);
            recorded.push(...more);
            if (index) await home.index(log);
            for (const query of queries) {
              const scope = query.caller === undefined ? {} : { policySets: ['b', 'c'] };
              const { items, total, ...rest } = await log.stats(query, scope);
              const wanted = new Map<string, number>();
              const { from, to } = rangeInMs(query);
              for (const record of recorded) {
                if (record.now < from || record.now >= to) continue;
                if (query.decision !== undefined && record.decision !== query.decision) continue;
                if (query.caller !== undefined && record.caller !== query.caller) continue;
                if (scope.policySets !== undefined && !scope.policySets.includes(record.policySet)) continue;
                const whole = exampleRecord(log, record);
                const values: Record<TallyField, string> = { ...whole, reason: whole.reason.code };
                const key = JSON.stringify([
                  bucketName(record.now, query),
                  ...(query.by ?? []).map((field) => values[field]),
                ]);
                wanted.set(key, (wanted.get(key) ?? 0) + 1);
              }
              const got = items.map(({ time, count, ...values }) => {
                const bucket = time === undefined ? undefined : bucketName(Date.parse(time), query);
                return [JSON.stringify([bucket, ...(query.by ?? []).map((field) => values[field])]), count];
              });
              expect(new Map(got as [string, number][]), JSON.stringify(query)).toEqual(wanted);
              expect(got).toHaveLength(wanted.size);
              expect(total).toBe([...wanted.values()].reduce((sum, count) => sum + count, 0));
              expect(rest).toEqual({});
            }
          },
        ),
        { numRuns: 12 },
      );
    }, 60_000);
  });
}
