/**
 * The damage matrix: each file of the log × what can happen to it × while the log runs or before it starts × mode. Of each
 * the same is wanted: what is found and what is named as lost are together all that was acknowledged; what must not be
 * lost is not; the log says that something is wrong; and once the cause is gone it records again without a hand.
 *
 * `VERDICT_TEST_DAMAGE=all` tries all of it, otherwise mode sync and a share of the rest. Other tests do the same for
 * `verdict.sqlite` (database-watch.test.ts), `verdict.lock` (data-folder-lock.test.ts) and a full disk (failures.test.ts).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import { exampleRecord } from '../decision-log/example-records.js';
import { startLog, temporaryDirectory } from '../decision-log/temporary-log.js';
import { isRoot } from './processes.js';

const files = ['open journal', 'WAL', 'closed journal', 'open index', 'closed index', 'catalog'] as const;
const damages = ['removed', 'moved over', 'truncated', 'a page zeroed', 'read-only', 'locked'] as const;
type File = (typeof files)[number];
type Damage = (typeof damages)[number];

/** Where records may be lost, and have to be named: the only copy of them is what is damaged. */
function mayLose(file: File, damage: Damage, running: boolean): boolean {
  const isOnlyCopy = file === 'open journal' || file === 'closed journal';
  if (damage === 'truncated' || damage === 'a page zeroed') return isOnlyCopy;
  if (damage === 'removed' || damage === 'moved over')
    return file === 'closed journal' || (file === 'open journal' && !running);
  return false;
}

const perFile = 120;
const quick = { retryMs: 20, watchMs: 50, turnPauseMs: 20, limits: { records: perFile } };

function pathOf(directory: string, file: File): string {
  const closed = (pattern: RegExp) =>
    readdirSync(directory)
      .filter((name) => pattern.test(name))
      .sort()[0]!;
  const name = {
    'open journal': () => 'verdict.decisions.sqlite',
    WAL: () => 'verdict.decisions.sqlite-wal',
    'closed journal': () => closed(/^verdict\.decisions\.\d{16}\.sqlite$/),
    'open index': () => 'verdict.decisions.index.sqlite',
    'closed index': () => closed(/^verdict\.index\.\d{16}\.sqlite$/),
    catalog: () => 'verdict.catalog.sqlite',
  }[file]();
  return join(directory, name);
}

/** Does the damage; returns what ends its cause. */
async function inflict(path: string, damage: Damage): Promise<() => Promise<void> | void> {
  const nothing = () => undefined;
  switch (damage) {
    case 'removed':
      rmSync(path);
      return nothing;
    case 'moved over':
      writeFileSync(`${path}.new`, 'of somebody else');
      renameSync(`${path}.new`, path);
      return nothing;
    case 'truncated':
      truncateSync(path, Math.floor(readFileSync(path).length / 2));
      return nothing;
    case 'a page zeroed': {
      const file = readFileSync(path);
      const pages = Math.floor(file.length / 4_096);
      const page = Math.max(1, Math.floor(pages / 2));
      writeFileSync(path, file.fill(0, page * 4_096, Math.min(file.length, (page + 1) * 4_096)));
      return nothing;
    }
    case 'read-only':
      execFileSync('chattr', ['+i', path], { stdio: 'ignore' });
      return () => void execFileSync('chattr', ['-i', path], { stdio: 'ignore' });
    case 'locked': {
      const other = await SqliteConnection.open({ path, wal: false, busyTimeoutMs: 0 });
      await other.query('BEGIN IMMEDIATE');
      return () => other.close();
    }
    default:
      throw new Error(damage satisfies never);
  }
}

async function fill(log: DecisionLog, records: number, acknowledged: string[]): Promise<void> {
  for (let i = 0; i < records; i += 4) {
    const group = Array.from({ length: 4 }, (_, j) => {
      return exampleRecord(log, { resource: `r${(i + j) % 10}`, attributes: { text: 'x'.repeat(400) } });
    });
    const outcomes = await Promise.allSettled(group.map((record) => log.append(record)));
    acknowledged.push(...group.filter((_, j) => outcomes[j]!.status === 'fulfilled').map(({ id }) => id));
  }
}

/** What is there, and how many are named as lost; `undefined` of them where nobody can say. */
async function account(log: DecisionLog): Promise<{ found: Set<string>; lost: number | undefined }> {
  const found = new Set<string>();
  let lost: number | undefined = 0;
  for await (const text of log.export({})) {
    for (const line of text.split('\n').filter((each) => each !== '')) {
      const { id, gap } = JSON.parse(line);
      if (gap === undefined) found.add(id);
      else lost = lost === undefined || gap.lost === null ? undefined : lost + gap.lost;
    }
  }
  return { found, lost };
}

async function expectAllAccounted(
  log: DecisionLog,
  acknowledged: readonly string[],
  mayBeLost: boolean,
): Promise<void> {
  const { found, lost } = await vi.waitFor(() => account(log), 20_000);
  const missing = acknowledged.filter((id) => !found.has(id));
  if (!mayBeLost) expect(missing).toEqual([]);
  else if (lost !== undefined) expect(missing.length).toBeLessThanOrEqual(lost);
}

const all = process.env.VERDICT_TEST_DAMAGE === 'all';
const modes = all ? (['sync', 'async', 'fsync'] as const) : (['sync', 'async'] as const);
const cases = files.flatMap((file) =>
  damages.flatMap((damage) =>
    [true, false].flatMap((running) => modes.map((mode) => ({ file, damage, running, mode }))),
  ),
);
const chosen = cases.filter(({ file, running, mode }, i) => {
  // A log that was stopped has no WAL.
  if (file === 'WAL' && !running) return false;
  return all || (mode === 'sync' && running) || i % 4 === 0;
});

it.each(chosen)(
  '$file, $damage, running: $running, mode $mode',
  { timeout: 120_000 },
  async ({ file, damage, running, mode }) => {
    if (damage === 'read-only' && !isRoot) return;
    // What a WAL holds that is overwritten in place is not known to be wrong by anybody.
    if (file === 'WAL' && (damage === 'truncated' || damage === 'a page zeroed')) return;
    // An SQLite lock has no effect on a file that is not a database of its own, or that is read without locks.
    if (damage === 'locked' && (file === 'WAL' || file.startsWith('closed'))) return;
    const directory = temporaryDirectory();
    const acknowledged: string[] = [];
    let log = await startLog(directory, { ...quick, mode });
    await fill(log, 3 * perFile, acknowledged);
    await expect.poll(() => log.depth).toBe(0);
    expect(existsSync(pathOf(directory, 'closed journal'))).toBe(true);
    if (!running) await log.stop();

    const path = pathOf(directory, file);
    let end: () => Promise<void> | void;
    try {
      end = await inflict(path, damage);
    } catch (error) {
      // A file system, or a container, that knows no such files.
      if (damage === 'read-only' && /chattr/.test(String(error))) return;
      throw error;
    }
    onTestFinished(() => void (damage === 'read-only' && existsSync(path) && execFileSync('chattr', ['-i', path])));
    if (running) {
      await fill(log, 40, acknowledged);
      await end();
    } else {
      const started = await startLog(directory, { ...quick, mode }).catch((error: unknown) => error as Error);
      if (started instanceof Error) {
        // Only what passes may stop a start.
        expect(['read-only', 'locked'], String(started)).toContain(damage);
        await end();
        log = await startLog(directory, { ...quick, mode });
      } else {
        log = started;
        await end();
      }
    }
    await expect.poll(() => log.status.state, { timeout: 20_000 }).toBe('ok');
    const mayBeLost = mayLose(file, damage, running);
    // Reading is what finds some damage, and it fails for the moment in which files are brought back.
    await vi.waitFor(() => account(log), 20_000);
    await expect.poll(() => log.status.state, { timeout: 20_000 }).toBe('ok');
    const before = acknowledged.length;
    await expect
      .poll(
        async () => {
          await fill(log, 4, acknowledged);
          return acknowledged.length;
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(before);
    await expect.poll(() => log.depth, { timeout: 20_000 }).toBe(0);
    await expectAllAccounted(log, acknowledged, mayBeLost);
    await log.stop();
    const again = await startLog(directory, quick);
    await fill(again, 4, acknowledged);
    await expectAllAccounted(again, acknowledged, mayBeLost);
  },
);
