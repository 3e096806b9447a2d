/** Closed files are read through now and then, so that damage is known before somebody misses a record (P4). */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ClosedCheck } from '../../../src/decision-log/sqlite/closed-check.js';
import { append } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const journal = 'verdict.decisions.0000000000000001.sqlite';
const index = 'verdict.index.0000000000000001.sqlite';
const quick = { limits: { records: 400 }, checkEveryMs: 50, checkShare: 1 };

/** Two closed files of 400 records in groups of ten, and an open one. */
async function filled(): Promise<string> {
  const directory = temporaryDirectory();
  const log = await startLog(directory, quick);
  await append(log, 820, () => ({ attributes: { text: 'x'.repeat(300) } }));
  await log.indexNow();
  await log.stop();
  return directory;
}

function damage(path: string, change: (file: Buffer) => void): void {
  const file = readFileSync(path);
  change(file);
  writeFileSync(path, file);
}

const pageInTheMiddle = (file: Buffer) => {
  const page = Math.floor(file.length / 4_096 / 2);
  file.fill(0, page * 4_096, (page + 1) * 4_096);
};

/** A page can hold what is no record any more, so one text may be none. */
const textsEverywhere = (file: Buffer) => {
  const text = 'x'.repeat(300);
  for (let at = file.indexOf(text); at !== -1; at = file.indexOf(text, at)) file.write('"}]', at);
};

for (const [what, name, change, said] of [
  ['a page', journal, pageInTheMiddle, 'has pages that cannot be read'],
  ['a text alone', journal, textsEverywhere, 'has pages that cannot'],
  ['its index', index, (file: Buffer) => file.fill(0xa5, 8_192), 'is damaged or missing'],
] as const) {
  it(`a closed file that nobody reads, of which ${what} is damaged, is named in the log and in status (P4)`, async () => {
    const directory = await filled();
    const problems: string[] = [];
    const log = await startLog(directory, { ...quick, onProblem: (problem) => problems.push(problem) });
    damage(join(directory, name), change);
    await expect.poll(() => problems).toEqual([expect.stringContaining(`${join(directory, name)} ${said}`)]);
    // That of an index is over once the file does without it.
    if (name === journal) {
      expect(log.status).toMatchObject({ state: 'ok', problem: expect.stringContaining(join(directory, name)) });
    }
    expect((await log.stats({})).total).toBe(820);
  });
}

it('a closed file that is gone is named, and no longer once it is put back (P4)', async () => {
  const directory = await filled();
  copyFileSync(join(directory, journal), join(directory, 'kept'));
  const problems: string[] = [];
  const log = await startLog(directory, { ...quick, onProblem: (problem) => problems.push(problem) });
  rmSync(join(directory, journal));
  await expect.poll(() => log.status.problem).toBe(`${join(directory, journal)} is not there`);
  copyFileSync(join(directory, 'kept'), join(directory, journal));
  await expect.poll(() => log.status.problem).toBeUndefined();
  damage(join(directory, journal), pageInTheMiddle);
  await expect.poll(() => log.status.problem).toContain('is damaged');
  copyFileSync(join(directory, 'kept'), join(directory, journal));
  await expect.poll(() => log.status.problem).toBeUndefined();
  expect(problems).toHaveLength(2);
});

it('files are read one after another, some groups a step, and then not before their time', async () => {
  const directory = await filled();
  const step = vi.spyOn(ClosedCheck.prototype, 'step');
  onTestFinished(() => step.mockRestore());
  const log = await startLog(directory, { ...quick, checkEveryMs: 3_600_000 });
  await expect.poll(async () => (await step.mock.results.at(-1)?.value) ?? true).toBe(false);
  // 40 groups are five steps of a file, and its index is one.
  expect(step.mock.calls.length).toBe(2 * (5 + 1) + 1);
  await log.stop();
});

it('a stop does not wait for the next step (P10)', async () => {
  const directory = await filled();
  const step = vi.spyOn(ClosedCheck.prototype, 'step');
  onTestFinished(() => step.mockRestore());
  const log = await startLog(directory, { ...quick, checkShare: 1e-6 });
  await expect.poll(() => step.mock.calls.length).toBe(1);
  await step.mock.results[0]!.value;
  // The next step would come in a quarter of an hour.
  await log.stop();
  expect(step.mock.calls.length).toBe(1);
});
