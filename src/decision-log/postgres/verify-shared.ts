import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { KeyedIndex } from '../keyed-index.js';
import { Frontier, type TreeEntry, WrongFrontier } from '../proof/merkle-tree.js';
import type { PlaceInRow, ProofSink, ReadOptions, StoredProofGap } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { utcDayOf } from '../utc-day.js';
import { dayName } from './day-partitions.js';
import { inSnapshot, type SnapshotSource } from './log-snapshot.js';
import type { LogTransaction } from './row-walk.js';
import { type CodedText, LostIndexKey, type SharedKeys } from './shared-keys.js';
import { groupsOfRow, type ProofColumns } from './shared-tree.js';

/** Rows that are read at once where nobody decides meanwhile. */
const manyRows = 64;
/** Notes, and entries of which hashes alone are kept, that are read at once. */
const partsAtOnce = 1_000;

interface TreeRow {
  readonly writer: number;
  readonly id_writer: number;
  readonly instance: string;
  readonly tree: string;
  readonly first: number;
  readonly beyond: number;
  readonly entries: number;
  readonly frontier: Buffer;
  readonly note: string | null;
  /** Sequence of the first record that is kept; null where none is. */
  readonly start: number | null;
  readonly upto: number;
}

type Row = CodedText &
  ProofColumns & {
    readonly day: string;
    readonly since: number;
    readonly until: number;
    readonly id_since: number;
    readonly id_until: number;
    /** Null where the texts are not asked for. */
    readonly keys: Buffer | null;
    readonly isUndecryptable?: boolean;
  };

/** Reads what PostgreSQL has of all writers with what proves it, one after the other, also while they ship. `keys`: what decrypts texts. */
export async function readSharedLog(
  database: PostgresDatabase,
  sink: ProofSink,
  { withTexts, rowsAtOnce = manyRows }: ReadOptions,
  keys?: SharedKeys,
): Promise<void> {
  const table = (name: string) => database.table(name);
  // An earlier release made the tables where there is none.
  const mayBeSealed = await database.hasTable('decision_data_key');
  const options = { withTexts, rowsAtOnce, mayBeSealed };
  const trees = await readTrees(database);
  for await (const { writer, note, ...beside } of notesOf(database)) {
    await sink.checkpoint(note, `writer ${writer}`, beside);
    const owners = trees.filter(({ tree }) => tree === beside.tree).map((tree) => tree.writer);
    if (owners.length === 0 || owners.includes(writer)) continue;
    const what = `a checkpoint of the tree of writer ${owners[0]} is kept as one of this writer`;
    sink.misplaced(`writer ${writer}`, what, 1, beside.sequence);
  }
  for (const { writer, note, upto } of trees) {
    if (note === null) continue;
    await sink.checkpoint(note, `writer ${writer}`);
    if (note.includes(`\nsequence ${upto}\n`)) continue;
    sink.misplaced(`writer ${writer}`, 'what is kept beside the note of the retention is not what it says', 1, upto);
  }
  for (const { writer, first, last } of await rowsOutside(database))
    sink.misplaced(`writer ${writer}`, putBack, first, last);
  const [unproved] = await database.query<{ records: number }>(
    `SELECT coalesce(sum(count), 0)::int8 AS records FROM ${table('decision_group')} WHERE entry IS NULL`,
  );
  sink.unprovedRecords(unproved!.records);
  for (const tree of trees) {
    try {
      await readTree({ database, keys }, tree, sink, options);
    } catch (error) {
      if (!(error instanceof WrongFrontier)) throw error;
      // The beginning of the tree was changed.
      sink.unreadable(placeOf(tree), tree.first, Math.max(tree.first, tree.upto));
    }
  }
}

function placeOf({ writer, instance }: TreeRow): string {
  return `writer ${writer} (${instance})`;
}

const putBack =
  'records are there that the retention removed, or that are of no tree: they were put there, or a removal did not end, which the next pass of the retention does';
/** Looks at rows that a removal may be about to drop, and the pause between two, in milliseconds. */
const [looks, lookMs] = [5, 1_000];

/**
 * Rows that are in no part of a tree that is kept. The retention signs what it removes before it drops the rows, so those that are gone
 * at a later look are none.
 */
async function rowsOutside(
  database: PostgresDatabase,
): Promise<readonly { readonly writer: number; readonly first: number; readonly last: number }[]> {
  const table = (name: string) => database.table(name);
  for (let look = 1; ; look++) {
    const found = await database.query<{ writer: number; first: number; last: number }>(
      `SELECT g.writer, min(g.first) AS first, max(g.first + g.count - 1) AS last FROM ${table('decision_group')} g
       WHERE g.entry IS NOT NULL AND NOT coalesce(
         (SELECT g.entry >= t.entries FROM ${table('decision_tree')} t
          WHERE t.writer = g.writer AND t.first <= g.first ORDER BY t.first DESC LIMIT 1), false)
       GROUP BY g.writer ORDER BY g.writer`,
    );
    if (found.length === 0 || look === looks) return found;
    await delay(lookMs);
  }
}

/** All trees, or one. */
function readTrees(database: PostgresDatabase, writer?: number, tree?: string): Promise<TreeRow[]> {
  const table = (name: string) => database.table(name);
  return database.query<TreeRow>(
    `SELECT t.writer, w.id_writer, w.instance, t.tree, t.first, t.entries, t.frontier, t.note, t.upto,
       (SELECT min(g.first) FROM ${table('decision_group')} g
        WHERE g.writer = t.writer AND g.entry = t.entries AND g.first >= t.first) AS start,
       coalesce((SELECT min(n.first) FROM ${table('decision_tree')} n WHERE n.writer = t.writer AND n.first > t.first),
         ${Number.MAX_SAFE_INTEGER}) AS beyond
     FROM ${table('decision_tree')} t JOIN ${table('decision_writer')} w ON w.writer = t.writer
     WHERE ($1::int IS NULL OR t.writer = $1) AND ($2::text IS NULL OR t.tree = $2) ORDER BY t.writer, t.first`,
    [writer ?? null, tree ?? null],
  );
}

async function* notesOf(database: PostgresDatabase): AsyncGenerator<StoredCheckpoint & { readonly writer: number }> {
  let last: readonly (number | string)[] = [-1, '', 0, 0];
  for (;;) {
    const notes = await database.query<StoredCheckpoint & { writer: number }>(
      `SELECT writer, tree, entries, sequence, time, note FROM ${database.table('decision_checkpoint')}
       WHERE (writer, tree, entries, time) > ($1::int, $2::text, $3::int8, $4::int8)
       ORDER BY writer, tree, entries, time LIMIT ${partsAtOnce}`,
      last,
    );
    yield* notes;
    const end = notes.at(-1);
    if (end === undefined || notes.length < partsAtOnce) return;
    last = [end.writer, end.tree, end.entries, end.time];
  }
}

/** Entries of a tree whose rows the retention dropped, in their order, a part of them in memory. */
class RemovedEntries {
  private waiting: (TreeEntry & { readonly entry: number })[] = [];
  private isEnd = false;

  constructor(
    private readonly database: PostgresDatabase,
    private readonly tree: Pick<TreeRow, 'writer' | 'tree'>,
    private next: number,
  ) {}

  /** The lowest that was not taken; undefined where there is none. */
  async peek(): Promise<(TreeEntry & { readonly entry: number }) | undefined> {
    if (this.waiting.length === 0 && !this.isEnd) {
      const { writer, tree } = this.tree;
      this.waiting = await this.database.query(
        `SELECT entry, leaf, node FROM ${this.database.table('decision_entry')}
         WHERE writer = $1 AND tree = $2 AND entry >= $3::int8 ORDER BY entry LIMIT ${partsAtOnce}`,
        [writer, tree, this.next],
      );
      this.isEnd = this.waiting.length < partsAtOnce;
      this.next = (this.waiting.at(-1)?.entry ?? this.next) + 1;
    }
    return this.waiting[0];
  }

  take(): void {
    this.waiting.shift();
  }
}

interface TreeOptions extends Required<ReadOptions> {
  /** Whether the tables have the columns of encrypted rows. */
  readonly mayBeSealed: boolean;
}

async function readTree(
  source: SnapshotSource,
  row: TreeRow,
  sink: ProofSink,
  { withTexts, rowsAtOnce, mayBeSealed }: TreeOptions,
): Promise<void> {
  const { database } = source;
  const { writer, tree, first, beyond } = row;
  const table = (name: string) => database.table(name);
  const place = placeOf(row);
  let { entries } = row;
  begin(sink, row, place);
  const gaps = await database.query<StoredProofGap>(
    `SELECT after, lost, since, until, cause, entry, node FROM ${table('decision_gap')}
     WHERE writer = $1 AND entry >= $2::int8 AND after >= $3::int8 - 1 AND after < $4::int8 ORDER BY entry`,
    [writer, entries, first, beyond],
  );
  let removed = new RemovedEntries(database, row, entries);
  let next = entries;
  const besidesUpTo = async (entry: number) => {
    for (;;) {
      const [gap, gone] = [gaps[0], await removed.peek()];
      const least = Math.min(gap?.entry ?? entry, gone?.entry ?? entry);
      if (least >= entry) return;
      if (gap?.entry === least) await sink.gap(gaps.shift()!);
      if (gone?.entry === least) {
        await sink.removed(least, gone.leaf, gone.node);
        removed.take();
      }
      next = least + 1;
    }
  };
  /** Where the retention went on while the tree was read, what is missing was removed by it. */
  const goOnBehindRetention = async () => {
    const [now] = await readTrees(database, writer, tree);
    if (now === undefined || now.note === null || now.entries <= Math.max(entries, next)) return;
    entries = now.entries;
    await sink.checkpoint(now.note, `writer ${writer}`);
    begin(sink, now, place);
    while (gaps[0] !== undefined && (gaps[0].entry ?? 0) < entries) gaps.shift();
    removed = new RemovedEntries(database, row, entries);
    next = entries;
  };
  let last = { entry: entries - 1, first: Number.MAX_SAFE_INTEGER };
  for (;;) {
    const after = last;
    // With its key in one snapshot: a row that is encrypted anew meanwhile gets another, and its old one is removed.
    const { rows, index } = await inSnapshot(source, async (transaction) => {
      const read = await transaction.client.query<Row>(
        `SELECT writer, day::text, first, count, since, until, id_since, id_until, entry, nodes, leaves, salts,
           ${withTexts ? 'keys, records' : `NULL::bytea AS keys, '' AS records`},
           ${mayBeSealed && withTexts ? 'sealed' : 'NULL::bytea AS sealed'}, ${mayBeSealed ? 'data_key' : 'NULL::int4 AS data_key'}
         FROM ${table('decision_group')}
         WHERE writer = $1 AND entry >= $2::int8 AND (entry, first) > ($2::int8, $3::int8)
           AND first >= $4::int8 AND first < $5::int8
         ORDER BY entry, first LIMIT ${rowsAtOnce}`,
        [writer, after.entry, after.first, first, beyond],
      );
      if (!withTexts) return { rows: read, index: undefined };
      const isSealed = read.some(({ data_key }) => data_key !== null);
      return {
        rows: await transaction.keys.decoded(transaction, read),
        index: isSealed ? await indexOf(transaction) : undefined,
      };
    });
    for (const each of rows) {
      const { isUndecryptable = false } = each;
      const texts = withTexts && !isUndecryptable ? textsOf(each.records) : undefined;
      // Salts are encrypted, too.
      const isClosed = each.data_key !== null && texts === undefined;
      const groups = groupsOfRow(each);
      for (const [i, { salts, ...group }] of groups.entries()) {
        await besidesUpTo(group.entry);
        if (group.entry > next) {
          await goOnBehindRetention();
          await besidesUpTo(group.entry);
        }
        if (group.entry < entries) continue;
        const text = texts?.[i];
        const isLast = i === groups.length - 1;
        const isMaskKnown = each.data_key === null || index !== undefined;
        const row = {
          place: group.first - each.first,
          ...(isLast && isMaskKnown && { beside: besideOf(each, index) }),
        };
        await sink.group({
          ...group,
          salts: isClosed ? undefined : (salts ?? null),
          ...(text !== undefined && { text, row }),
          isUndecryptable,
        });
        next = group.entry + 1;
      }
      if (each.day !== dayName(utcDayOf(each.until)))
        sink.misplaced(place, 'the records are kept with another day', each.first, each.first + each.count - 1);
      if ((texts !== undefined && texts.length !== groups.length) || each.count !== recordsIn(groups))
        sink.unreadable(place, each.first, each.first + each.count - 1);
      last = each;
    }
    if (rows.length < rowsAtOnce) break;
  }
  await besidesUpTo(Number.MAX_SAFE_INTEGER);
  await goOnBehindRetention();
  await besidesUpTo(Number.MAX_SAFE_INTEGER);
}

function begin(sink: ProofSink, row: TreeRow, place: string): void {
  const { writer, id_writer, tree, first, entries, frontier, start, upto } = row;
  sink.begin({
    journal: `${writer}`,
    tree,
    place,
    begun: Frontier.decode(entries, frontier),
    start: start ?? Math.max(first, upto + 1),
    writer: id_writer,
  });
}

/** What masks keys; undefined where it was taken away, which is a finding of its own (`ProvenRecords.lost`). */
async function indexOf(transaction: LogTransaction): Promise<KeyedIndex | undefined> {
  try {
    return await transaction.keys.indexOf(transaction);
  } catch (error) {
    if (error instanceof LostIndexKey) return undefined;
    throw error;
  }
}

/** @param index masks the keys of rows that are encrypted */
function besideOf(row: Omit<Row, 'sealed'>, index: KeyedIndex | undefined): PlaceInRow['beside'] {
  const { since, until, id_since: idSince, id_until: idUntil, keys, data_key } = row;
  const isMasked = data_key !== null && index !== undefined;
  return {
    since,
    until,
    idSince,
    idUntil,
    entries: keys!,
    ...(isMasked && { maskEntries: (entries: Buffer) => index.maskEntries(entries) }),
  };
}

/** The texts of the groups of a row: each begins with the line that its records share. */
function textsOf(records: string): string[] {
  return records.split(/\n(?=\{"policySet":)/);
}

function recordsIn(groups: readonly { readonly count: number }[]): number {
  return groups.reduce((sum, { count }) => sum + count, 0);
}
