import { performance } from 'node:perf_hooks';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { PostgresValue } from '../../../src/database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import {
  type Candidate,
  compareRows,
  isCandidate,
  type Passed,
} from '../../../src/decision-log/postgres/candidates.js';
import { dayName } from '../../../src/decision-log/postgres/day-partitions.js';
import { IndexJob } from '../../../src/decision-log/postgres/index-job.js';
import { keySegments } from '../../../src/decision-log/postgres/key-segments.js';
import type { LogTransaction, RowRange } from '../../../src/decision-log/postgres/row-walk.js';
import { SharedKeys } from '../../../src/decision-log/postgres/shared-keys.js';
import { dayMs } from '../../../src/query/time-zone.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { addDay, sharedDatabases } from './shared-database.js';

const noonDay = Math.floor(noon / dayMs);
const days = [-1, 0, 1].map((n) => dayName(noonDay + n));
const everything: RowRange = { below: undefined, from: undefined };

/** Numbers from 0 to 1, the same in each run. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Row {
  readonly writer: number;
  readonly first: number;
  readonly count: number;
  readonly since: number;
  readonly until: number;
  readonly keys: ReadonlyMap<number, number>;
}

/** Ships rows with random times and keys, as replicas would. */
class Replicas {
  private readonly random: () => number;
  private readonly ends = new Map<number, number>();
  readonly rows: Row[] = [];

  constructor(
    private readonly database: PostgresDatabase,
    readonly writers: number,
    seed: number,
  ) {
    this.random = dice(seed);
  }

  static async start(database: PostgresDatabase, writers: number, seed: number): Promise<Replicas> {
    for (const n of [-1, 0, 1]) await addDay(database, noonDay + n);
    for (let i = 1; i <= writers; i++) {
      await database.write(
        `INSERT INTO ${database.table('decision_writer')} (journal, id_writer, instance) VALUES ($1, $2, 'i')`,
        [`j${i}`, i],
      );
    }
    return new Replicas(database, writers, seed);
  }

  int(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** A key: a few that most rows have, some that many have, and many that few have. */
  key(): number {
    const kind = this.random();
    if (kind < 0.4) return 1 + this.int(3);
    return kind < 0.7 ? 0x1000_0000 + this.int(40) : 0xff00_0000_0000 + this.int(5_000);
  }

  async ship(count: number, more: Partial<Row> = {}): Promise<void> {
    const writer = more.writer ?? 1 + this.int(this.writers);
    let end = this.ends.get(writer) ?? 0;
    const rows = Array.from({ length: count }, (): Row => {
      // Some sequences are missing: their records were lost.
      const first = end + 1 + (this.random() < 0.05 ? this.int(900) : 0);
      const records = 1 + this.int(60);
      end = first + records - 1;
      const until = noon + this.int(2 * dayMs) - dayMs;
      const span = this.random() < 0.02 ? this.int(dayMs / 2) : this.int(1_000);
      const keys = new Map<number, number>();
      for (let i = 0; i < 6; i++) keys.set(this.key(), 1 << this.int(16));
      return { writer, first, count: records, since: until - span, until, keys, ...more };
    });
    this.ends.set(writer, end);
    const { database } = this;
    await database.transaction(async (client) => {
      await client.write(
        `UPDATE ${database.table('decision_writer')} SET shipped = $2, open_since = least(open_since, $3) WHERE writer = $1`,
        [writer, end, Math.min(...rows.map(({ since }) => since))],
      );
      await client.write(
        `INSERT INTO ${database.table('decision_group')}
           (day, writer, first, count, since, until, id_since, id_until, keys, records)
         SELECT (to_timestamp(until / 1000) AT TIME ZONE 'UTC')::date, $1, first, count, since, until, since, until,
           decode(keys, 'hex'), 'text'
         FROM unnest($2::int8[], $3::int[], $4::int8[], $5::int8[], $6::text[]) AS r(first, count, since, until, keys)`,
        [
          writer,
          rows.map(({ first }) => first),
          rows.map((row) => row.count),
          rows.map(({ since }) => since),
          rows.map(({ until }) => until),
          rows.map(({ keys }) => [...keys].map(([key, mask]) => hex(key, 12) + hex(mask, 4)).join('')),
        ],
      );
    });
    this.rows.push(...rows);
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

function bytesOf(key: number): Buffer {
  return Buffer.from(hex(key, 12), 'hex');
}

function snapshot<Result>(
  database: PostgresDatabase,
  work: (transaction: LogTransaction) => Promise<Result>,
): Promise<Result> {
  const table = (name: string) => database.table(name);
  return database.transaction((client) => work({ client, table, keys: SharedKeys.none }), {
    snapshot: true,
    readOnly: true,
  });
}

/** What the source gives, after checking its order; and what it costs. */
async function read(transaction: LogTransaction, keys: readonly number[], range: RowRange) {
  const [source] = await keySegments.sources(transaction, keys.map(bytesOf), range);
  const found: Candidate[] = [];
  let last: Candidate | Passed | undefined;
  let cost = 0;
  for (;;) {
    const step = await source!.next();
    if (step === undefined) return { found, cost };
    if (last !== undefined) {
      const order = compareRows(step, last);
      // What comes after a position lies below it, and no row comes twice.
      if (isCandidate(step)) expect(order).toBeLessThan(0);
      else expect(order).toBeLessThanOrEqual(0);
    }
    last = step;
    cost += step.cost;
    if (isCandidate(step)) found.push(step);
  }
}

/** Compares a look-up, with the rows that have no pages, with a scan of all rows in the same snapshot. */
async function expectSame(database: PostgresDatabase, keys: readonly number[], range: RowRange = everything) {
  await snapshot(database, async (transaction) => {
    const { client, table } = transaction;
    const rows = await client.query<Omit<Row, 'keys'> & { keys: Buffer; isIndexed: boolean; bytes: number }>(
      `SELECT g.writer, first, count, since, until, keys, octet_length(records) AS bytes, first <= indexed AS "isIndexed"
       FROM ${table('decision_group')} g JOIN ${table('decision_writer')} w ON w.writer = g.writer`,
    );
    const { from = 0, below } = range;
    const wanted = rows.filter((row) => {
      let mask = 0xffff;
      for (const key of keys) mask &= maskOf(row.keys, bytesOf(key));
      return row.isIndexed && mask !== 0 && row.until >= from && (below === undefined || row.since <= below.time);
    });
    const { found } = await read(transaction, keys, range);
    expect(found.map(({ cost: _, ...row }) => row)).toEqual(
      wanted.sort((a, b) => compareRows(b, a)).map(({ keys: _, isIndexed: __, ...row }) => row),
    );
    // What has no pages is where searches look for it.
    const bounds = await client.query<{ writer: number; open_since: number | null }>(
      `SELECT writer, open_since FROM ${table('decision_writer')}`,
    );
    for (const { writer, open_since } of bounds) {
      const open = rows.filter((row) => row.writer === writer && !row.isIndexed);
      if (open.length > 0) expect(open_since).toBeLessThanOrEqual(Math.min(...open.map(({ since }) => since)));
    }
  });
}

function maskOf(keys: Buffer, key: Buffer): number {
  for (let at = 0; at < keys.length; at += 8) {
    if (keys.subarray(at, at + 6).equals(key)) return keys.readUInt16BE(at + 6);
  }
  return 0;
}

async function segments(database: PostgresDatabase): Promise<{ day: string; groups: number }[]> {
  return database.query(`SELECT day, groups FROM ${database.table('key_segment')} ORDER BY id`);
}

async function askAtRandom(database: PostgresDatabase, replicas: Replicas, questions: number): Promise<void> {
  for (let i = 0; i < questions; i++) {
    const keys = [...new Set(Array.from({ length: 1 + replicas.int(3) }, () => replicas.key()))];
    const time = () => noon + replicas.int(2 * dayMs) - dayMs;
    await expectSame(database, keys, {
      from: replicas.int(2) === 0 ? undefined : time(),
      below: replicas.int(2) === 0 ? undefined : { time: time(), writer: 3, sequence: 7 },
    });
  }
}

const small = { waiting: 1_000, records: 2_000, rows: 37, segments: 1_000 };

describe.skipIf(!hasPostgres)('the key pages of the shared log', () => {
  const { open, reopen, endSome } = sharedDatabases();

  it('find the rows that a scan finds, in their order, by any keys and range', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 5, 1);
    const job = new IndexJob(database, small);
    for (let round = 0; round < 12; round++) {
      for (let i = 0; i < 6; i++) await replicas.ship(1 + replicas.int(25));
      while (await job.step(round % 4 === 3)) {
        await askAtRandom(database, replicas, 2);
      }
      await askAtRandom(database, replicas, 6);
    }
    expect((await segments(database)).length).toBeGreaterThan(40);
    expect(Math.max(...(await segments(database)).map(({ groups }) => groups))).toBeLessThanOrEqual(37);
    const [left] = await database.query<{ open: number }>(
      `SELECT count(*) AS open FROM ${database.table('decision_writer')} WHERE open_since IS NOT NULL OR shipped > indexed`,
    );
    expect(left!.open).toBe(0);
  }, 60_000);

  it('find rows over many pages of one key', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 2, 2);
    for (let i = 0; i < 4; i++) await replicas.ship(2_000);
    const job = new IndexJob(database, { waiting: 1, records: 10_000_000, rows: 65_536, segments: 200 });
    expect(await job.step()).toBe(true);
    expect(await job.step()).toBe(false);
    expect((await segments(database)).map(({ day }) => day).sort()).toEqual(days);
    // More than 800 rows of a day have the key.
    expect(replicas.rows.filter(({ keys }) => keys.has(1)).length).toBeGreaterThan(4_000);
    for (const keys of [[1], [2, 1], [1, 2, 3], [0x1000_0007], [0x1000_0007, 3]]) await expectSame(database, keys);
    await askAtRandom(database, replicas, 20);
  }, 60_000);

  it('are asked for no segment that does not have a key, and say what a search in vain costs', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 3, 3);
    for (let i = 0; i < 70; i++) await replicas.ship(20);
    const job = new IndexJob(database, small);
    while (await job.step(true));
    const count = (await segments(database)).length;
    await snapshot(database, async (transaction) => {
      const { found, cost } = await read(transaction, [0xabcdef, 1], everything);
      expect(found).toEqual([]);
      // A quarter of a page for each key, up to where it last said so.
      expect(cost).toBeGreaterThanOrEqual(512);
      expect(cost).toBeLessThanOrEqual(count * 2 * 4);
    });
  });

  it('are asked for by more and more at a time, as long as that takes no longer than a search may go without a word', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 1, 5);
    await replicas.ship(750);
    const job = new IndexJob(database, { waiting: 1, records: 150, rows: 5, segments: 10_000 });
    while (await job.step(true));
    expect((await segments(database)).length).toBeGreaterThan(148);
    /** How many pages each statement asks for, and how many statements each step of the search, where a page takes so long. */
    const askSlowly = (msOfPage: number) =>
      snapshot(database, async ({ client, table }) => {
        let now = 0;
        const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
        onTestFinished(() => clock.mockRestore());
        const asked: number[] = [];
        const query = async <Row extends object>(text: string, values?: readonly PostgresValue[]): Promise<Row[]> => {
          if (text.includes('key_page')) {
            asked.push((values![0] as unknown[]).length);
            now += msOfPage * asked.at(-1)!;
          }
          return client.query<Row>(text, values);
        };
        // A key that no row has: each segment is asked for once.
        const [source] = await keySegments.sources(
          { client: { query }, table, keys: SharedKeys.none },
          [bytesOf(0xeeee_eeee_eeee)],
          everything,
        );
        const steps: number[] = [];
        for (let isOver = false; !isOver; ) {
          const before = asked.length;
          isOver = (await source!.next()) === undefined;
          steps.push(asked.length - before);
        }
        clock.mockRestore();
        return { asked: asked.slice(0, 4), most: Math.max(...steps) };
      });
    expect((await askSlowly(0)).asked).toEqual([4, 16, 64, 64]);
    expect((await askSlowly(1)).asked).toEqual([4, 15, 15, 15]);
    expect(await askSlowly(10)).toEqual({ asked: [4, 4, 4, 4], most: 1 });
  });

  it('are made when enough records wait, and not before', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 1, 4);
    const now = Date.now();
    await addDay(database, Math.floor(now / dayMs));
    const row = { writer: 1, count: 10, since: now, until: now, keys: new Map([[7, 1]]) };
    await replicas.ship(9, { ...row, first: 1 }).catch(() => undefined);
    const job = new IndexJob(database, { ...small, waiting: 100 });
    for (let i = 0; i < 2; i++) {
      await replicas.ship(1, { ...row, first: 1 + i * 10 });
      const shipped = 99 + i;
      await database.write(`UPDATE ${database.table('decision_writer')} SET shipped = ${shipped}`);
      expect(await job.step()).toBe(i === 1);
    }
    expect(await segments(database)).toMatchObject([{ groups: 2 }]);
  });

  it('are made of what is left of a day that is over, once an hour', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 1, 5);
    const job = new IndexJob(database, { ...small, waiting: 1_000_000 });
    await replicas.ship(1);
    expect(await job.step()).toBe(true);
    await replicas.ship(1);
    expect(await job.step()).toBe(false);
    await database.write(`UPDATE ${database.table('key_segment')} SET built = now() - interval '61 minutes'`);
    expect(await job.step()).toBe(true);
    expect(await job.step(true)).toBe(false);
  });

  it('become few when they are many, and find the same', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 3, 8);
    for (let i = 0; i < 40; i++) await replicas.ship(20);
    const job = new IndexJob(database, small);
    while (await job.step(true));
    const many = await segments(database);
    const sum = (all: typeof many) => all.reduce((groups, segment) => groups + segment.groups, 0);
    await database.write(`UPDATE ${database.table('key_segment')} SET built = now() - interval '2 hours'`);
    expect(await new IndexJob(database, { ...small, rows: 400, segments: many.length }).step()).toBe(false);
    let count = many.length;
    for (const merges = new IndexJob(database, { ...small, rows: 400, segments: 4 }); await merges.step(); ) {
      const { length } = await segments(database);
      expect(length).toBeLessThan(count);
      count = length;
      await askAtRandom(database, replicas, 3);
    }
    const few = await segments(database);
    expect(few.length).toBeLessThan(many.length / 4);
    expect(Math.max(...few.map(({ groups }) => groups))).toBeLessThanOrEqual(400);
    expect(sum(few)).toBe(sum(many));
    const [left] = await database.query<{ segments: number; recent: number }>(
      `SELECT (SELECT count(DISTINCT segment) FROM ${database.table('key_page')}) AS segments,
         (SELECT count(*) FROM ${database.table('key_segment')} WHERE built > now() - interval '1 hour') AS recent`,
    );
    expect(left).toEqual({ segments: few.length, recent: 0 });
    await askAtRandom(database, replicas, 20);
  }, 60_000);

  it('hold while rows are added, while others make them, and when that is ended in the middle', async () => {
    const database = await open();
    const others = [reopen(database), reopen(database)];
    const replicas = await Replicas.start(database, 4, 6);
    let isOver = false;
    let ended = 0;
    let steps = 0;
    const ends = async () => {
      while (!isOver) {
        ended += await endSome(database, 'INSERT INTO .*key_(segment|page)|FOR UPDATE|n\\.indexed', 0.2);
      }
    };
    const indexes = async (job: IndexJob) => {
      while (!isOver) if (await job.step(true).catch(() => false)) steps++;
    };
    const work = [ends(), ...others.map((other) => indexes(new IndexJob(other, { ...small, rows: 150, segments: 3 })))];
    try {
      // On a busy machine it takes longer until enough was ended.
      for (let i = 0; i < 60 || ended <= 5 || steps <= 5; i++) {
        await replicas.ship(1 + replicas.int(20));
        await askAtRandom(database, replicas, 1);
      }
    } finally {
      isOver = true;
      await Promise.all(work);
    }
    expect(ended).toBeGreaterThan(5);
    expect(steps).toBeGreaterThan(5);
    await askAtRandom(database, replicas, 10);
    const job = new IndexJob(database, small);
    while (await job.step(true)) await askAtRandom(database, replicas, 2);
    await askAtRandom(database, replicas, 10);
  }, 60_000);

  it('are forgotten with their days, and find the others', async () => {
    const database = await open();
    const replicas = await Replicas.start(database, 2, 7);
    for (let i = 0; i < 10; i++) await replicas.ship(20);
    const job = new IndexJob(database, small);
    while (await job.step(true)) await askAtRandom(database, replicas, 1);
    for (const parent of ['decision_group', 'key_page']) {
      await database.write(`DROP TABLE ${database.table(`${parent}_${days[0]!.replaceAll('-', '')}`)}`);
    }
    // Between the two, segments without pages find nothing.
    await askAtRandom(database, replicas, 5);
    await job.forget(noonDay);
    expect((await segments(database)).map(({ day }) => day)).not.toContain(days[0]);
    await askAtRandom(database, replicas, 5);
  });
});
