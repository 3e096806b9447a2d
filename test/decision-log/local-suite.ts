import { describe, expect, it } from 'vitest';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionQuery } from '../../src/decision-log/decision-query.js';
import type { NewDecisionRecord } from '../../src/decision-log/decision-record.js';
import { exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

const one = '1'.repeat(32);
const other = '2'.repeat(32);
const disputed: NewDecisionRecord['disputed'] = {
  decision: 'deny',
  reason: { code: 'rule_denied', rule: ['p', 'alice'] },
  errors: ['type_error'],
  obligations: [{ tell: 'dana' }],
  engineVersion: '0.1.0',
};

function localRecord(log: DecisionLog, instance: string, number: number, more: Partial<NewDecisionRecord> = {}) {
  const now = noon + number;
  const decidedAt = new Date(now - 5).toISOString();
  const record = exampleRecord(log, { now, requestId: `${instance}-${number}` });
  return { ...record, clock: now - 5, via: 'local', local: { instance, number, decidedAt }, ...more };
}

/** What the log keeps of decisions in clients' own processes. */
export function describeLocalRecords(newHome: MakeLogHome): void {
  describe('decisions of clients', () => {
    it('are read as they were appended, found by their door, and where they are disputed', async () => {
      const home = newHome();
      const log = await home.start();
      await log.append(exampleRecord(log));
      await log.append(localRecord(log, one, 1));
      await log.append(localRecord(log, one, 2, { disputed }));
      const find = async (query: DecisionQuery) => (await log.search(query)).items;
      for (const isIndexed of [false, true]) {
        if (isIndexed) await home.index(log);
        const [second, first] = await find({ via: 'local' });
        const local = { instance: one, number: 2, decidedAt: new Date(noon - 3).toISOString() };
        expect(second).toMatchObject({ local, disputed, clock: local.decidedAt, decision: 'allow' });
        expect(first).toMatchObject({ local: { number: 1 } });
        expect(first).not.toHaveProperty('disputed');
        expect(await find({ disputed: 'true' })).toEqual([second]);
        expect(await find({ about: 'dana' })).toEqual([second]);
        expect(await find({ requestId: `${one}-1` })).toEqual([first]);
        expect(await find({ filter: `via == 'local' && local == '${one}' && local.number == 2` })).toEqual([second]);
        expect(await find({ filter: `disputed && disputed.decision == 'deny'` })).toEqual([second]);
        let csv = '';
        for await (const piece of log.export({ format: 'csv', disputed: 'true' })) csv += piece;
        const [header, row] = csv.split('\r\n');
        expect(header).toMatch(/,localInstance,localNumber,decidedAt,disputed$/);
        expect(row).toContain(`,${one},2,${local.decidedAt},"{""decision"":""deny"",`);
      }
    });

    it('tell the numbers of an instance that were committed behind a place', async () => {
      const log = await newHome().start();
      await log.append(localRecord(log, one, 1));
      const { place } = log;
      expect(await log.standing(place!.writer)).toBe('own');
      const numbers = async () => [...(await log.recordedNumbers(one, place!))].sort((a, b) => a - b);
      expect(await numbers()).toEqual([]);
      await Promise.all([
        log.append(localRecord(log, one, 2)),
        log.append(localRecord(log, other, 3)),
        log.append(exampleRecord(log, { requestId: one })),
      ]);
      for (let number = 4; number < 300; number++) await log.append(localRecord(log, one, number));
      expect(await numbers()).toEqual([2, ...Array.from({ length: 296 }, (_, n) => n + 4)]);
      expect((await log.recordedNumbers(one, log.place!)).size).toBe(0);
    });

    it('are among the numbers as soon as they were appended, where no answer waits for a commit', async () => {
      const log = await newHome().start({ mode: 'async' });
      const { place } = log;
      const records = Array.from({ length: 200 }, (_, n) => localRecord(log, one, n + 1));
      await log.appendBulk(records, await log.roomForBulk(records.length, 1_000));
      const [numbers, again] = await Promise.all([1, 2].map(() => log.recordedNumbers(one, place!)));
      expect([numbers!.size, again!.size]).toEqual([200, 200]);
    });

    it('that are missing are a gap, found again behind a place', async () => {
      const log = await newHome().start();
      await log.append(exampleRecord(log));
      const { place } = log;
      const missing = { lost: 12, since: noon - 1_000, until: noon, cause: 'lost_by_client' as const };
      expect((await log.notedTimes('lost_by_client', place!)).size).toBe(0);
      await log.noteMissing(missing);
      await log.noteMissing({ ...missing, lost: 1, since: noon - 999 });
      await log.noteMissing({ ...missing, lost: null, cause: 'client_silent' });
      expect(await log.notedTimes('lost_by_client', place!)).toEqual(new Set([noon - 1_000, noon - 999]));
      await log.append(exampleRecord(log));
      expect((await log.notedTimes('lost_by_client', log.place!)).size).toBe(0);
      await log.noteMissing(missing);
      const { gaps } = await log.search({});
      const sorted = gaps!.map(({ lost, after, cause }) => [after, lost, cause]).toSorted();
      expect(sorted).toEqual([
        [1, null, 'client_silent'],
        [1, 1, 'lost_by_client'],
        [1, 12, 'lost_by_client'],
        [2, 12, 'lost_by_client'],
      ]);
    });

    it('have no place where nothing is recorded', async () => {
      const log = await newHome().start({ mode: 'off' });
      expect(log.place).toBeUndefined();
      await log.noteMissing({ lost: 1, since: noon, until: noon, cause: 'refused_from_client' });
    });
  });
}
