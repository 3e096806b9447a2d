import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startLog, temporaryDirectory } from './temporary-log.js';

/** Runs the writer, kills it without warning once it has acknowledged so many records; what it acknowledged. */
async function acknowledgedBeforeKill(directory: string, mode: string, records: number): Promise<string[]> {
  const script = join(import.meta.dirname, 'full-speed-writer.mjs');
  const url = `sqlite:${join(directory, 'verdict.sqlite')}`;
  const writer = spawn(process.execPath, [script, url, mode, '64'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  writer.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1');
    if (output.length > records * 37) writer.kill('SIGKILL');
  });
  const [, signal] = await once(writer, 'close');
  expect(signal).toBe('SIGKILL');
  return output.split('\n').slice(0, -1);
}

it('kill -9 at full speed loses nothing that was acknowledged, and the next start needs no hand', async () => {
  const directory = temporaryDirectory();
  const acknowledged: string[] = [];
  for (const records of [100, 2_500, 7_300]) {
    acknowledged.push(...(await acknowledgedBeforeKill(directory, 'sync', records)));
  }
  const log = await startLog(directory);
  const stored = new Set<string>();
  const sequences: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await log.search({ limit: 1_000, ...(cursor !== undefined && { cursor }) });
    for (const { id, sequence } of page.items) {
      stored.add(id);
      sequences.push(sequence);
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  expect(acknowledged.length).toBeGreaterThan(9_900);
  expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
  expect(sequences).toEqual(sequences.map((_, i) => sequences.length - i));
});
