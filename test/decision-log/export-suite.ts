import { describe, expect, it } from 'vitest';
import { csvTexts } from '../../src/decision-log/decision-csv.js';
import type { ExportQuery } from '../../src/decision-log/export-query.js';
import { recordForSome } from '../../src/decision-log/partial-view.js';
import type { SearchScope } from '../../src/decision-log/record-filter.js';
import type { RecordedDecisions } from '../../src/decision-log/recorded-decisions.js';
import { exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

const csv = csvTexts();

async function textOf(log: RecordedDecisions, query: ExportQuery, scope: SearchScope = {}): Promise<string> {
  let text = '';
  for await (const piece of log.export(query, scope)) text += piece;
  return text;
}

/** Everything that matches, as text. */
export function describeExports(newHome: MakeLogHome): void {
  describe('an export', () => {
    it('exports what a search finds, record by record, in both formats', async () => {
      const home = newHome();
      const log = await home.start();
      const append = (i: number) =>
        log.append(exampleRecord(log, { now: noon + i, subject: `s${i % 3}`, policySet: `set${i % 2}` }));
      await Promise.all(Array.from({ length: 500 }, (_, i) => append(i)));
      await home.index(log);
      await Promise.all(Array.from({ length: 400 }, (_, i) => append(500 + i)));
      for (const [query, scope] of [
        [{}, {}],
        [{ subject: 's1' }, {}],
        [{ subject: 's1', from: '2026-11-21T12:00:00.200Z' }, {}],
        [{ q: 's2' }, { policySets: ['set1'] }],
        [{ subject: 'nobody' }, {}],
      ] as const) {
        const found = (await log.search({ ...query, limit: 1_000 }, scope)).items;
        // Who may read some policy sets alone sees no sequence.
        const items = 'policySets' in scope ? found.map(recordForSome) : found;
        const lines = (await textOf(log, query, scope)).split('\n').slice(0, -1);
        expect(lines.map((line) => JSON.parse(line))).toEqual(items);
        expect(await textOf(log, { ...query, format: 'csv' }, scope)).toBe(csv.header + items.map(csv.record).join(''));
      }
    });

    it('says when the retention removed records while all were read, and only of the times that are asked for', async () => {
      const day = 86_400_000;
      const home = newHome();
      // Nothing is due before the test says so.
      const log = await home.start({ retention: { maxAgeMs: 100 * day } });
      const now = Date.now();
      const from = new Date(now - day).toISOString();
      const readings = [
        [{}, 1],
        [{ from }, 0],
      ] as const;
      for (const [times, removed] of readings) {
        for (const age of [9, 7, 5, 0]) await log.append(exampleRecord(log, { now: now - age * day, policySet: 'a' }));
        await home.index(log);
        await home.shared(log);
        const groups = log.groups({ policySet: 'a', ...('from' in times && { from: now - day }) }, 0);
        const exported = log.export(times);
        const found: unknown[] = (await groups.next()).value?.gaps ?? [];
        let text = (await exported.next()).value;
        await log.prune(now + 94 * day);
        for await (const { gaps } of groups) found.push(...gaps);
        for await (const piece of exported) text += piece;
        const gap = { lost: null, cause: 'removed' };
        expect(found).toMatchObject(Array(removed).fill(gap));
        const lines = text
          .split('\n')
          .slice(0, -1)
          .map((line: string) => JSON.parse(line));
        expect(lines.flatMap(({ gap }: { gap?: object }) => gap ?? [])).toMatchObject(Array(removed).fill(gap));
        // It is said once: what was removed before is not there.
        expect(await textOf(log, {})).not.toContain('removed');
      }
    });

    it('says where records are missing, in their place among the others, and only within the times that are asked for', async () => {
      const home = newHome();
      for (const hour of [0, 1]) {
        const log = await home.start({ mode: 'async', queueLimit: 2 });
        const now = noon + hour * 3_600_000;
        for (const subject of ['a', 'b', 'c', 'd']) await log.append(exampleRecord(log, { now, subject }));
        await log.stop();
      }
      const log = await home.start();
      const at = (hour: number) => ({ from: `2026-11-21T${hour}:00:00.000Z`, to: `2026-11-21T${hour}:00:00.000Z` });
      const gaps = [
        { after: 4, lost: 2, cause: 'queue_full', ...at(13) },
        { after: 2, lost: 2, cause: 'queue_full', ...at(12) },
      ];
      const lines = (await textOf(log, {})).split('\n').slice(0, -1);
      expect(lines.map((line) => JSON.parse(line)).map(({ gap, request }) => gap ?? request.subject.id)).toEqual([
        gaps[0],
        'b',
        'a',
        gaps[1],
        'b',
        'a',
      ]);
      const csv = (await textOf(log, { format: 'csv', subject: 'b' })).split('\r\n');
      expect(csv[1]).toMatch(/^2026-11-21T13:00:00.000Z,,gap,queue_full,.*"{""after"":4,""lost"":2,/);
      expect(csv.map((row) => row.split(',')[2])).toEqual(['decision', 'gap', 'allow', 'gap', 'allow', undefined]);

      const before = { to: '2026-11-21T12:30:00Z' };
      expect((await log.search(before)).gaps).toEqual([gaps[1]]);
      expect((await textOf(log, before)).match(/"gap"/g)).toHaveLength(1);
      expect((await log.search({ from: '2026-11-21T14:00:00Z' })).gaps).toBeUndefined();
    });

    it('says that records are missing where there are no others', async () => {
      const home = newHome();
      const lossy = await home.start({ mode: 'async', queueLimit: 0 });
      await lossy.append(exampleRecord(lossy));
      await lossy.stop();
      const log = await home.start();
      expect(JSON.parse(await textOf(log, {}))).toMatchObject({ gap: { after: 0, lost: 1 } });
    });

    it('does not hold what was committed after it began', async () => {
      const log = await newHome().start();
      await log.append(exampleRecord(log));
      const pieces = log.export({});
      await log.append(exampleRecord(log));
      const text = [];
      for await (const piece of pieces) text.push(piece);
      expect(text.join('').match(/\n/g)).toHaveLength(1);
    });

    it('no cell of the CSV starts a formula, whatever subjects and resources are called', async () => {
      const log = await newHome().start();
      const names = [
        '=1+1',
        '+1',
        '-1',
        '@SUM(A1)',
        '\t=1',
        '\r=1',
        ' =1',
        '"=1',
        'a,b',
        'a"b',
        'a\nb',
        '\uff1d1',
        '|x',
      ];
      for (const name of names) await log.append(exampleRecord(log, { subject: name, resource: name, caller: name }));
      const csv = await textOf(log, { format: 'csv' });
      for (const record of (await log.search({})).items) expect(csv).toContain(csvTexts().record(record));
      const cells = [...csv.matchAll(/(?:^|,|\r\n)(?:"((?:[^"]|"")*)"|([^",\r\n]*))/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain!,
      );
      for (const name of names) expect(cells.some((cell) => cell === name || cell === `'${name}`)).toBe(true);
      expect(cells.filter((cell) => /^\s*[=+\-@|\uff1d]/.test(cell))).toEqual([]);
    });

    it('a query that is not valid fails before the first piece', async () => {
      const log = await newHome().start();
      expect(() => log.export({ from: 'x' })).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    });

    it('100,000 records need no more memory than 10,000', async () => {
      const log = await newHome().start();
      for (let i = 0; i < 100; i++)
        await Promise.all(Array.from({ length: 1_000 }, () => log.append(exampleRecord(log))));
      let most = 0;
      let bytes = 0;
      for await (const piece of log.export({})) {
        bytes += piece.length;
        most = Math.max(most, piece.length);
      }
      expect(bytes).toBeGreaterThan(50_000_000);
      expect(most).toBeLessThan(128 * 1_000);
    });
  });
}
