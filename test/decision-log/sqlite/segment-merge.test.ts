import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { DecisionQuery } from '../../../src/decision-log/decision-query.js';
import { searchRecords } from '../../../src/decision-log/sqlite/decision-search.js';
import { KeyIndex, openReader } from '../../../src/decision-log/sqlite/key-index.js';
import { mergeWidth, runToMerge } from '../../../src/decision-log/sqlite/segment-merge.js';
import { exampleRecord, noon } from '../example-records.js';
import { startLog, temporaryDirectory, viewOfFile } from '../temporary-log.js';

const index = (directory: string) => join(directory, 'verdict.decisions.index.sqlite');
const journal = (directory: string) => join(directory, 'verdict.decisions.sqlite');

/** A log of as many segments as batches, in each a few groups. */
async function fill(directory: string, batches: number): Promise<{ writer: number; end: number }> {
  const log = await startLog(directory);
  for (let batch = 0; batch < batches; batch++) {
    await append(log, batch);
    await log.indexNow();
  }
  const [newest] = (await log.search({ limit: 1 })).items;
  await log.stop();
  return { writer: newest!.writer, end: newest!.sequence };
}

async function append(log: DecisionLog, batch: number): Promise<void> {
  const records = Array.from({ length: 150 }, (_, i) =>
    exampleRecord(log, {
      now: noon + batch * 1_000 + i,
      subject: `user${(batch * 150 + i) % 40}`,
      resource: `r${batch}`,
      decision: i % 50 === 0 ? 'deny' : 'allow',
    }),
  );
  await Promise.all(records.map((record) => log.append(record)));
}

const queries: DecisionQuery[] = [
  { subject: 'user7', limit: 1_000 },
  { subject: 'user7', decision: 'deny' },
  { resource: 'r3', decision: 'deny', reason: 'no_matching_rule' },
  { decision: 'deny', resource: 'r5', from: '2026-11-21T12:00:05.020Z', to: '2026-11-21T12:00:05.120Z' },
  { subject: 'nobody' },
  { subject: 'user7', resource: 'nothing' },
];

async function answers(directory: string, end: number): Promise<unknown> {
  const reader = await openReader(index(directory), journal(directory));
  try {
    const view = viewOfFile(reader, { last: end, extent: undefined, indexedTo: end });
    return await Promise.all(queries.map((query) => searchRecords(view, query, {})));
  } finally {
    await reader.close();
  }
}

async function segmentsOf(directory: string): Promise<{ first: number; last: number }[]> {
  const reader = await openReader(index(directory), journal(directory));
  try {
    return await reader.query('SELECT first, last FROM segment ORDER BY first');
  } finally {
    await reader.close();
  }
}

it('merged segments answer as those did that they were made of, at every step', async () => {
  const directory = temporaryDirectory();
  const { writer, end } = await fill(directory, 9);
  expect(await segmentsOf(directory)).toHaveLength(9);
  const wanted = await answers(directory, end);
  const merging = await KeyIndex.open(index(directory), journal(directory), writer, end);
  let steps = 0;
  while (await merging.mergeAllStep(5)) {
    steps++;
    if (steps % 5 === 0) expect(await answers(directory, end)).toEqual(wanted);
  }
  await merging.close();
  expect(steps).toBeGreaterThan(50);
  expect(await answers(directory, end)).toEqual(wanted);
  expect(await segmentsOf(directory)).toEqual([{ first: 1, last: end }]);
}, 60_000);

it('a merge that kill -9 ends anywhere goes on from there, and every look-up finds what it found before', async () => {
  const directory = temporaryDirectory();
  const { writer, end } = await fill(directory, 9);
  const wanted = await answers(directory, end);
  const script = join(import.meta.dirname, 'merge-until-killed.mjs');
  for (let ended = false, kills = 0; !ended; kills++) {
    const child = spawn(process.execPath, [script, index(directory), journal(directory), `${writer}`, `${end}`, '5']);
    let steps = 0;
    child.stdout.on('data', (said: Buffer) => {
      steps += said.toString().split('step').length - 1;
      // At any step: it reports a step after it has taken it.
      if (steps > 10 + kills) child.kill('SIGKILL');
    });
    const [code] = await once(child, 'exit');
    expect(await answers(directory, end)).toEqual(wanted);
    ended = code === 0;
    if (ended) expect(kills).toBeGreaterThan(2);
  }
  expect(await segmentsOf(directory)).toEqual([{ first: 1, last: end }]);
}, 60_000);

it('a merge whose oldest segments are pruned away is begun anew', async () => {
  const directory = temporaryDirectory();
  const { writer, end } = await fill(directory, 4);
  const merging = await KeyIndex.open(index(directory), journal(directory), writer, end);
  // It is begun, and nothing is copied yet.
  await merging.mergeAllStep();
  await merging.prune(151);
  while (await merging.mergeAllStep());
  await merging.close();
  expect(await segmentsOf(directory)).toEqual([{ first: 151, last: end }]);
  const reader = await openReader(index(directory), journal(directory));
  onTestFinished(() => reader.close());
  const left = await reader.query(
    'SELECT DISTINCT segment FROM segment_key WHERE segment NOT IN (SELECT id FROM segment)',
  );
  expect(left).toEqual([]);
});

it('many small neighbours are merged, and one fewer are not', () => {
  const segments = (...sizes: number[]) => {
    const ends = sizes.map((_, id) => sizes.slice(0, id + 1).reduce((sum, size) => sum + size, 0));
    return sizes.map((size, id) => ({ id, first: ends[id]! - size + 1, last: ends[id]! }));
  };
  const small = (count: number) => Array.from({ length: count }, () => 65_536);
  expect(runToMerge(segments(...small(mergeWidth - 1)))).toEqual([]);
  expect(runToMerge(segments(...small(mergeWidth)))).toHaveLength(mergeWidth);
  expect(runToMerge(segments(5_000_000, ...small(mergeWidth)))).toHaveLength(mergeWidth);
  expect(runToMerge(segments(5_000_000, ...small(3), 1, ...small(mergeWidth - 4)))).toHaveLength(mergeWidth);
  expect(runToMerge(segments(...Array.from({ length: mergeWidth }, () => 1_048_576)))).toHaveLength(mergeWidth);
});

it('as many segments as records are left are few, however many there were', async () => {
  // What the upkeep does: a segment is added, then merged as far as there is something to merge.
  let segments: { id: number; first: number; last: number }[] = [];
  let most = 0;
  for (let n = 0; n < 5_000; n++) {
    segments.push({ id: n, first: n * 65_536 + 1, last: (n + 1) * 65_536 });
    for (let run = runToMerge(segments); run.length > 0; run = runToMerge(segments)) {
      const merged = { id: n, first: run[0]!.first, last: run.at(-1)!.last };
      segments = [...segments.slice(0, segments.length - run.length), merged];
    }
    most = Math.max(most, segments.length);
  }
  expect(most).toBeLessThanOrEqual(4 * mergeWidth);
});
