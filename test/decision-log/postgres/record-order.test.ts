/** Pages of the shared log against a plain sort, with all that makes the order hard. */
import { describe, expect, it } from 'vitest';
import type { DecisionQuery } from '../../../src/decision-log/decision-query.js';
import type { DecisionRecord } from '../../../src/decision-log/decision-record.js';
import { recordsOf } from '../../../src/decision-log/group-text.js';
import { IndexJob } from '../../../src/decision-log/postgres/index-job.js';
import { keySegments } from '../../../src/decision-log/postgres/key-segments.js';
import { SharedRecords } from '../../../src/decision-log/postgres/shared-records.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { rowOfText, SharedLog, type ShippedRow, type Writer } from './shared-log.js';

const runs = Number(process.env.VERDICT_TEST_FUZZ_RUNS ?? 24);
const seed = Number(process.env.VERDICT_TEST_FUZZ_SEED ?? 7);

interface Placed {
  readonly writer: number;
  readonly record: DecisionRecord;
}

describe.skipIf(!hasPostgres)('the order of records of many writers', () => {
  const server = postgresForTests();

  it('pages equal the plain sort, whatever the rows, filters, limits and budgets', async () => {
    const random = randomFrom(seed);
    const log = await SharedLog.make(server());
    const { writers, rows, all } = await fill(log, random);
    const own = writers[0]!;
    const database = log.otherDatabase();
    let pages = 0;
    let partial = 0;
    let ended = 0;
    for (let run = 0; run < runs; run++) {
      const keyIndex = run % 2 === 0 ? undefined : keySegments;
      const readers = [
        new SharedRecords({
          database: log.database,
          tail: own.tail,
          pageMs: random() < 0.5 ? 0 : 10_000,
          ...(keyIndex && { keyIndex }),
        }),
        // Another replica: it has the same tail here, so that it sees the same records.
        new SharedRecords({ database, tail: own.tail, pageMs: random() < 0.3 ? 0 : 10_000 }),
      ];
      const query = randomQuery(random, all);
      const expected = all.filter(({ record }) => isMatch(record, query)).sort(newestFirst);
      const found: DecisionRecord[] = [];
      let cursor: string | undefined;
      let left = 30;
      do {
        const reader = readers[pages % 2]!;
        const page = await reader.search({ ...query, ...(cursor !== undefined && { cursor }) });
        expect(page.items.length).toBeLessThanOrEqual(query.limit!);
        if (page.searchedTo === undefined && page.nextCursor !== undefined)
          expect(page.items).toHaveLength(query.limit!);
        if (page.searchedTo !== undefined) {
          partial++;
          const looked = expected.filter(({ record }) => record.time >= page.searchedTo!).length;
          expect(found.length + page.items.length).toBeGreaterThanOrEqual(
            Math.min(looked, found.length + query.limit!),
          );
        }
        found.push(...page.items);
        cursor = page.nextCursor;
        pages++;
        left--;
      } while (cursor !== undefined && left > 0);
      if (cursor === undefined) ended++;
      const wanted = cursor === undefined ? expected : expected.slice(0, found.length);
      expect(
        found.map(({ id }) => id),
        JSON.stringify(query),
      ).toEqual(wanted.map(({ record }) => record.id));
      if (run % 8 === 0) {
        const { limit: _, ...filters } = query;
        let text = '';
        for await (const piece of readers[0]!.export(filters)) text += piece;
        const exported = text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line).id);
        expect(exported).toEqual(expected.map(({ record }) => record.id));
      }
      const some = all[Math.floor(random() * all.length)]!;
      expect(await readers[1]!.find(some.record.id)).toEqual(some.record);
    }
    // The data is as hard as it is meant to be.
    expect(ties(all)).toBeGreaterThan(100);
    expect(rows.filter(({ since, until }) => until - since > 1_000).length).toBeGreaterThan(10);
    expect(partial).toBeGreaterThan(runs);
    expect(ended).toBeGreaterThan(runs / 4);
  }, 300_000);
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Rows of several writers around two midnights: ties, wide rows, clocks that are wrong or step back. */
async function fill(log: SharedLog, random: () => number) {
  const below = (n: number) => Math.floor(random() * n);
  const midnight = noon + 43_200_000;
  const writers: Writer[] = [];
  const rows: ShippedRow[] = [];
  const shipped: (readonly ShippedRow[])[] = [];
  const all: Placed[] = [];
  for (let n = 0; n < 5; n++) writers.push(await log.addWriter());
  for (const [n, writer] of writers.entries()) {
    const skew = n === 4 ? 700 : 0;
    let time = midnight - 20_000 + skew;
    const made: ShippedRow[] = [];
    for (let group = 0; group < 250; group++) {
      if (below(40) === 0) time -= below(5_000);
      if (below(60) === 0) time += below(3_600_000);
      const isWide = below(30) === 0;
      const records = Array.from({ length: 1 + below(below(4) === 0 ? 60 : 8) }, () => {
        time += below(3);
        const now = isWide ? time - below(7_200_000) : time - below(20);
        return writer.record(
          {
            now,
            subject: `s${below(40)}`,
            resource: `r${below(200)}`,
            action: below(3) === 0 ? 'read' : 'approve',
            decision: below(4) === 0 ? 'deny' : 'allow',
            policySet: `set${below(3)}`,
            caller: below(50) === 0 ? 'rare "caller"' : 'billing',
            attributes: { note: below(30) === 0 ? 'A Needle' : 'hay' },
          },
          { ...(below(2) === 0 && { traceId: `trace ${below(100)}` }) },
        );
      });
      const row = writer.group(records);
      const last = made.at(-1);
      // As the shipper joins small groups.
      const isNear = last !== undefined && Math.max(row.until, last.until) - Math.min(row.since, last.since) <= 1_000;
      if (isNear && below(3) === 0) made[made.length - 1] = rowOfText(last.first, `${last.records}\n${row.records}`);
      else made.push(row);
    }
    const isOwn = n === 0;
    shipped.push(isOwn ? made.slice(0, 200) : made);
    // The journal still has some of what is shipped.
    if (isOwn) writer.tail.add(made.slice(150));
    for (const row of made) {
      rows.push(row);
      for (const record of recordsOf(row)) all.push({ writer: writer.number, record });
    }
  }
  const ship = async (from: number, to: number) => {
    for (const [n, { number }] of writers.entries()) {
      const some = shipped[n]!.slice(from * shipped[n]!.length, to * shipped[n]!.length);
      await log.ship(number, some);
      await log.set(number, `open_since = least(open_since, ${Math.min(...some.map(({ since }) => since))})`);
    }
  };
  const limits = { waiting: 1, records: 1_000, rows: 60, segments: 12 };
  await ship(0, 0.6);
  while (await new IndexJob(log.database, limits).step());
  await ship(0.6, 1);
  return { writers, rows, all };
}

function newestFirst(a: Placed, b: Placed): number {
  const times = Date.parse(b.record.time) - Date.parse(a.record.time);
  return times || b.writer - a.writer || b.record.sequence - a.record.sequence;
}

function ties(all: readonly Placed[]): number {
  const sorted = [...all].sort(newestFirst);
  return sorted.filter(({ record, writer }, i) => {
    const next = sorted[i + 1];
    return next !== undefined && next.record.time === record.time && next.writer !== writer;
  }).length;
}

function randomQuery(random: () => number, all: readonly Placed[]): DecisionQuery {
  const { record } = all[Math.floor(random() * all.length)]!;
  const sometimes = <T extends object>(share: number, members: T) => (random() < share ? members : {});
  const shift = () => Math.floor((random() - 0.5) * 20_000);
  const time = Date.parse(record.time);
  return {
    limit: [1, 2, 7, 50, 400, 960][Math.floor(random() * 6)]!,
    ...sometimes(0.2, { subject: record.request.subject.id }),
    ...sometimes(0.1, { resource: record.request.resource.id }),
    ...sometimes(0.2, { decision: record.decision }),
    ...sometimes(0.1, { action: record.request.action.name }),
    ...sometimes(0.1, { policySet: record.policySet }),
    ...sometimes(0.1, { caller: record.caller }),
    ...sometimes(0.1, record.traceId === undefined ? {} : { traceId: record.traceId }),
    ...sometimes(0.1, { instance: record.instance! }),
    ...sometimes(0.1, { q: 'nEEDLE' }),
    ...sometimes(0.2, { from: new Date(time + shift()).toISOString() }),
    ...sometimes(0.3, { to: new Date(time + shift()).toISOString() }),
  };
}

function isMatch(record: DecisionRecord, query: DecisionQuery): boolean {
  const values = {
    ...record,
    subject: record.request.subject.id,
    resource: record.request.resource.id,
    action: record.request.action.name,
  };
  for (const field of [
    'subject',
    'resource',
    'decision',
    'action',
    'policySet',
    'caller',
    'traceId',
    'instance',
  ] as const) {
    if (query[field] !== undefined && query[field] !== values[field]) return false;
  }
  if (query.q !== undefined && record.request.attributes!.note !== 'A Needle') return false;
  return (query.from === undefined || record.time >= query.from) && (query.to === undefined || record.time < query.to);
}
