import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { signCheckpoint } from '../proof/checkpoint.js';
import { entryOfGroup, groupRoot } from '../proof/group-hashes.js';
import { frontierOf } from '../proof/merkle-tree.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { dayName } from './day-partitions.js';
import { groupsOfRow, type ProofColumns, SharedTree } from './shared-tree.js';

interface TreeOfDay {
  readonly writer: number;
  readonly tree: string;
  readonly first: number;
  readonly beyond: number;
  /** The lowest entry of a row of a later day; null where there is none. */
  readonly kept: number | null;
  /** The highest sequence of what is removed. */
  readonly upto: number;
}

/**
 * Keeps what the trees need of the rows of a day before its partition is dropped: of each tree the frontier at the oldest row
 * that is kept, signed, and the hashes of the day's rows behind it, since records come in no exact order at midnight. If it
 * ends half-way, or the partition is not dropped after all, it can be done again.
 *
 * @param held the days before it that stay, since a hold keeps them
 * @param signer signs what the retention removes; undefined: nobody here can
 */
export async function keepEntries(
  database: PostgresDatabase,
  client: PostgresClient,
  day: number,
  held: readonly number[],
  signer: NoteSigner | undefined,
): Promise<void> {
  const table = (name: string) => database.table(name);
  const heldDays = held.map(dayName);
  await client.transaction(async () => {
    const trees = await client.query<TreeOfDay>(
      `WITH t AS (SELECT writer, tree, first, upto, coalesce(lead(first) OVER (PARTITION BY writer ORDER BY first),
           ${Number.MAX_SAFE_INTEGER}) AS beyond FROM ${table('decision_tree')})
       SELECT t.writer, t.tree, t.first, t.beyond, greatest(d.upto, t.upto) AS upto,
         (SELECT min(k.entry) FROM ${table('decision_group')} k WHERE k.writer = t.writer AND (k.day > $1::date OR k.day = ANY ($2::text[]::date[]))
            AND k.entry IS NOT NULL AND k.first >= t.first AND k.first < t.beyond) AS kept
       FROM t CROSS JOIN LATERAL (SELECT max(g.first + g.count - 1) AS upto FROM ${table('decision_group')} g
         WHERE g.day <= $1::date AND g.day <> ALL ($2::text[]::date[]) AND g.writer = t.writer AND g.entry IS NOT NULL
           AND g.first >= t.first AND g.first < t.beyond) d
       WHERE d.upto IS NOT NULL`,
      [dayName(day), heldDays],
    );
    for (const tree of trees) await keepTree(database, client, day, heldDays, tree, signer);
  });
}

async function keepTree(
  database: PostgresDatabase,
  client: PostgresClient,
  day: number,
  heldDays: readonly string[],
  { writer, tree, first, beyond, kept, upto }: TreeOfDay,
  signer: NoteSigner | undefined,
): Promise<void> {
  const table = (name: string) => database.table(name);
  const rows = await client.query<ProofColumns>(
    `SELECT first, entry, nodes, leaves FROM ${table('decision_group')}
     WHERE writer = $1 AND day <= $2::date AND entry IS NOT NULL AND first >= $3::int8 AND first < $4::int8
       AND ($5::int8 IS NULL OR entry > $5) AND day <> ALL ($6::text[]::date[]) ORDER BY entry`,
    [writer, dayName(day), first, beyond, kept, heldDays],
  );
  const groups = rows.flatMap(groupsOfRow);
  const size = kept ?? Math.max(0, ...groups.map(({ entry }) => entry + 1));
  const shared = await SharedTree.open({ client, table }, tree, writer);
  if (shared === undefined || size < shared.anchor.size) return;
  for (const { entry, first: sequence, count, leaves, node } of groups.filter(({ entry }) => entry >= size)) {
    await client.query(
      `INSERT INTO ${table('decision_entry')} (writer, tree, entry, leaf, node) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING`,
      [writer, tree, entry, entryOfGroup(sequence, count, groupRoot(leaves)), node],
    );
  }
  const frontier = await frontierOf(shared, size);
  const { root } = frontier;
  const checkpoint = { tree, size, root, sequence: upto, time: Date.now(), isAnchor: true };
  await client.query(
    `UPDATE ${table('decision_tree')} SET entries = $3, frontier = $4, upto = $5, note = $6
     WHERE writer = $1 AND tree = $2`,
    [writer, tree, size, frontier.encode(), upto, signer === undefined ? null : signCheckpoint(checkpoint, signer)],
  );
  await client.query(`DELETE FROM ${table('decision_entry')} WHERE writer = $1 AND tree = $2 AND entry < $3`, [
    writer,
    tree,
    size,
  ]);
}
