/**
 * The damage matrix (P4): each file of the log × what can happen to it × while the log runs or before it starts × mode. Of
 * each cell it is held what health says (the indicator `logQueue`), that a line of the service's log names the file, that
 * what is found and what is named as lost are together all that was acknowledged, and that records are recorded again
 * without a hand once the cause is gone.
 *
 * `VERDICT_TEST_DAMAGE=all` tries all of it, otherwise mode sync while running and a share of the rest. Other tests do
 * the same for `verdict.sqlite` (database-watch.test.ts), `verdict.lock` (data-folder-lock.test.ts) and a full disk
 * (failures.test.ts).
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HealthIndicatorService } from '@nestjs/terminus';
import { expect, it, onTestFinished, vi } from 'vitest';
import { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { LogGap } from '../../src/decision-log/log-gap.js';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { HealthIndicators } from '../../src/health/health-indicators.js';
import { exampleRecord } from '../decision-log/example-records.js';
import { startLog, temporaryDirectory } from '../decision-log/temporary-log.js';
import { isRoot } from './processes.js';

const files = ['open journal', 'WAL', 'closed journal', 'open index', 'closed index', 'catalog'] as const;
const damages = ['removed', 'moved over', 'truncated', 'a page zeroed', 'read-only', 'locked'] as const;
const moments = ['running', 'at start'] as const;
type File = (typeof files)[number];
type Damage = (typeof damages)[number];
type Moment = (typeof moments)[number];

/** What a cell wants. */
interface Wanted {
  /** The worst that health says. In mode async decisions are answered all the same, so what is `down` is `degraded`. */
  readonly health: 'up' | 'degraded' | 'down';
  /** The file that lines of the log name; undefined where nothing is to be said, since nothing was lost or fails. */
  readonly named?: File;
  /** True where acknowledged records may be lost: what is damaged is their only copy. */
  readonly loses?: boolean;
  /** True where nothing says how many those are: only the file itself knew. */
  readonly uncounted?: boolean;
  /** True if the start is refused for as long as the cause lasts. */
  readonly refused?: boolean;
}

const harmless: Wanted = { health: 'up' };
const refused: Wanted = { health: 'up', refused: true };
const down = (named: File): Wanted => ({ health: 'down', named });
const lost = (named: File): Wanted => ({ health: 'degraded', named, loses: true });
const lostUncounted = (named: File): Wanted => ({ ...lost(named), uncounted: true });

/**
 * A combination that is missing here cannot be: a WAL is no database that could be locked, and closed files are read
 * without locks. What is harmless to a running log is so since it has the pages in its WAL, in its memory, or open.
 */
const wanted: { readonly [file in File]: { readonly [damage in Damage]?: { readonly [moment in Moment]: Wanted } } } = {
  'open journal': {
    removed: { running: down('open journal'), 'at start': lostUncounted('open journal') },
    'moved over': { running: down('open journal'), 'at start': lostUncounted('open journal') },
    truncated: { running: harmless, 'at start': lostUncounted('open journal') },
    'a page zeroed': { running: lost('open journal'), 'at start': lost('open journal') },
    // Commits go on into the WAL; what fails is to end the file.
    'read-only': { running: { health: 'up', named: 'open journal' }, 'at start': refused },
    locked: { running: down('open journal'), 'at start': refused },
  },
  WAL: {
    removed: { running: down('WAL'), 'at start': lost('open journal') },
    'moved over': { running: down('WAL'), 'at start': lost('open journal') },
    truncated: { running: lost('open journal'), 'at start': lost('open journal') },
    'a page zeroed': { running: lost('open journal'), 'at start': lost('open journal') },
    'read-only': { running: down('open journal'), 'at start': refused },
  },
  'closed journal': {
    removed: { running: lost('closed journal'), 'at start': lost('closed journal') },
    'moved over': { running: lost('closed journal'), 'at start': lost('closed journal') },
    truncated: { running: lost('closed journal'), 'at start': lost('closed journal') },
    'a page zeroed': { running: lost('closed journal'), 'at start': lost('closed journal') },
    'read-only': { running: harmless, 'at start': harmless },
  },
  'open index': {
    removed: { running: down('open index'), 'at start': harmless },
    'moved over': { running: down('open index'), 'at start': { health: 'up', named: 'open index' } },
    truncated: { running: harmless, 'at start': { health: 'up', named: 'open index' } },
    'a page zeroed': { running: harmless, 'at start': harmless },
    'read-only': { running: { health: 'up', named: 'open journal' }, 'at start': refused },
    locked: { running: { health: 'up', named: 'open journal' }, 'at start': harmless },
  },
  'closed index': {
    removed: { running: { health: 'degraded', named: 'closed index' }, 'at start': harmless },
    'moved over': {
      running: { health: 'degraded', named: 'closed index' },
      'at start': { health: 'degraded', named: 'closed index' },
    },
    truncated: {
      running: { health: 'degraded', named: 'closed index' },
      'at start': { health: 'degraded', named: 'closed index' },
    },
    'a page zeroed': { running: harmless, 'at start': harmless },
    'read-only': { running: harmless, 'at start': harmless },
  },
  catalog: {
    removed: { running: harmless, 'at start': harmless },
    'moved over': { running: harmless, 'at start': { health: 'up', named: 'catalog' } },
    truncated: { running: harmless, 'at start': { health: 'up', named: 'catalog' } },
    'a page zeroed': { running: harmless, 'at start': harmless },
    'read-only': { running: harmless, 'at start': refused },
    locked: { running: down('open journal'), 'at start': refused },
  },
};

/** Where the file system knows no files that cannot be changed, or the user may not make them, there are no such cells. */
const canBeReadOnly = isRoot && makesReadOnly();

function makesReadOnly(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'verdict-read-only-'));
  const path = join(folder, 'file');
  writeFileSync(path, '');
  try {
    setReadOnly(path, true);
    setReadOnly(path, false);
    return true;
  } catch {
    expect(process.env.VERDICT_TEST_REQUIRE, 'files can be made read-only').not.toBe('all');
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function setReadOnly(path: string, readOnly: boolean): void {
  execFileSync('chattr', [readOnly ? '+i' : '-i', path], { stdio: 'ignore' });
}

const perFile = 120;
const quick = {
  retryMs: 20,
  watchMs: 50,
  turnPauseMs: 20,
  checkEveryMs: 200,
  checkShare: 1,
  limits: { records: perFile },
};

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
      setReadOnly(path, true);
      onTestFinished(() => void (existsSync(path) && setReadOnly(path, false)));
      return () => setReadOnly(path, false);
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

/** What is there, and what is named as missing. */
async function account(log: DecisionLog): Promise<{ found: Set<string>; gaps: LogGap[] }> {
  const found = new Set<string>();
  const gaps: LogGap[] = [];
  for await (const text of log.export({})) {
    for (const line of text.split('\n').filter((each) => each !== '')) {
      const { id, gap } = JSON.parse(line);
      if (gap === undefined) found.add(id);
      else gaps.push(gap);
    }
  }
  return { found, gaps };
}

async function expectAllAccounted(
  log: DecisionLog,
  acknowledged: readonly string[],
  { loses = false, uncounted = false }: Wanted,
): Promise<void> {
  const { found, gaps } = await vi.waitFor(() => account(log), 20_000);
  const noted = gaps.filter((gap) => gap.lost !== null);
  if (!uncounted) expect(noted).toEqual(gaps);
  // Where nobody could count, it is what lies behind the gap; at the start they have the sequences 1, 2, 3, …
  const until = Math.min(acknowledged.length, ...gaps.filter((gap) => gap.lost === null).map(({ after }) => after!));
  const missing = acknowledged.slice(0, until).filter((id) => !found.has(id)).length;
  if (!loses) expect([missing, gaps]).toEqual([0, []]);
  const lost = noted.reduce((sum, gap) => sum + gap.lost!, 0);
  expect(missing).toBeLessThanOrEqual(lost);
}

/** What a log says of itself while it is damaged: lines, and what health answers. */
class Witness {
  readonly lines: string[] = [];
  private readonly seen = new Set<string>();
  private log: SqliteDecisionLog | undefined;

  readonly onProblem = (what: string, error: unknown): void => {
    this.lines.push(error === undefined ? what : `${what}: ${error}`);
    queueMicrotask(() => this.look());
  };

  watch(log: SqliteDecisionLog): void {
    this.log = log;
    this.look();
  }

  look(): this {
    if (this.log === undefined) return this;
    // Of the indicators the one of the log asks nothing but the log.
    const none = undefined as never;
    const indicators = new HealthIndicators(new HealthIndicatorService(), none, this.log, none, none, none, none, none);
    indicators.onModuleDestroy();
    this.seen.add(Object.values(indicators.logQueue())[0]!.status);
    return this;
  }

  forget(): void {
    this.lines.length = 0;
    this.seen.clear();
  }

  get worst(): string {
    return ['down', 'degraded', 'up'].find((status) => this.seen.has(status))!;
  }
}

const all = process.env.VERDICT_TEST_DAMAGE === 'all';
const modes = all ? (['sync', 'async', 'fsync'] as const) : (['sync', 'async'] as const);
const cases = files.flatMap((file) =>
  damages.flatMap((damage) =>
    moments.flatMap((moment) =>
      modes.flatMap((mode) => {
        const want = wanted[file][damage]?.[moment];
        return want === undefined || (damage === 'read-only' && !canBeReadOnly)
          ? []
          : [{ file, damage, moment, mode, want }];
      }),
    ),
  ),
);
const chosen = cases.filter(({ moment, mode }, i) => all || (mode === 'sync' && moment === 'running') || i % 4 === 0);

it.each(chosen)(
  '$file, $damage, $moment, mode $mode (P4)',
  { timeout: 120_000 },
  async ({ file, damage, moment, mode, want }) => {
    let directory = temporaryDirectory();
    const acknowledged: string[] = [];
    const witness = new Witness();
    const options = { ...quick, mode, onProblem: witness.onProblem };
    const running = moment === 'running';
    let log = await startLog(directory, options);
    await fill(log, 3 * perFile - 20, acknowledged);
    await expect.poll(() => log.depth).toBe(0);
    expect(existsSync(pathOf(directory, 'closed journal'))).toBe(true);
    if (file === 'WAL' && !running) {
      // A log that was stopped has no WAL: this is the folder as a crash leaves it, a second after the last record.
      await expect.poll(() => committed(directory)).toBe(acknowledged.length);
      const crashed = temporaryDirectory();
      cpSync(directory, crashed, { recursive: true });
      await log.stop();
      directory = crashed;
    } else if (!running) await log.stop();
    witness.forget();

    // A file may be gone, or be another one, by the time at which its name is looked for.
    const paths = new Map(files.map((each) => [each, pathOf(directory, each)]));
    const pathBefore = (each: File) => paths.get(each)!;
    const path = pathBefore(file);
    const end = await inflict(path, damage);
    const worst = want.health === 'down' && mode === 'async' ? 'degraded' : want.health;
    if (running) {
      witness.watch(log);
      await fill(log, 40, acknowledged);
      // In mode async nothing has been tried yet, and few groups of many records end no file.
      if (want.named === undefined) await expect.poll(() => log.depth, { timeout: 20_000 }).toBe(0);
      else if (damage === 'read-only' || damage === 'locked') {
        await saysOf(witness, pathBefore(want.named), () => fill(log, 4, acknowledged));
        await expect.poll(() => witness.look().worst, { timeout: 20_000 }).toBe(worst);
      }
      witness.look();
      await end();
    } else {
      const started = await startLog(directory, options).catch((error: unknown) => error as Error);
      expect(started instanceof Error).toBe(want.refused === true);
      if (started instanceof Error) {
        // The WAL is part of its database, whose name is the one that SQLite is given.
        expect(String(started)).toContain(pathBefore(file === 'WAL' ? 'open journal' : file));
        await end();
        log = await startLog(directory, options);
      } else {
        log = started;
        await end();
      }
      witness.watch(log);
    }
    await expect.poll(() => log.status.state, { timeout: 20_000 }).toBe('ok');
    // Reading fails for the moment in which files are brought back.
    await vi.waitFor(() => account(log), 20_000);
    if (want.named !== undefined) await saysOf(witness, pathBefore(want.named), undefined, closedName(directory));
    witness.look();
    await expect.poll(() => witness.look().worst).toBe(worst);
    if (want.health === 'up' && want.named === undefined) expect(witness.lines.filter(isOfDamage)).toEqual([]);
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
    await expectAllAccounted(log, acknowledged, want);
    await log.stop();
    const again = await startLog(directory, quick);
    await fill(again, 4, acknowledged);
    await expectAllAccounted(again, acknowledged, want);
  },
);

/** The name of the file that was open: damage to a page that is only read later is found when it is closed. */
function closedName(directory: string): string {
  return join(directory, `verdict.decisions.${String(2 * perFile + 1).padStart(16, '0')}.sqlite`);
}

/** Waits until a line names the file, by the one or the other of its names. Before each look `work` is done. */
async function saysOf(
  { lines }: Witness,
  path: string,
  work: () => Promise<void> | void = () => {},
  other = path,
): Promise<void> {
  const namesIt = async () => {
    await work();
    return lines.some((line) => line.includes(path) || (path.endsWith('decisions.sqlite') && line.includes(other)));
  };
  await expect.poll(namesIt, { timeout: 20_000, message: `a line names ${path}` }).toBe(true);
}

/** A line that tells of a file, and not of work that is tried again. */
function isOfDamage(line: string): boolean {
  return /damaged|missing|is not there|removed|replaced|lost/.test(line);
}

/** The sequence that the index of the open file has noted. */
async function committed(directory: string): Promise<number> {
  const connection = await SqliteConnection.open({ path: pathOf(directory, 'open index'), busyTimeoutMs: 1_000 });
  try {
    const [row] = await connection.query<{ last: number }>('SELECT last FROM committed');
    return row!.last;
  } finally {
    await connection.close();
  }
}
