import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { DecisionRecord } from '../../../src/decision-log/decision-record.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

/** Runs the writer, kills it after a number of acknowledged records, and returns those records. */
async function acknowledgedBeforeKill(directory: string, mode: string, records: number): Promise<string[]> {
  const script = join(import.meta.dirname, 'full-speed-writer.mjs');
  const databasePath = join(directory, 'verdict.sqlite');
  const writer = spawn(process.execPath, [script, databasePath, mode, '64'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  writer.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1');
    if (output.length > records * 37) writer.kill('SIGKILL');
  });
  const [, signal] = await once(writer, 'close');
  expect(signal).toBe('SIGKILL');
  return output.split('\n').slice(0, -1);
}

/** VERDICT_TEST_KILLS=50 kills as often as a release is checked with. */
const kills = Number(process.env.VERDICT_TEST_KILLS ?? 3);

async function everything(log: DecisionLog): Promise<DecisionRecord[]> {
  const records: DecisionRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await log.search({ limit: 1_000, ...(cursor !== undefined && { cursor }) });
    records.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return records;
}

for (const mode of ['sync', 'fsync'] as const) {
  it(`kill -9 at full speed in mode ${mode} loses nothing that was acknowledged, and the next start needs no hand`, async () => {
    const directory = temporaryDirectory();
    const acknowledged: string[] = [];
    for (let i = 0; i < kills; i++) {
      const records = 100 + Math.floor(Math.random() * 5_000);
      acknowledged.push(...(await acknowledgedBeforeKill(directory, mode, records)));
    }
    const log = await startLog(directory);
    const records = await everything(log);
    const stored = new Set(records.map(({ id }) => id));
    expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
    expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_, i) => records.length - i));
  });
}

it('after kill -9 in mode async the next start notes that records may be missing, and where', async () => {
  const directory = temporaryDirectory();
  for (let i = 0; i < kills; i++) await acknowledgedBeforeKill(directory, 'async', 2_000);
  const log = await startLog(directory);
  const records = await everything(log);
  expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_, i) => records.length - i));
  const { gaps } = await log.search({ limit: 1 });
  expect(gaps).toEqual([
    { after: records.length, lost: null, cause: 'not_flushed', from: records[0]!.time, to: expect.any(String) },
  ]);
  await log.stop();
  const again = await startLog(directory);
  expect((await again.search({ limit: 1 })).gaps).toHaveLength(1);
});
