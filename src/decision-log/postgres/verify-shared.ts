import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { Frontier, type TreeEntry } from '../proof/merkle-tree.js';
import type { ProofSink, StoredProofGap } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { groupsOfRow, type ProofColumns } from './shared-tree.js';

/** Rows that are read at once. */
const rowsAtOnce = 64;

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

type Row = ProofColumns & { readonly count: number; readonly records: string | null };

/** Verifies what PostgreSQL has of all writers, one after the other, also while they ship. */
export async function verifySharedLog(
  database: PostgresDatabase,
  verification: ProofSink,
  withTexts: boolean,
): Promise<void> {
  const table = (name: string) => database.table(name);
  const trees = await database.query<TreeRow>(
    `SELECT t.writer, w.id_writer, w.instance, t.tree, t.first, t.entries, t.frontier, t.note, t.upto,
       (SELECT min(g.first) FROM ${table('decision_group')} g
        WHERE g.writer = t.writer AND g.entry = t.entries AND g.first >= t.first) AS start,
       coalesce((SELECT min(n.first) FROM ${table('decision_tree')} n WHERE n.writer = t.writer AND n.first > t.first),
         ${Number.MAX_SAFE_INTEGER}) AS beyond
     FROM ${table('decision_tree')} t JOIN ${table('decision_writer')} w ON w.writer = t.writer ORDER BY t.writer, t.first`,
  );
  const notes = await database.query<StoredCheckpoint & { writer: number }>(
    `SELECT writer, tree, entries, sequence, time, note FROM ${table('decision_checkpoint')} ORDER BY entries`,
  );
  for (const { writer, note, ...beside } of notes) verification.checkpoint(note, `writer ${writer}`, beside);
  for (const { writer, note } of trees) if (note !== null) verification.checkpoint(note, `writer ${writer}`);
  const [unproved] = await database.query<{ records: number }>(
    `SELECT coalesce(sum(count), 0)::int8 AS records FROM ${table('decision_group')} WHERE entry IS NULL`,
  );
  verification.unprovedRecords(unproved!.records);
  for (const tree of trees) await verifyTree(database, tree, verification, withTexts);
}

async function verifyTree(
  database: PostgresDatabase,
  { writer, id_writer, instance, tree, first, beyond, entries, frontier, start, upto }: TreeRow,
  verification: ProofSink,
  withTexts: boolean,
): Promise<void> {
  const table = (name: string) => database.table(name);
  const place = `writer ${writer} (${instance})`;
  const begun = Frontier.decode(entries, frontier);
  verification.begin({
    journal: `${writer}`,
    tree,
    place,
    begun,
    start: start ?? Math.max(first, upto + 1),
    writer: id_writer,
  });
  const gaps = await database.query<StoredProofGap>(
    `SELECT after, lost, since, until, cause, entry, node FROM ${table('decision_gap')}
     WHERE writer = $1 AND entry >= $2::int8 AND after >= $3::int8 - 1 AND after < $4::int8 ORDER BY entry`,
    [writer, entries, first, beyond],
  );
  const removed = await database.query<TreeEntry & { entry: number }>(
    `SELECT entry, leaf, node FROM ${table('decision_entry')}
     WHERE writer = $1 AND tree = $2 AND entry >= $3::int8 ORDER BY entry`,
    [writer, tree, entries],
  );
  const besidesUpTo = (entry: number) => {
    for (;;) {
      const [gap, gone] = [gaps[0], removed[0]];
      const next = Math.min(gap?.entry ?? entry, gone?.entry ?? entry);
      if (next >= entry) return;
      if (gap?.entry === next) verification.gap(gaps.shift()!);
      if (gone?.entry === next) {
        verification.removed(next, gone.leaf, gone.node);
        removed.shift();
      }
    }
  };
  let after = entries - 1;
  for (;;) {
    const rows = await database.query<Row>(
      `SELECT first, count, entry, nodes, leaves, salts${withTexts ? ', records' : ', NULL::text AS records'}
       FROM ${table('decision_group')}
       WHERE writer = $1 AND entry > $2::int8 AND first >= $3::int8 AND first < $4::int8
       ORDER BY entry LIMIT ${rowsAtOnce}`,
      [writer, after, first, beyond],
    );
    for (const row of rows) {
      const texts = row.records === null ? undefined : textsOf(row.records);
      const groups = groupsOfRow(row);
      for (const [i, { salts, ...group }] of groups.entries()) {
        besidesUpTo(group.entry);
        const text = texts?.[i];
        await verification.group({ ...group, salts: salts ?? null, ...(text !== undefined && { text }) });
      }
      if ((texts !== undefined && texts.length !== groups.length) || row.count !== recordsIn(groups))
        verification.unreadable(place, row.first, row.first + row.count - 1);
      after = row.entry;
    }
    if (rows.length < rowsAtOnce) break;
  }
  besidesUpTo(Number.MAX_SAFE_INTEGER);
}

/** The texts of the groups of a row: each begins with the line that its records share. */
function textsOf(records: string): string[] {
  return records.split(/\n(?=\{"policySet":)/);
}

function recordsIn(groups: readonly { readonly count: number }[]): number {
  return groups.reduce((sum, { count }) => sum + count, 0);
}
