/** P5: what proves the records is in the shared log with them. */
import { describe, expect, it } from 'vitest';
import { recordsOf } from '../../../src/decision-log/group-text.js';
import { groupsOfRow, type ProofColumns, SharedTree } from '../../../src/decision-log/postgres/shared-tree.js';
import { openCheckpoint } from '../../../src/decision-log/proof/checkpoint.js';
import { entryOfGroup, groupRoot, leafHash } from '../../../src/decision-log/proof/group-hashes.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { Frontier, frontierOf } from '../../../src/decision-log/proof/merkle-tree.js';
import { wholeText } from '../../../src/decision-log/record-texts.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { append } from '../many-records.js';
import { temporaryDirectory } from '../temporary-log.js';
import { startReplica } from './shared-home.js';

describe.skipIf(!hasPostgres)('the proof in the shared log (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it('has the leaves, salts and nodes of every group, whichever groups became one row, and the checkpoint', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const folder = temporaryDirectory();
    for (const rounds of [30, 5]) {
      const replica = await startReplica(url, folder);
      for (let i = 0; i < rounds; i++)
        await append(replica, 1 + (i % 7), (j) => ({ now: Date.now(), subject: `s${i}/${j}` }));
      await replica.stop();
    }
    const rows = await database.query<ProofColumns & { records: string; count: number }>(
      'SELECT first, count, entry, nodes, leaves, salts, records FROM verdict.decision_group ORDER BY first',
    );
    let tree = Frontier.empty;
    let joined = 0;
    for (const row of rows) {
      const records = [...recordsOf(row)].reverse();
      const groups = groupsOfRow(row);
      if (groups.length > 1) joined++;
      for (const group of groups) {
        expect(group.entry).toBe(tree.size);
        const own = records.filter(({ sequence }) => sequence >= group.first && sequence < group.first + group.count);
        const leaves = own.map((record, i) =>
          leafHash(record.sequence, wholeText(record), group.salts!.subarray(16 * i, 16 * i + 16)),
        );
        expect(group.leaves).toEqual(Buffer.concat(leaves));
        tree = tree.append(entryOfGroup(group.first, group.count, groupRoot(group.leaves)));
        expect(group.node).toEqual(tree.nodes.at(-1));
      }
    }
    expect(joined).toBeGreaterThan(0);
    const [stored] = await database.query<{ tree: string; note: string; writer: number; entries: number }>(
      'SELECT writer, tree, entries, note FROM verdict.decision_checkpoint ORDER BY time DESC LIMIT 1',
    );
    const keys = await database.query<{ key: string }>('SELECT key FROM verdict.decision_key');
    const checkpoint = openCheckpoint(stored!.note, trustedKeys(keys.map(({ key }) => ({ key, certificates: [] }))));
    expect(checkpoint).toMatchObject({ size: tree.size, root: tree.root, tree: stored!.tree });
    const transaction = { client: database, table: (name: string) => database.table(name) };
    const shared = await SharedTree.open(transaction, stored!.tree, stored!.writer);
    expect((await frontierOf(shared!, tree.size)).root).toEqual(tree.root);
    expect(await SharedTree.open(transaction, 'f'.repeat(32), stored!.writer)).toBeUndefined();
  });
});
