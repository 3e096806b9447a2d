/** What replicas find in the log that they share. */
import { describe, expect, it } from 'vitest';
import type { DecisionQuery } from '../../../src/decision-log/decision-query.js';
import type { DecisionRecord } from '../../../src/decision-log/decision-record.js';
import { SharedRecords } from '../../../src/decision-log/postgres/shared-records.js';
import type { VerdictError } from '../../../src/errors.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { SharedLog } from './shared-log.js';

/** A test waits for what it asks, however busy the machine is. */
const pageMs = 60_000;

describe.skipIf(!hasPostgres)('records in PostgreSQL', () => {
  const server = postgresForTests();

  const subjectsOf = (items: readonly DecisionRecord[]) => items.map(({ request }) => request.subject.id);
  const at = (ms: number) => new Date(noon + ms).toISOString();
  const refusal = (asked: Promise<unknown>) =>
    asked.then(
      () => undefined,
      ({ code, detail }: VerdictError) => `${code}: ${detail}`,
    );

  describe('pages', () => {
    it('an own record is found at once, shipped or not, and never twice', async () => {
      const log = await SharedLog.make(server());
      const [own, other] = [await log.addWriter(), await log.addWriter()];
      const records = new SharedRecords({ database: log.database, tail: own.tail, pageMs });
      await other.ship([{ now: noon + 1, subject: 'other' }]);
      own.keep([{ now: noon, subject: 'a' }]);
      own.keep([
        { now: noon + 1, subject: 'b' },
        { now: noon + 2, subject: 'c' },
      ]);
      expect(subjectsOf((await records.search({})).items)).toEqual(['c', 'other', 'b', 'a']);
      // The shipper took the first record, and may end within a group of the journal.
      await log.ship(own.number, own.copy(1, 1));
      expect(subjectsOf((await records.search({})).items)).toEqual(['c', 'other', 'b', 'a']);
      await log.ship(own.number, own.copy(2, 2));
      expect(subjectsOf((await records.search({})).items)).toEqual(['c', 'other', 'b', 'a']);
      expect(subjectsOf((await records.search({ subject: 'b' })).items)).toEqual(['b']);
      const elsewhere = new SharedRecords({ database: log.otherDatabase(), tail: other.tail, pageMs });
      expect(subjectsOf((await elsewhere.search({})).items)).toEqual(['other', 'b', 'a']);
    });

    it('below completeTo pages do not change while records are shipped, and no record is on two pages', async () => {
      const log = await SharedLog.make(server());
      const [first, late] = [await log.addWriter(), await log.addWriter()];
      for (let i = 0; i < 40; i++) await first.ship([{ now: noon + i * 10, subject: `s${i}` }]);
      await log.set(first.number, `complete_to = ${noon + 400}`);
      await late.ship([{ now: noon + 5, subject: 'early' }]);
      await log.set(late.number, `complete_to = ${noon + 200}`);
      const readers = [log.database, log.otherDatabase()].map((database) => new SharedRecords({ database, pageMs }));
      const before = (await readers[0]!.search({ limit: 1_000 })).items;
      const seen: DecisionRecord[] = [];
      let cursor: string | undefined;
      for (let pages = 0; pages === 0 || cursor !== undefined; pages++) {
        const page = await readers[pages % 2]!.search({ limit: 3, ...(cursor !== undefined && { cursor }) });
        seen.push(...page.items);
        cursor = page.nextCursor;
        // What the first page said holds for all of them.
        expect(page.completeTo).toBe(at(200));
        await late.ship([{ now: noon + 201 + pages * 10, subject: 'late' }]);
        await first.ship([{ now: noon + 1_000 + pages, subject: 'new' }]);
        await log.set(late.number, `complete_to = ${noon + 202 + pages * 10}`);
      }
      const ids = seen.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const isOld = ({ time }: DecisionRecord) => time < at(200);
      expect(seen.filter(isOld)).toEqual(before.filter(isOld));
      // Those of the others that were there are on the pages, too.
      expect(ids).toEqual(expect.arrayContaining(before.map(({ id }) => id)));
    });

    it('says how far it is complete, and which writers hold that back', async () => {
      const log = await SharedLog.make(server());
      const records = new SharedRecords({ database: log.database, pageMs });
      expect(await records.search({})).toEqual({ items: [] });
      const [a, b, c] = [await log.addWriter(), await log.addWriter(), await log.addWriter()];
      await log.set(a.number, `complete_to = ${noon + 3_000}`);
      await log.set(b.number, `complete_to = ${noon + 2_000}, beat = now() - interval '1 minute'`);
      await log.set(c.number, `complete_to = ${noon + 1_000}, state = 'stopped'`);
      expect(await records.search({})).toEqual({
        items: [],
        completeTo: at(2_000),
        incomplete: [expect.objectContaining({ writer: b.number, state: 'silent', completeTo: at(2_000) })],
      });
      await log.set(b.number, `state = 'retired'`);
      expect(await records.search({})).toEqual({ items: [], completeTo: at(3_000) });
    });

    it('a writer with a thousand records in one millisecond is read page by page', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      for (let i = 0; i < 40; i++) await writer.ship(Array.from({ length: 25 }, () => ({ now: noon })));
      // Out of time after the first rows.
      const records = new SharedRecords({ database: log.database, pageMs: 0 });
      const first = await records.search({ limit: 100 });
      expect(first.items.length).toBeGreaterThan(0);
      expect(first.items.length).toBeLessThanOrEqual(100);
      const sequences: number[] = [];
      let cursor: string | undefined;
      do {
        const page = await records.search({ limit: 100, ...(cursor !== undefined && { cursor }) });
        sequences.push(...page.items.map(({ sequence }) => sequence));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      expect(sequences).toEqual(Array.from({ length: 1_000 }, (_, i) => 1_000 - i));
    });

    it('a page that runs out of time says how far it looked, and the next one goes on', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      for (let i = 0; i < 100; i++) {
        await writer.ship([{ now: noon + i * 2_000, subject: i === 0 ? 'needle' : 'hay' }]);
      }
      const records = new SharedRecords({ database: log.database, pageMs: 0 });
      let searched = at(1_000_000);
      let pages = 0;
      for (let query: DecisionQuery = { q: 'needle' }; ; pages++) {
        const page = await records.search(query);
        if (page.nextCursor === undefined) {
          expect(page.searchedTo).toBeUndefined();
          expect(subjectsOf(page.items)).toEqual(['needle']);
          break;
        }
        expect(page.items).toEqual([]);
        expect(page.searchedTo! < searched).toBe(true);
        searched = page.searchedTo!;
        query = { ...query, cursor: page.nextCursor };
      }
      expect(pages).toBeGreaterThan(2);
    });

    it('days without records cost a page little, however many there are, and it says how far it got', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      const day = 86_400_000;
      for (let i = 1; i <= 60; i++) await log.addDay(Math.floor(noon / day) + i);
      await writer.ship([{ now: noon, subject: 'a' }]);
      const records = new SharedRecords({ database: log.database, pageMs });
      expect(subjectsOf((await records.search({ subject: 'a' })).items)).toEqual(['a']);
      const hurried = new SharedRecords({ database: log.database, pageMs: 0 });
      let pages = 0;
      for (let query: DecisionQuery = { subject: 'a' }; ; pages++) {
        const page = await hurried.search(query);
        if (page.items.length > 0) break;
        expect(page.searchedTo! > at(0)).toBe(true);
        query = { ...query, cursor: page.nextCursor! };
      }
      expect(pages).toBeGreaterThan(2);
      expect(pages).toBeLessThan(25);
    });

    it('cursors of other filters, other logs and other versions are refused, and texts that are none', async () => {
      const [log, foreign] = [await SharedLog.make(server()), await SharedLog.make(server())];
      for (const each of [log, foreign]) await (await each.addWriter()).ship([{}, {}]);
      const records = new SharedRecords({ database: log.database, pageMs });
      const { nextCursor: cursor } = await records.search({ limit: 1 });
      const { nextCursor: foreignCursor } = await new SharedRecords({ database: foreign.database }).search({
        limit: 1,
      });
      const invalid = 'invalid_request: The query is not valid: cursor';
      const refused = (query: DecisionQuery, scope = {}) => refusal(records.search(query, scope));
      expect(await refused({ cursor: foreignCursor! })).toBe(`${invalid} belongs to another decision log.`);
      expect(await refused({ cursor: cursor!, subject: 'alice' })).toBe(
        `${invalid} belongs to a query with other filters.`,
      );
      expect(await refused({ cursor: cursor! }, { policySets: ['invoices'] })).toBe(
        `${invalid} belongs to a query with other filters.`,
      );
      const encode = (text: string) => Buffer.from(text).toString('base64url');
      const journal = encode('2:5:0123456789abcdef:5d0c0c4e-8f5a-4b0e-9f0a-0a0a0a0a0a0a');
      expect(await refused({ cursor: journal })).toBe(`${invalid} belongs to another decision log.`);
      expect(await refused({ cursor: encode('1:5:0123456789abcdef') })).toMatch(/^cursor_expired: /);
      const text = Buffer.from(cursor!, 'base64url').toString();
      for (const made of [
        '',
        'x',
        '😀',
        encode(`${text}0`),
        encode(text.replace(/^3:/, '3:-')),
        encode(`${text} OR 1=1`),
      ]) {
        expect(await refused({ cursor: made }), made).toBe(`${invalid} is not a cursor of this service.`);
      }
      // The highest numbers that a cursor can have are a place like any other.
      const far = text.replace(/^3:\d+:\d+:\d+:/, `3:${'9'.repeat(15)}:${'9'.repeat(10)}:${'9'.repeat(16)}:`);
      expect((await records.search({ cursor: encode(far) })).items).toHaveLength(2);
      expect((await records.search({ cursor: cursor! })).items).toHaveLength(1);
    });

    it('values are data, whatever they look like', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      const values = [
        `'; DROP TABLE decision_group; --`,
        `$1`,
        `' OR '1'='1`,
        '\\',
        '\\x00',
        '%',
        '_',
        `"`,
        'a\u0000b',
        'é',
        '😀',
      ];
      for (const value of values) {
        await writer.ship([
          { subject: value, resource: value, caller: value, requestId: value, action: value, policySet: value },
        ]);
      }
      const records = new SharedRecords({ database: log.database, pageMs });
      for (const value of values) {
        for (const field of ['subject', 'resource', 'caller', 'requestId', 'action', 'policySet'] as const) {
          expect(subjectsOf((await records.search({ [field]: value })).items), `${field} ${value}`).toEqual([value]);
        }
        expect(subjectsOf((await records.search({ subject: value, resource: value })).items)).toEqual([value]);
        expect((await records.search({ traceId: value })).items).toEqual([]);
        expect((await records.search({ instance: value })).items).toEqual([]);
        expect(await refusal(records.search({ from: value }))).toMatch(/^invalid_request/);
        expect(await records.find(value)).toBeUndefined();
        expect((await records.notFound(value)).code).toBe('decision_not_found');
      }
      expect((await records.search({})).items).toHaveLength(values.length);
    });

    it('q is a text as it is, in either case of A to Z alone', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      await writer.ship([{ subject: 'Margaret', caller: 'Billing' }, { subject: '100%_sure\\' }, { subject: 'ÄRGER' }]);
      const records = new SharedRecords({ database: log.database, tail: writer.tail, pageMs });
      const found = async (q: string) => subjectsOf((await records.search({ q })).items);
      expect(await found('ARGAR')).toEqual(['Margaret']);
      expect(await found('%_S')).toEqual(['100%_sure\\']);
      expect(await found('_sure\\')).toEqual(['100%_sure\\']);
      expect(await found('%')).toEqual(['100%_sure\\']);
      expect(await found('Ärger')).toEqual(['ÄRGER']);
      expect(await found('ärger')).toEqual([]);
      // What all records of a group share is found in each.
      expect(await found('biLLing')).toEqual(['ÄRGER', '100%_sure\\', 'Margaret']);
    });

    it('a caller sees the records of its policy sets, and finds nothing else', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      await writer.ship(Array.from({ length: 90 }, (_, i) => ({ policySet: `set${i % 3}`, subject: `s${i % 2}` })));
      const records = new SharedRecords({ database: log.database, pageMs });
      for (const [policySets, visible] of [
        [[], 0],
        [['set1'], 30],
        [['set1', 'set2'], 60],
        [['nothing'], 0],
      ] as const) {
        expect((await records.search({ limit: 1_000 }, { policySets })).items).toHaveLength(visible);
        expect((await records.search({ limit: 1_000, subject: 's0' }, { policySets })).items).toHaveLength(visible / 2);
        expect((await records.search({ limit: 1_000, q: 's' }, { policySets })).items).toHaveLength(visible);
        expect((await records.search({ limit: 1_000, policySet: 'set0' }, { policySets })).items).toEqual([]);
      }
      const [record] = (await records.search({ policySet: 'set0' })).items;
      expect(await records.find(record!.id, { policySets: ['set0', 'set1'] })).toEqual(record);
      expect(await records.find(record!.id, { policySets: ['set1'] })).toBeUndefined();
    });

    it('a database that is away is the log that is not available', async () => {
      const log = await SharedLog.make(server());
      const away = log.otherDatabase();
      const records = new SharedRecords({ database: away, pageMs });
      await away.close();
      const unavailable = { code: 'decision_log_unavailable', extra: { retryAfter: 1 } };
      await expect(records.search({})).rejects.toMatchObject(unavailable);
      await expect(records.find('0199c2f6-3d41-7003-8a41-90b7c3d9e211')).rejects.toMatchObject(unavailable);
      await expect(records.export({}).next()).rejects.toMatchObject(unavailable);
    });
  });

  describe('a record by its id', () => {
    it('is found in the own tail and wherever it was shipped, by its exact id', async () => {
      const log = await SharedLog.make(server());
      const [own, other] = [await log.addWriter(), await log.addWriter()];
      const records = new SharedRecords({ database: log.database, tail: own.tail, pageMs });
      const [kept] = own.keep([{ subject: 'kept' }]);
      const [shipped, impostor] = await other.ship([{ subject: 'a' }, { subject: 'b', attributes: { id: kept!.id } }]);
      for (const { id, request } of [kept!, shipped!, impostor!]) {
        expect((await records.find(id))?.request.subject.id).toBe(request.subject.id);
      }
      expect(await records.find(`${shipped!.id}' OR 1=1 --`)).toBeUndefined();
      expect(await records.find(shipped!.id.toUpperCase())).toBeUndefined();
      const absent = shipped!.id.slice(0, -1) + (shipped!.id.endsWith('0') ? '1' : '0');
      expect(await records.find(absent)).toBeUndefined();
    });

    it('is found when the clock was set back, and when the journal was given other ids since', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      await writer.ship([{ now: noon }]);
      // Its ids go on from noon.
      const [back] = await writer.ship([{ now: noon - 10 * 86_400_000, subject: 'back' }]);
      const [wide] = await writer.ship([{ now: noon + 86_400_000, subject: 'wide' }, { now: noon + 2 * 86_400_000 }]);
      const [other] = await writer.ship([{ now: noon + 3 * 86_400_000, subject: 'other' }]);
      const records = new SharedRecords({ database: log.database, pageMs });
      for (const { id, request } of [back!, wide!, other!]) {
        expect((await records.find(id))?.request.subject.id).toBe(request.subject.id);
      }
      await log.set(writer.number, 'id_writer = 99');
      for (const { id, request } of [wide!, other!]) {
        expect((await records.find(id))?.request.subject.id).toBe(request.subject.id);
      }
    });

    it('that is not there yet, while its writer lives, is to be asked for again', async () => {
      const log = await SharedLog.make(server());
      const [own, other] = [await log.addWriter(), await log.addWriter()];
      const [unshipped] = other.keep([{ now: noon }]);
      const [mine] = own.keep([{ now: noon }]);
      const records = new SharedRecords({ database: log.database, tail: own.tail, pageMs });
      await log.set(other.number, `complete_to = ${noon}`);
      expect(await records.find(unshipped!.id)).toBeUndefined();
      expect(await records.notFound(unshipped!.id)).toMatchObject({
        code: 'decision_not_found',
        detail: expect.stringContaining(`(pdp-2) that its id names has shipped its records up to ${at(0)}`),
        extra: { retryAfter: 1, unshipped: { writer: other.number, shippedTo: at(0) } },
      });
      await log.set(other.number, `complete_to = ${noon + 1}`);
      const gone = await records.notFound(unshipped!.id);
      expect(gone).toMatchObject({ code: 'decision_not_found', extra: {} });
      expect(gone.detail).not.toContain('writer');
      await log.set(other.number, `complete_to = 0, state = 'retired'`);
      expect((await records.notFound(unshipped!.id)).extra).toEqual({});
      // What this replica has not recorded, nobody will ship.
      expect((await records.notFound(mine!.id)).extra).toEqual({});
      await log.set(other.number, 'id_writer = 99');
      expect((await records.notFound(unshipped!.id)).detail).toContain(`writer ${other.idWriter}`);
    });
  });

  describe('gaps', () => {
    const gap = (after: number, ms: number, lost = 1) => {
      return { after, lost, since: noon + ms, until: noon + ms, cause: 'queue_full' as const };
    };
    const shown = (after: number, ms: number, lost = 1) => {
      return { after, lost, from: at(ms), to: at(ms), cause: 'queue_full' };
    };

    it('each is on the page with the records beside it, and on no other', async () => {
      const log = await SharedLog.make(server());
      const [own, other] = [await log.addWriter(), await log.addWriter()];
      for (let i = 0; i < 6; i++) await other.ship([{ now: noon + i * 10, subject: `s${i}` }]);
      await own.ship([{ now: noon + 20, subject: 'own' }]);
      await log.addGap(other.number, gap(1, 0));
      await log.addGap(other.number, gap(3, 20));
      await log.addGap(other.number, gap(6, 55, 7));
      own.tail.losses.push(gap(1, 20, 2), gap(1, 60, 3));
      // It is in PostgreSQL already.
      await log.addGap(own.number, gap(1, 20, 2));
      const records = new SharedRecords({ database: log.database, tail: own.tail, pageMs });
      const pages = [];
      let cursor: string | undefined;
      do {
        const page = await records.search({ limit: 2, ...(cursor !== undefined && { cursor }) });
        pages.push([subjectsOf(page.items), page.gaps]);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      expect(pages).toEqual([
        [
          ['s5', 's4'],
          [shown(1, 60, 3), shown(6, 55, 7)],
        ],
        [['s3', 's2'], [shown(3, 20)]],
        [['own', 's1'], [shown(1, 20, 2)]],
        [['s0'], [shown(1, 0)]],
      ]);
      expect((await records.search({ from: at(21) })).gaps).toEqual([shown(1, 60, 3), shown(6, 55, 7)]);
      expect((await records.search({ to: at(20), subject: 'nobody' })).gaps).toEqual([shown(1, 0)]);
      expect((await records.search({ from: at(61) })).gaps).toBeUndefined();
    });

    it('a page names a hundred, an export all, in their places', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      await writer.ship([{ now: noon, subject: 'a' }]);
      await writer.ship([{ now: noon + 1_000, subject: 'b' }]);
      for (let i = 0; i < 101; i++) await log.addGap(writer.number, gap(1, i + 1));
      const records = new SharedRecords({ database: log.database, pageMs });
      const { gaps } = await records.search({});
      expect(gaps).toHaveLength(100);
      expect(gaps![0]).toEqual(shown(1, 101));
      let text = '';
      for await (const piece of records.export({ subject: 'a' })) text += piece;
      const lines = text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
      expect(lines).toHaveLength(102);
      expect(lines.at(0)).toEqual({ gap: shown(1, 101) });
      expect(lines.at(-1)).toMatchObject({ request: { subject: { id: 'a' } } });
    });
  });

  describe('an export', () => {
    async function textOf(pieces: AsyncGenerator<string>): Promise<string> {
      let text = '';
      for await (const piece of pieces) text += piece;
      return text;
    }

    it('has what was there when it was asked for, whatever is recorded and shipped meanwhile', async () => {
      const log = await SharedLog.make(server());
      const [own, other] = [await log.addWriter(), await log.addWriter()];
      const make = (from: number) =>
        Array.from({ length: 400 }, (_, i) => ({ now: noon + from + i, subject: `s${from + i}` }));
      await other.ship(make(0));
      for (let i = 0; i < 10; i++) await other.ship(make(400 + i * 400));
      own.keep(make(5_000));
      const records = new SharedRecords({ database: log.database, tail: own.tail, pageMs });
      const expected = (await collect(records)).map(({ id }) => id);
      const pieces = records.export({});
      own.keep([{ now: noon + 50_000, subject: 'new' }]);
      let text = (await pieces.next()).value as string;
      await other.ship([{ now: noon + 1, subject: 'late' }]);
      await log.ship(own.number, own.copy(1, 401));
      text += await textOf(pieces);
      const lines = text.split('\n').slice(0, -1);
      expect(lines.map((line) => JSON.parse(line).id)).toEqual(expected);
      expect(expected).toHaveLength(4_800);
    });

    it('needs no more memory for many records than for few: pieces and transactions are small', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      for (let i = 0; i < 30; i++) {
        await writer.ship(
          Array.from({ length: 1_000 }, (_, j) => ({ now: noon + i * 1_000 + j, subject: `s${j % 3}` })),
        );
      }
      const records = new SharedRecords({ database: log.database, pageMs });
      let bytes = 0;
      let most = 0;
      let lines = 0;
      for await (const piece of records.export({})) {
        bytes += piece.length;
        most = Math.max(most, piece.length);
        lines += piece.split('\n').length - 1;
      }
      expect(lines).toBe(30_000);
      expect(bytes).toBeGreaterThan(15_000_000);
      expect(most).toBeLessThan(64 * 1_024);
    });

    it('a caller of some policy sets sees neither sequences nor how many are missing', async () => {
      const log = await SharedLog.make(server());
      const writer = await log.addWriter();
      await writer.ship([{ policySet: 'a' }, { policySet: 'b' }]);
      await log.addGap(writer.number, { after: 2, lost: 5, since: noon, until: noon, cause: 'queue_full' });
      const records = new SharedRecords({ database: log.database, pageMs });
      const text = await textOf(records.export({}, { policySets: ['a'] }));
      expect(text).toContain('{"gap":{"lost":null,');
      expect(text).toContain('"policySet":"a"');
      expect(text).not.toContain('"policySet":"b"');
      expect(text).not.toContain('"sequence"');
    });

    it('a query that is not valid fails before the first piece', async () => {
      const log = await SharedLog.make(server());
      const records = new SharedRecords({ database: log.database, pageMs });
      expect(() => records.export({ from: 'x' })).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    });
  });

  it('the oldest record is the one of the lowest time, wherever it stands, unshipped ones included', async () => {
    const log = await SharedLog.make(server());
    const [own, other] = [await log.addWriter(), await log.addWriter()];
    const records = new SharedRecords({ database: log.database, tail: own.tail, pageMs });
    expect(await records.oldestRecord()).toBeUndefined();
    own.keep([{ now: noon }]);
    expect(await records.oldestRecord()).toBe(noon);
    await other.ship([{ now: noon - 500 }]);
    await other.ship([{ now: noon - 900 }, { now: noon - 100 }]);
    await log.set(other.number, `complete_to = ${noon}`);
    expect(await records.oldestRecord()).toBe(noon - 900);
    await other.ship([{ now: noon + 1_000 }, { now: noon - 5_000 }]);
    expect(await records.oldestRecord()).toBe(noon - 5_000);
    // It was cut off a while ago, and has more.
    await log.set(other.number, `decided = 100, complete_to = ${noon - 86_400_000}`);
    expect(await records.oldestRecord()).toBe(noon - 86_400_000);
    // Others say nothing for ten seconds, and may have decided what nobody heard of; until they stop or are given up.
    const third = await log.addWriter();
    await log.set(third.number, `complete_to = ${noon - 2 * 86_400_000}`);
    expect(await records.oldestRecord()).toBe(noon - 86_400_000);
    await log.set(third.number, `beat = now() - interval '11 s'`);
    expect(await records.oldestRecord()).toBe(noon - 2 * 86_400_000);
    await log.set(third.number, `state = 'retired'`);
    expect(await records.oldestRecord()).toBe(noon - 86_400_000);
  });
});

async function collect(records: SharedRecords): Promise<DecisionRecord[]> {
  const items: DecisionRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await records.search({ limit: 1_000, ...(cursor !== undefined && { cursor }) });
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return items;
}
