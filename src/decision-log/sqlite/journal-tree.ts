import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { GapCause, Loss } from '../log-gap.js';
import { entryOfGap, GroupEntry, type HashedGroup } from '../proof/group-hashes.js';
import { Frontier, frontierOf, type StoredTree, type TreeEntry } from '../proof/merkle-tree.js';
import { type JournalFormat, readBeginning, type TreeEnd } from './journal-format.js';

/** Entries that are read at once: the index of the journal has each 64th. */
const entriesAtOnce = 64;

/** A group as a row of `journal`, as far as the tree needs it. */
export interface TreeRow extends HashedGroup {
  readonly entry: number;
}

/** A row of `gap` that is in the tree. */
export interface GapRow extends Loss {
  readonly cause: GapCause;
  readonly entry: number;
  readonly node: Buffer;
}

/** The entries of a tree that one file of the journal holds, in format 3. */
export class JournalTree implements StoredTree {
  private readonly runs = new Map<number, Promise<ReadonlyMap<number, TreeEntry>>>();

  /** @param anchor what the file says of the entries before its own */
  constructor(
    private readonly connection: SqliteConnection,
    private readonly schema: 'main' | 'journal',
    readonly anchor: Frontier,
  ) {}

  async entry(index: number): Promise<TreeEntry> {
    const run = Math.floor(index / entriesAtOnce);
    let entries = this.runs.get(run);
    if (entries === undefined) {
      entries = readRun(this.connection, this.schema, run * entriesAtOnce);
      this.runs.set(run, entries);
    }
    const entry = (await entries).get(index);
    if (entry === undefined) throw new MissingEntry(index);
    return entry;
  }
}

/** An entry of the tree that is not in the file in which it should be. */
export class MissingEntry extends Error {
  override readonly name = 'MissingEntry';

  constructor(index: number) {
    super(`entry ${index} of the tree is missing`);
  }
}

/** Entries of one file, from one on whose number is a multiple of 64. */
export async function readRun(
  connection: SqliteConnection,
  schema: 'main' | 'journal',
  from: number,
): Promise<ReadonlyMap<number, TreeEntry>> {
  const beyond = from + entriesAtOnce;
  const rows = await connection.query<TreeRow>(
    `SELECT first, count, entry, node, leaves FROM ${schema}.journal
     WHERE first >= coalesce((SELECT first FROM ${schema}.journal
         WHERE entry % 64 = 0 AND entry <= ?1 ORDER BY entry DESC LIMIT 1), 0)
       AND first < coalesce((SELECT first FROM ${schema}.journal
         WHERE entry % 64 = 0 AND entry >= ?2 ORDER BY entry LIMIT 1), 1 << 60)
       AND entry >= ?1 AND entry < ?2 ORDER BY first`,
    [from, beyond],
  );
  const gaps = await connection.query<GapRow>(
    `SELECT after, lost, since, until, cause, entry, node FROM ${schema}.gap WHERE entry >= ? AND entry < ?`,
    [from, beyond],
  );
  return new Map([
    ...gaps.map((gap) => [gap.entry, { leaf: entryOfGap(gap), node: gap.node }] as const),
    ...rows.map((row) => [row.entry, new GroupEntry(row)] as const),
  ]);
}

/** What the file says of the entries before its own, those of it that the retention removed among them. */
export async function readAnchor(
  connection: SqliteConnection,
  { name, frontier: begun }: TreeEnd,
  schema: 'main' | 'journal' = 'main',
): Promise<Frontier> {
  const [row] = await connection.query<{ entries: number; frontier: Buffer }>(
    `SELECT entries, frontier FROM ${schema}.anchor WHERE tree = ?`,
    [name],
  );
  return row === undefined || row.entries <= begun.size ? begun : Frontier.decode(row.entries, row.frontier);
}

/** The tree up to the end of a file; undefined where that cannot be read. The first tree has the journal's name. */
export async function readTreeEnd(
  connection: SqliteConnection,
  format: JournalFormat,
  schema: 'main' | 'journal' = 'journal',
): Promise<TreeEnd | undefined> {
  try {
    const beginning = await readBeginning(connection, format, schema);
    if (beginning === undefined) return undefined;
    if (beginning.tree === undefined) return { name: beginning.name, frontier: Frontier.empty };
    const { name, frontier: begun } = beginning.tree;
    const anchor = await readAnchor(connection, beginning.tree, schema);
    const size = await readTreeSize(connection, begun, schema);
    return { name, frontier: await frontierOf(new JournalTree(connection, schema, anchor), size) };
  } catch (error) {
    if (error instanceof MissingEntry || isDamaged(error)) return undefined;
    throw error;
  }
}

/** Number of entries of the tree up to the end of the file. */
export async function readTreeSize(
  connection: SqliteConnection,
  begun: Frontier,
  schema: 'main' | 'journal' = 'main',
): Promise<number> {
  const [row] = await connection.query<{ journal: number | null; gap: number | null }>(
    `SELECT (SELECT entry + 1 FROM ${schema}.journal WHERE entry IS NOT NULL ORDER BY first DESC LIMIT 1) AS journal,
       (SELECT max(entry) + 1 FROM ${schema}.gap) AS gap`,
  );
  return Math.max(begun.size, row?.journal ?? 0, row?.gap ?? 0);
}
