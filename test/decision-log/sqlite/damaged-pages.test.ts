/** Pages that are damaged cost the records of those pages, which are named; the rest is found. */
import { readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { LogGap } from '../../../src/decision-log/log-gap.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { exampleRecord, noon } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const open = 'verdict.decisions.sqlite';
const index = 'verdict.decisions.index.sqlite';
const records = 600;

/** A log of 600 records, stopped, in `files` files. */
async function stoppedLog(files = 1): Promise<{ directory: string; ids: string[] }> {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { limits: { records: Math.ceil(records / files) } });
  const ids: string[] = [];
  for (let i = 0; i < records; i += 4) {
    const group = Array.from({ length: 4 }, (_, j) =>
      exampleRecord(log, { now: noon + i, resource: `r${(i + j) % 10}`, attributes: { text: 'x'.repeat(300) } }),
    );
    await Promise.all(group.map((record) => log.append(record)));
    ids.push(...group.map(({ id }) => id));
  }
  await log.indexNow();
  await log.stop();
  return { directory, ids };
}

async function everything(log: DecisionLog, query = {}): Promise<{ ids: string[]; gaps: LogGap[] }> {
  const lines: string[] = [];
  for await (const text of log.export(query)) lines.push(...text.split('\n').filter((line) => line !== ''));
  const parsed = lines.map((line) => JSON.parse(line));
  return { ids: parsed.flatMap(({ id }) => id ?? []), gaps: parsed.flatMap(({ gap }) => gap ?? []) };
}

const lostIn = (gaps: readonly LogGap[]) => gaps.reduce((sum, { lost }) => sum + (lost ?? Number.NaN), 0);

/** Overwrites pages from the middle on. */
function damagePages(path: string, pages: number, byte: number): void {
  const file = readFileSync(path);
  const page = file.readUInt16BE(16);
  const middle = Math.floor(file.length / page / 2);
  writeFileSync(path, file.fill(byte, middle * page, Math.min(file.length, (middle + pages) * page)));
}

describe.each([
  ['zeros', 0],
  ['noise', 0xa5],
])('a page of %s', (_what, byte) => {
  it('in the open journal costs the records of that page, each of which is in a gap', async () => {
    const { directory, ids } = await stoppedLog();
    damagePages(join(directory, open), 1, byte);
    const problems: string[] = [];
    const log = await startLog(directory, { onProblem: (what) => problems.push(what) });
    const found = await everything(log);
    expect(found.ids.length).toBeGreaterThan(records - 40);
    expect(found.ids.length).toBeLessThan(records);
    expect(lostIn(found.gaps)).toBe(records - found.ids.length);
    for (const { cause } of found.gaps) expect(cause).toBe('file_damaged');
    const lost = new Set(found.gaps.flatMap(({ after, lost }) => ids.slice(after, after + lost!)));
    expect(ids.filter((id) => !found.ids.includes(id))).toEqual([...lost].sort());
    const page = await log.search({ limit: 1_000 });
    expect(page.items.map(({ id }) => id)).toEqual(found.ids);
    expect(page.gaps).toEqual(found.gaps);
    expect((await log.search({ resource: 'r3', limit: 1_000 })).items.length).toBeGreaterThan(records / 10 - 10);
    expect((await log.find(ids[0]!))?.id).toBe(ids[0]);
    expect((await log.find(ids.at(-1)!))?.id).toBe(ids.at(-1));
    expect(await log.find([...lost][0]!)).toBeUndefined();
    await log.append(exampleRecord(log));
    expect((await log.search({ limit: 1 })).items[0]!.sequence).toBe(records + 1);
    expect(problems).toEqual([
      expect.stringMatching(
        new RegExp(
          `it was set aside as .*, a new one is begun; what could be read of it is kept, ${lost.size} decision records are lost`,
        ),
      ),
    ]);
    await log.stop();
    expect((await everything(await startLog(directory))).gaps).toEqual(found.gaps);
  });

  it('in the index of the open journal costs nothing: it is found, set aside and made anew', async () => {
    const { directory, ids } = await stoppedLog();
    const log = await startLog(directory, { retryMs: 20, watchMs: 20 });
    damagePages(join(directory, index), 1_000, byte);
    const find = async () => (await log.search({ resource: 'r3', subject: 'alice', limit: 1_000 })).items.length;
    await expect.poll(find, { timeout: 10_000 }).toBe(records / 10);
    await log.stop();
    const again = await startLog(directory);
    expect((await everything(again)).ids).toEqual(ids.toReversed());
    expect((await again.search({ resource: 'r3', limit: 1_000 })).items).toHaveLength(records / 10);
  });

  it('in a closed journal costs the records of that page', async () => {
    const { directory } = await stoppedLog(3);
    const closed = readdirSync(directory).filter((name) => /^verdict\.decisions\.\d{16}\.sqlite$/.test(name));
    expect(closed.length).toBeGreaterThanOrEqual(2);
    damagePages(join(directory, closed[0]!), 1, byte);
    const log = await startLog(directory);
    const found = await everything(log);
    expect(found.ids.length).toBeGreaterThan(records - 40);
    expect(lostIn(found.gaps)).toBe(records - found.ids.length);
    expect((await log.search({ limit: 1_000 })).gaps).toEqual(found.gaps);
  });

  it('in a closed journal without an index is left out of counts, which name the gap (P4)', async () => {
    const { directory } = await stoppedLog(3);
    damagePages(join(directory, 'verdict.decisions.0000000000000001.sqlite'), 1, byte);
    rmSync(join(directory, 'verdict.index.0000000000000001.sqlite'));
    for (const log of [await startLog(directory), await DecisionLogReader.open(join(directory, 'verdict.sqlite'))]) {
      const { total, gaps = [] } = await log.stats({});
      expect(total).toBeGreaterThan(records - 40);
      expect(total).toBeLessThan(records);
      expect(lostIn(gaps)).toBe(records - total);
      for (const { cause } of gaps) expect(cause).toBe('file_damaged');
      expect((await log.stats({ from: '2027-01-01' })).gaps).toBeUndefined();
    }
  });

  it('in the counts of a closed journal costs nothing: they are made from its records (P4)', async () => {
    const { directory } = await stoppedLog(3);
    damagePages(join(directory, 'verdict.index.0000000000000001.sqlite'), 1_000, byte);
    const log = await startLog(directory);
    for (let i = 0; i < 2; i++) expect(await log.stats({})).toEqual({ items: [{ count: records }], total: records });
  });

  it('in the index of a closed journal costs nothing', async () => {
    const { directory, ids } = await stoppedLog(3);
    const closed = readdirSync(directory).filter((name) =>
      /^verdict\.decisions\.index\.\d{16}\.sqlite$|^verdict\.index\.\d{16}\.sqlite$/.test(name),
    );
    expect(closed.length).toBeGreaterThanOrEqual(2);
    damagePages(join(directory, closed[0]!), 1_000, byte);
    const log = await startLog(directory);
    for (let i = 0; i < 2; i++) {
      expect((await log.search({ resource: 'r3', limit: 1_000 })).items).toHaveLength(records / 10);
    }
    expect((await everything(log)).ids).toEqual(ids.toReversed());
  });
});

it('a damaged page without records costs none of them, and health names its file (P4)', async () => {
  const { directory, ids } = await stoppedLog();
  const path = join(directory, open);
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
  const [row] = await connection.query<{ rootpage: number }>(
    "SELECT rootpage FROM sqlite_master WHERE name = 'gap_after'",
  );
  await connection.close();
  const file = readFileSync(path);
  const page = file.readUInt16BE(16);
  writeFileSync(path, file.fill(0, (row!.rootpage - 1) * page, row!.rootpage * page));
  const log = await startLog(directory);
  expect(await everything(log)).toEqual({ ids: ids.toReversed(), gaps: [] });
  expect(log.status).toMatchObject({
    state: 'ok',
    problem: expect.stringMatching(new RegExp(`^${path} was damaged and is now .*; .* 0 decision records are lost$`)),
  });
});

it.each([
  ['removed', (path: string) => rmSync(path)],
  [
    'moved over by another file',
    (path: string) => {
      writeFileSync(`${path}.new`, 'of somebody else');
      renameSync(`${path}.new`, path);
    },
  ],
  ['truncated', (path: string) => truncateSync(path, 4_096)],
])(
  'a closed file that is %s while the log runs is a gap with its count, said, and decisions go on',
  async (_what, damage) => {
    const { directory, ids } = await stoppedLog(3);
    const problems: string[] = [];
    const log = await startLog(directory, { onProblem: (what) => problems.push(what) });
    const [first] = readdirSync(directory).filter((name) => /^verdict\.decisions\.\d{16}\.sqlite$/.test(name));
    damage(join(directory, first!));
    const found = await everything(log);
    expect(found.ids.length).toBeGreaterThanOrEqual(records / 3);
    expect(lostIn(found.gaps)).toBe(records - found.ids.length);
    expect(found.ids).toEqual(ids.toReversed().slice(0, found.ids.length));
    expect((await log.search({ limit: 1_000 })).items.map(({ id }) => id)).toEqual(found.ids);
    expect(await log.find(ids[0]!)).toBeUndefined();
    await expect.poll(() => problems.length).toBe(1);
    const { total, gaps: uncounted = [] } = await log.stats({});
    expect(total + lostIn(uncounted)).toBeGreaterThanOrEqual(records);
    await log.append(exampleRecord(log));
    expect(log.status).toMatchObject({ state: 'ok', problem: expect.stringContaining(first!) });
  },
);
