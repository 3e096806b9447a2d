import type { PostgresStatements } from '../../database/postgres/postgres-client.js';
import type { GapCause, Loss } from '../log-gap.js';
import { entryOfGap, GroupEntry, type HashedGroup, saltBytes } from '../proof/group-hashes.js';
import { Frontier, hashBytes, type StoredTree, type TreeEntry } from '../proof/merkle-tree.js';
import type { LogTransaction } from './row-walk.js';
import { groupNodeBytes } from './shared-row.js';

/** Entries that are read at once. */
const entriesAtOnce = 64;
/** Most groups of a row (shared-row.ts): a row has at most 128 records. */
const mostGroups = 128;

/** A group within a row of `decision_group`, as far as its tree needs it. */
export interface SharedGroup extends HashedGroup {
  readonly entry: number;
  /** Undefined where they were not read. */
  readonly salts: Buffer | undefined;
}

/** What a tree is read with. */
export type TreeReading = Pick<LogTransaction, 'client' | 'table'>;

export interface ProofColumns {
  readonly first: number;
  readonly entry: number;
  readonly nodes: Buffer;
  readonly leaves: Buffer;
  readonly salts?: Buffer | null;
}

/** The groups that a row consists of. */
export function groupsOfRow({ first, entry, nodes, leaves, salts }: ProofColumns): SharedGroup[] {
  const groups: SharedGroup[] = [];
  let place = 0;
  for (let at = 0; at + groupNodeBytes <= nodes.length; at += groupNodeBytes) {
    const count = nodes.readUInt16BE(at);
    groups.push({
      first: first + place,
      count,
      entry: entry + groups.length,
      node: nodes.subarray(at + 2, at + groupNodeBytes),
      leaves: leaves.subarray(place * hashBytes, (place + count) * hashBytes),
      salts: salts?.subarray(place * saltBytes, (place + count) * saltBytes),
    });
    place += count;
  }
  return groups;
}

interface TreeRow {
  readonly writer: number;
  readonly tree: string;
  readonly first: number;
  readonly beyond: number | null;
  readonly entries: number;
  readonly frontier: Buffer;
}

/** The tree of a writer in the shared log. */
export class SharedTree implements StoredTree {
  readonly anchor: Frontier;
  private readonly runs = new Map<number, Promise<ReadonlyMap<number, TreeEntry>>>();

  private constructor(
    private readonly transaction: TreeReading,
    private readonly row: TreeRow,
  ) {
    this.anchor = Frontier.decode(row.entries, row.frontier);
  }

  /**
   * @param writer the number of the writer
   * @returns undefined where the log has no such tree
   */
  static async open(transaction: TreeReading, tree: string, writer: number): Promise<SharedTree | undefined> {
    const { client, table } = transaction;
    const [row] = await client.query<TreeRow>(
      `SELECT t.writer, t.tree, t.first, t.entries, t.frontier,
         (SELECT min(n.first) FROM ${table('decision_tree')} n WHERE n.writer = t.writer AND n.first > t.first) AS beyond
       FROM ${table('decision_tree')} t WHERE t.writer = $1 AND t.tree = $2`,
      [writer, tree],
    );
    return row && new SharedTree(transaction, row);
  }

  async entry(index: number): Promise<TreeEntry> {
    const run = Math.floor(index / entriesAtOnce);
    let entries = this.runs.get(run);
    if (entries === undefined) {
      entries = this.readRun(run * entriesAtOnce);
      this.runs.set(run, entries);
    }
    const entry = (await entries).get(index);
    if (entry === undefined) throw new EntryNotShipped(index);
    return entry;
  }

  private async readRun(from: number): Promise<ReadonlyMap<number, TreeEntry>> {
    const { writer, tree, first, beyond } = this.row;
    const to = from + entriesAtOnce;
    const { client, table } = this.transaction;
    const end = beyond ?? Number.MAX_SAFE_INTEGER;
    const rows = await client.query<ProofColumns>(
      `SELECT first, entry, nodes, leaves FROM ${table('decision_group')}
       WHERE writer = $1 AND entry > $2::int8 - ${mostGroups} AND entry < $3::int8 AND entry IS NOT NULL
         AND first >= $4::int8 AND first < $5::int8`,
      [writer, from, to, first, end],
    );
    const gaps = await client.query<Loss & { cause: GapCause; entry: number; node: Buffer }>(
      `SELECT after, lost, since, until, cause, entry, node FROM ${table('decision_gap')}
       WHERE writer = $1 AND entry >= $2::int8 AND entry < $3::int8 AND after >= $4::int8 - 1 AND after < $5::int8`,
      [writer, from, to, first, end],
    );
    const dropped = await client.query<TreeEntry & { entry: number }>(
      `SELECT entry, leaf, node FROM ${table('decision_entry')}
       WHERE writer = $1 AND tree = $2 AND entry >= $3::int8 AND entry < $4::int8`,
      [writer, tree, from, to],
    );
    return new Map<number, TreeEntry>([
      ...dropped.map(({ entry, leaf, node }) => [entry, { leaf, node }] as const),
      ...gaps.map((gap) => [gap.entry, { leaf: entryOfGap(gap), node: gap.node }] as const),
      ...rows.flatMap(groupsOfRow).map((group) => [group.entry, new GroupEntry(group)] as const),
    ]);
  }
}

/** An entry of a tree that is not in the shared log. */
export class EntryNotShipped extends Error {
  override readonly name = 'EntryNotShipped';

  constructor(index: number) {
    super(`entry ${index} of the tree is not in the shared log`);
  }
}

/** The number of the writer that has a tree; the newest of several, whose journals went different ways. */
export async function writerOfTree(client: PostgresStatements, table: LogTransaction['table'], tree: string) {
  const [row] = await client.query<{ writer: number }>(
    `SELECT writer FROM ${table('decision_tree')} WHERE tree = $1 ORDER BY writer DESC LIMIT 1`,
    [tree],
  );
  return row?.writer;
}
