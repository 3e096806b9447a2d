import { describe, expect, it } from 'vitest';
import type { Entity } from '../../src/core/request.js';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionQuery } from '../../src/decision-log/decision-query.js';
import type { DecisionRecord, NewDecisionRecord } from '../../src/decision-log/decision-record.js';
import type { SearchScope } from '../../src/decision-log/record-filter.js';
import type { VerdictError } from '../../src/errors.js';
import { appendExamples, type Example, exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

async function allPages(log: DecisionLog, query: DecisionQuery, scope: SearchScope = {}): Promise<DecisionRecord[]> {
  const items: DecisionRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await log.search(cursor === undefined ? query : { ...query, cursor }, scope);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return items;
}

async function refusal(promise: Promise<unknown>): Promise<Pick<VerdictError, 'code' | 'extra'>> {
  const error = await promise.then(
    () => undefined,
    (reason: VerdictError) => reason,
  );
  return { code: error!.code, extra: error!.extra };
}

const hostileIds = [
  '__proto__',
  'constructor',
  'toString',
  '',
  ' ',
  '%',
  '_',
  'a%b_c*',
  `"; DROP TABLE journal; --`,
  `' OR '1'='1`,
  '\\',
  '\\"',
  '"',
  'new\nline\r\ttab',
  '{"id":"alice"}',
  '😀 👩‍👩‍👧',
  'é',
  'e\u0301',
  '\u2028',
  'x'.repeat(1_024),
  '😀'.repeat(512),
  'alice',
  'Alice',
  'null',
  '0',
];

/** Records are found by what is in them, newest first, page by page. */
export function describeSearches(newHome: MakeLogHome): void {
  describe('a search', () => {
    /** The same records are looked for in the journal's tail and through the key index. */
    for (const place of ['the tail of the journal', 'the index', 'both'] as const) {
      async function startFilledLog(examples: readonly Example[]): Promise<DecisionLog> {
        const home = newHome();
        const log = await home.start();
        const middle = place === 'both' ? Math.floor(examples.length / 2) : examples.length;
        await appendExamples(log, examples.slice(0, middle));
        if (place !== 'the tail of the journal') await home.index(log);
        await appendExamples(log, examples.slice(middle));
        return log;
      }

      it(`any id is found again by its exact text, in ${place}`, async () => {
        const log = await startFilledLog(
          hostileIds.flatMap((id) => [
            { subject: id, resource: 'r' },
            { subject: 's', resource: id },
            { subject: 's', resource: 'r', caller: id, requestId: id, action: id, policySet: id },
          ]),
        );
        for (const id of hostileIds) {
          for (const field of ['subject', 'resource', 'caller', 'requestId', 'action', 'policySet'] as const) {
            const { items } = await log.search({ [field]: id });
            const found = items.map(({ request, caller, requestId, policySet }) => ({
              subject: request.subject.id,
              resource: request.resource.id,
              action: request.action.name,
              caller,
              requestId,
              policySet,
            }));
            expect(found, `${field} ${JSON.stringify(id)}`).toHaveLength(1);
            expect(found[0]![field]).toBe(id);
          }
        }
      });

      it(`filters are joined by and, newest first, in ${place}`, async () => {
        const log = await startFilledLog(
          Array.from({ length: 600 }, (_, i) => ({
            subject: `s${i % 7}`,
            resource: `r${i % 5}`,
            decision: i % 3 === 0 ? ('deny' as const) : ('allow' as const),
            now: noon + i * 1_000,
          })),
        );
        const found = await allPages(log, { subject: 's3', resource: 'r4', decision: 'deny', limit: 2 });
        const expected = Array.from({ length: 600 }, (_, i) => i).filter(
          (i) => i % 7 === 3 && i % 5 === 4 && i % 3 === 0,
        );
        expect(found.map(({ sequence }) => sequence - 1)).toEqual(expected.reverse());
        expect(await allPages(log, { subject: 's3', resource: 'nothing' })).toEqual([]);
        expect(await allPages(log, { reason: 'no_matching_rule' })).toHaveLength(200);
        expect(await allPages(log, { policyVersion: found[0]!.policyVersion, decision: 'deny' })).toHaveLength(200);
      });

      it(`from is within and to is not, to the millisecond, in ${place}`, async () => {
        const log = await startFilledLog(
          Array.from({ length: 500 }, (_, i) => ({ now: noon + i, subject: `s${i % 2}` })),
        );
        const found = await allPages(log, { from: '2026-11-21T12:00:00.100Z', to: '2026-11-21T13:00:00.150+01:00' });
        expect(found.map(({ sequence }) => sequence - 1)).toEqual(Array.from({ length: 50 }, (_, i) => 149 - i));
        expect(await allPages(log, { from: '2026-11-21T12:00:00.499Z' })).toHaveLength(1);
        expect(await allPages(log, { from: '2026-11-21T12:00:00.500Z' })).toHaveLength(0);
        expect(await allPages(log, { to: '2026-11-21T12:00:00.000Z' })).toHaveLength(0);
        expect(await allPages(log, { to: '2026-11-21T12:00:00.001Z', subject: 's0' })).toHaveLength(1);
        expect(await allPages(log, { from: '2026-11-22T12:00:00Z', to: '2026-11-20T12:00:00Z' })).toHaveLength(0);
      });

      it(`records whose clock stepped back are found by their time, in ${place}`, async () => {
        const times = [...Array(200).keys()].map((i) => noon + (i < 100 ? i : i - 5_000));
        const log = await startFilledLog(times.map((now) => ({ now })));
        const found = await allPages(log, { from: '2026-11-21T11:59:55.100Z', to: '2026-11-21T11:59:55.110Z' });
        expect(found.map(({ sequence }) => sequence)).toEqual([...Array(10).keys()].map((i) => 110 - i));
        const last = found.at(-1)!;
        expect(await log.find(last.id)).toEqual(last);
      });

      it(`q finds texts within ids, reasons and attributes as they are, in ${place}`, async () => {
        const log = await startFilledLog([
          { subject: 'Margaret', attributes: { tenant: 'acme' } },
          {
            resource: '100%_sure',
            attributes: { tenant: 'acme', note: 'a "quoted" \\ thing', deep: [{ x: 47114711 }] },
          },
          { subject: 'bob', decision: 'deny', attributes: { tenant: 'Ångström' } },
        ]);
        const subjects = async (q: string) => (await allPages(log, { q })).map(({ request }) => request.subject.id);
        expect(await subjects('ARGAR')).toEqual(['Margaret']);
        expect(await subjects('0%_s')).toEqual(['alice']);
        expect(await subjects('0%')).toEqual(['alice']);
        expect(await subjects('%')).toEqual(['alice']);
        expect(await subjects('"quoted" \\ ')).toEqual(['alice']);
        expect(await subjects('7114711')).toEqual(['alice']);
        expect(await subjects('no_matching')).toEqual(['bob']);
        expect(await subjects('Ångstr')).toEqual(['bob']);
        expect(await subjects('tenant')).toEqual([]);
        expect(await subjects('":"')).toEqual([]);
        expect(await subjects('')).toHaveLength(3);
        expect(await allPages(log, { q: 'acme', subject: 'Margaret' })).toHaveLength(1);
      });

      it(`pages do not shift while records are written, in ${place}`, async () => {
        const log = await startFilledLog(Array.from({ length: 300 }, (_, i) => ({ subject: `s${i % 2}` })));
        for (const query of [{ limit: 7 }, { limit: 7, subject: 's1' }, { limit: 7, q: 's1' }]) {
          const before = await allPages(log, { ...query, limit: 1_000 });
          const seen: DecisionRecord[] = [];
          let cursor: string | undefined;
          do {
            const page = await log.search({ ...query, ...(cursor !== undefined && { cursor }) });
            expect(page.items.length).toBeLessThanOrEqual(7);
            seen.push(...page.items);
            cursor = page.nextCursor;
            await appendExamples(log, [{ subject: 's1' }, { subject: 's0' }]);
          } while (cursor !== undefined);
          expect(seen).toEqual(before);
        }
      });

      it(`a scope hides other policy sets from every query, in ${place}`, async () => {
        const log = await startFilledLog(
          Array.from({ length: 90 }, (_, i) => ({ policySet: `set${i % 3}`, subject: `s${i % 2}` })),
        );
        for (const policySets of [[], ['set1'], ['set1', 'set2'], ['nothing']]) {
          const scope = { policySets };
          const visible = policySets.filter((name) => name !== 'nothing').length * 30;
          expect(await allPages(log, {}, scope)).toHaveLength(visible);
          expect(await allPages(log, { q: 's' }, scope)).toHaveLength(visible);
          expect(await allPages(log, { subject: 's0' }, scope)).toHaveLength(visible / 2);
          expect(await allPages(log, { policySet: 'set0' }, scope)).toHaveLength(0);
        }
        const { items } = await log.search({ policySet: 'set0' });
        expect(await log.find(items[0]!.id, { policySets: ['set0'] })).toBeDefined();
        expect(await log.find(items[0]!.id, { policySets: ['set1'] })).toBeUndefined();
      });
    }

    it('a page that is exactly full and the last has no cursor', async () => {
      const log = await newHome().start();
      await appendExamples(
        log,
        Array.from({ length: 20 }, () => ({})),
      );
      expect((await log.search({ limit: 20 })).nextCursor).toBeUndefined();
      expect((await log.search({ limit: 19 })).nextCursor).toBeDefined();
      expect((await allPages(log, { limit: 1 })).length).toBe(20);
    });

    it('an attribute that holds the id of a record is not that record', async () => {
      const log = await newHome().start();
      const record = exampleRecord(log);
      const impostor = exampleRecord(log, { attributes: { id: record.id } });
      await Promise.all([log.append(impostor), log.append(record)]);
      expect((await log.find(record.id))?.sequence).toBe(2);
      expect(await log.find('0199c2f6-3d41-7003-8a41-90b7c3d9e211')).toBeUndefined();
      expect(await log.find(`${record.id}' OR 1=1 --`)).toBeUndefined();
      expect(await log.find('')).toBeUndefined();
    });

    it('a search stops when its budget is used up, says how far it got, and goes on from there', async () => {
      const log = await newHome().start();
      const examples = Array.from({ length: 150_000 }, (_, i) => ({
        now: noon + i,
        subject: i === 0 ? 'needle' : 'hay',
      }));
      for (let i = 0; i < examples.length; i += 10_000) await appendExamples(log, examples.slice(i, i + 10_000));
      const searchedTo: (string | undefined)[] = [];
      let page = await log.search({ q: 'needle' });
      while (page.items.length === 0) {
        searchedTo.push(page.searchedTo);
        page = await log.search({ q: 'needle', cursor: page.nextCursor! });
      }
      expect(searchedTo.length).toBeGreaterThan(0);
      expect(searchedTo).toEqual(searchedTo.toSorted().reverse());
      expect(new Set(searchedTo).size).toBe(searchedTo.length);
      expect(searchedTo.every((time) => time !== undefined && time > new Date(noon).toISOString())).toBe(true);
      expect(page.items).toHaveLength(1);
      expect(page.nextCursor).toBeUndefined();
      expect(page.searchedTo).toBeUndefined();
    }, 120_000);

    it('times, limits and cursors that are none are refused by their name', async () => {
      const log = await newHome().start();
      await appendExamples(log, [{}, {}]);
      const { nextCursor } = await log.search({ limit: 1 });
      const bad: [DecisionQuery, string][] = [
        [{ from: 'yesterday' }, '/from'],
        [{ from: '2026-11-31' }, '/from'],
        [{ from: '2026-13-41T00:00:00Z' }, '/from'],
        [{ to: `' OR 1=1` }, '/to'],
        [{ limit: 0 }, '/limit'],
        [{ limit: 1_001 }, '/limit'],
        [{ limit: 1.5 }, '/limit'],
        [{ limit: Number.NaN }, '/limit'],
        [{ cursor: '' }, '/cursor'],
        [{ cursor: 'x' }, '/cursor'],
        [{ cursor: '😀' }, '/cursor'],
        [{ cursor: Buffer.from('1:-5:0000000000000000').toString('base64url') }, '/cursor'],
        [{ cursor: Buffer.from('1:5 OR 1=1:0000000000000000').toString('base64url') }, '/cursor'],
        [{ cursor: nextCursor!, subject: 'alice' }, '/cursor'],
        [{ cursor: nextCursor!, q: 'alice' }, '/cursor'],
      ];
      for (const [query, pointer] of bad) {
        const { code, extra } = await refusal(log.search(query));
        expect(code, JSON.stringify(query)).toBe('invalid_request');
        expect(extra.errors?.map((error) => error.pointer)).toEqual([pointer]);
      }
      expect((await log.search({ limit: 1_000, cursor: nextCursor! })).items).toHaveLength(1);
    });

    it('finds a trace and an instance without an index, exactly, together with other filters and over pages', async () => {
      const home = newHome();
      const first = await home.start({ instance: 'pdp-1' });
      const trace = (n: number) => String(n).padStart(32, '0');
      const record = (log: DecisionLog, n: number) => ({
        ...exampleRecord(log, { now: noon + n, subject: `s${n % 2}` }),
        traceId: trace(n % 3),
      });
      for (let n = 0; n < 6; n++) await first.append(record(first, n));
      await first.stop();
      const second = await home.start({ instance: 'pdp-"2"' });
      for (let n = 6; n < 9; n++) await second.append(record(second, n));
      // An attribute with the same text is not a trace id.
      await second.append(exampleRecord(second, { now: noon + 9, attributes: { traceId: trace(1) } }));

      const times = async (query: DecisionQuery) =>
        (await allPages(second, query)).map(({ time }) => Date.parse(time) - noon);
      expect(await times({ traceId: trace(1) })).toEqual([7, 4, 1]);
      expect(await times({ traceId: trace(1), limit: 1 })).toEqual([7, 4, 1]);
      expect(await times({ traceId: trace(1), subject: 's0' })).toEqual([4]);
      expect(await times({ instance: 'pdp-1' })).toEqual([5, 4, 3, 2, 1, 0]);
      expect(await times({ instance: 'pdp-"2"', traceId: trace(2) })).toEqual([8]);
      expect(await times({ instance: 'PDP-1' })).toEqual([]);
      const { nextCursor } = await second.search({ traceId: trace(1), limit: 1 });
      expect(await refusal(second.search({ traceId: trace(2), cursor: nextCursor! }))).toMatchObject({
        code: 'invalid_request',
      });
    });

    it('finds types, doors and obligations without an index, exactly, each of them alone and together', async () => {
      const home = newHome();
      const log = await home.start();
      const record = (n: number, changes: Partial<NewDecisionRecord>) => ({
        ...exampleRecord(log, { now: noon + n }),
        ...changes,
      });
      const request = (subject: Entity, resource: Entity) => ({ subject, action: { name: 'read' }, resource });
      await log.append(
        record(0, { request: request({ type: 'user', id: 'a' }, { type: 'invoice', id: '1' }), via: 'batch' }),
      );
      await log.append(
        record(1, { request: request({ type: 'invoice', id: 'a' }, { type: 'user', id: '1' }), obligations: ['log'] }),
      );
      // Attributes, ids and errors with the same texts are none of these.
      await log.append(
        record(2, {
          request: request(
            { id: 'user', attributes: { type: 'user', via: 'batch' } },
            { id: 'log', attributes: { type: 'invoice', obligations: ['log'] } },
          ),
        }),
      );
      await log.append(record(3, { obligations: ['logs', { type: 'log', days: 3 }, [1]], via: 'batch' }));
      await log.append(record(4, { obligations: [{ id: 'log' }, null, 7] }));
      await log.append(record(5, { obligations: [{ log: { to: 'x"y' } }, 'x"y'] }));

      const found = async (query: DecisionQuery) =>
        (await allPages(log, query)).map(({ time }) => Date.parse(time) - noon);
      for (const index of [false, true]) {
        if (index) await home.index(log);
        expect(await found({ subjectType: 'user' })).toEqual([5, 4, 3, 0]);
        expect(await found({ resourceType: 'user' })).toEqual([1]);
        expect(await found({ resourceType: 'invoice', limit: 1 })).toEqual([5, 4, 3, 0]);
        expect(await found({ via: 'batch' })).toEqual([3, 0]);
        expect(await found({ via: 'Batch' })).toEqual([]);
        expect(await found({ obligation: 'log' })).toEqual([5, 4, 3, 1]);
        expect(await found({ obligation: 'x"y' })).toEqual([5]);
        expect(await found({ obligation: '__proto__' })).toEqual([]);
        expect(await found({ obligation: 'log', subjectType: 'user', via: 'batch', subject: 'alice' })).toEqual([3]);
      }
      const { nextCursor } = await log.search({ via: 'batch', limit: 1 });
      expect(await refusal(log.search({ via: 'decide', cursor: nextCursor! }))).toMatchObject({
        code: 'invalid_request',
      });
    });
  });
}
