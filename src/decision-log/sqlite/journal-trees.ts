import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { CheckpointRange } from '../proof/decision-proofs.js';
import { type CertifiedKey, mergedKeys } from '../proof/log-keys.js';
import { Frontier, type StoredTree, type TreeEntry } from '../proof/merkle-tree.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { isProven, readBeginning, type TreeEnd } from './journal-format.js';
import { MissingEntry, readAnchor, readRun } from './journal-tree.js';
import type { LogView, UnitView } from './log-view.js';

/** A file, and how its tree begins in it. */
interface TreeUnit {
  readonly unit: UnitView;
  readonly begun: TreeEnd;
}

/** The files of the log that prove themselves, the newest first. */
async function treeUnits(view: LogView): Promise<TreeUnit[]> {
  const units: TreeUnit[] = [];
  for (const unit of view.units) {
    if (!isProven(unit.format)) break;
    const beginning = await view.read(unit, (connection) => readBeginning(connection, unit.format, 'journal'));
    if (beginning?.tree === undefined) break;
    units.push({ unit, begun: beginning.tree });
  }
  return units;
}

/** A tree over the files of the journal that hold it. */
export class JournalFilesTree implements StoredTree {
  private readonly runs = new Map<string, Promise<ReadonlyMap<number, TreeEntry>>>();

  private constructor(
    private readonly view: LogView,
    private readonly units: readonly TreeUnit[],
    readonly anchor: Frontier,
  ) {}

  /**
   * Opens the files that hold a tree without a hole: the newest, or those around an entry, which a hold kept when the
   * retention removed others behind them.
   *
   * @param entry the entry that is asked about; undefined: the newest
   * @returns undefined where no file that is kept has a tree of that name
   */
  static async open(view: LogView, name: string, entry?: number): Promise<JournalFilesTree | undefined> {
    const all = (await treeUnits(view)).filter(({ begun }) => begun.name === name);
    const run = runsOf(all).find((each) => entry === undefined || each.at(-1)!.begun.frontier.size <= entry);
    const units = run ?? [];
    const oldest = units.at(-1);
    if (oldest === undefined) return undefined;
    const anchor = await view.read(oldest.unit, (connection) => readAnchor(connection, oldest.begun, 'journal'));
    return anchor === undefined ? undefined : new JournalFilesTree(view, units, anchor);
  }

  async entry(index: number): Promise<TreeEntry> {
    const holder = this.units.find(({ begun }) => begun.frontier.size <= index);
    if (holder === undefined) throw new MissingEntry(index);
    const run = Math.floor(index / 64) * 64;
    const key = `${holder.unit.first} ${run}`;
    let entries = this.runs.get(key);
    if (entries === undefined) {
      entries = this.view
        .read(holder.unit, (connection) => readRun(connection, 'journal', run))
        .then((found) => found ?? new Map());
      this.runs.set(key, entries);
    }
    const entry = (await entries).get(index);
    if (entry === undefined) throw new MissingEntry(index);
    return entry;
  }
}

/** The files in runs without a hole, the newest first. */
function runsOf(units: readonly TreeUnit[]): TreeUnit[][] {
  const runs: TreeUnit[][] = [];
  for (const each of units) {
    const next = runs.at(-1)?.at(-1);
    if (next !== undefined && next.unit.first === each.unit.last + 1) runs.at(-1)!.push(each);
    else runs.push([each]);
  }
  return runs;
}

/**
 * The newest file behind which files were removed, counted from the file that has this sequence on; undefined where none
 * were, so that the newest checkpoints are about its records.
 */
function lastBeforeHole(view: LogView, sequence: number): UnitView | undefined {
  let last: UnitView | undefined;
  for (const unit of view.units.toReversed()) {
    if (unit.last < sequence) continue;
    if (last !== undefined && unit.first !== last.last + 1) return last;
    last = unit;
  }
  return undefined;
}

/** Most entries of a checkpoint that can be proved of a record, where a hole is behind it. */
export async function provableEntries(view: LogView, sequence: number): Promise<number | undefined> {
  const unit = lastBeforeHole(view, sequence);
  if (unit === undefined) return undefined;
  const newest = await view.read(unit, (connection) =>
    connection.query<{ entries: number | null }>('SELECT max(entries) AS entries FROM journal.checkpoint'),
  );
  return newest?.[0]?.entries ?? 0;
}

/** Of all files that prove themselves, what `read` finds in each, the newest first, until it was enough. */
async function* readEach<Found>(
  view: LogView,
  read: (connection: SqliteConnection, begun: TreeEnd) => Promise<Found>,
): AsyncGenerator<Found> {
  for (const { unit, begun } of await treeUnits(view)) {
    const found = await view.read(unit, (connection) => read(connection, begun));
    if (found !== undefined) yield found;
  }
}

/** Checkpoints of the journal, the newest first. */
export async function readCheckpoints(view: LogView, range: CheckpointRange): Promise<StoredCheckpoint[]> {
  const found: StoredCheckpoint[] = [];
  const each = readEach(view, async (connection, { name }) => {
    if (range.tree !== undefined && range.tree !== name) return [];
    return connection.query<StoredCheckpoint>(
      `SELECT (SELECT tree FROM journal.log) AS tree, entries, sequence, time, note FROM journal.checkpoint
       WHERE time < ? AND entries <= ? ORDER BY time DESC, entries DESC LIMIT ?`,
      [range.before, range.entries ?? Number.MAX_SAFE_INTEGER, range.limit],
    );
  });
  for await (const checkpoints of each) {
    found.push(...checkpoints);
    if (found.length >= range.limit) break;
  }
  return found.slice(0, range.limit);
}

/** The keys that signed in the files. */
export async function readSigningKeys(view: LogView): Promise<CertifiedKey[]> {
  const keys: CertifiedKey[] = [];
  const each = readEach(view, (connection) =>
    connection.query<{ key: string; certificates: string }>('SELECT key, certificates FROM journal.signing_key'),
  );
  for await (const found of each) {
    for (const { key, certificates } of found) keys.push({ key, certificates: JSON.parse(certificates) as string[] });
  }
  return mergedKeys(keys);
}
