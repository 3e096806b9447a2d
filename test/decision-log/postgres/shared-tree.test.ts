/** P5: what proves the records is in the shared log with them. */
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';
import { recordsOf } from '../../../src/decision-log/group-text.js';
import { groupsOfRow, type ProofColumns, SharedTree } from '../../../src/decision-log/postgres/shared-tree.js';
import { openCheckpoint } from '../../../src/decision-log/proof/checkpoint.js';
import { entryOfGroup, groupRoot, leafHash } from '../../../src/decision-log/proof/group-hashes.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { Frontier, frontierOf } from '../../../src/decision-log/proof/merkle-tree.js';
import { proveDecision } from '../../../src/decision-log/proof/prove.js';
import { wholeText } from '../../../src/decision-log/record-texts.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { append, everything } from '../many-records.js';
import { isProved } from '../proof/proofs-suite.js';
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

  it('is verified over all replicas, and a row that was changed or removed is found', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const folders = [temporaryDirectory(), temporaryDirectory()];
    for (const folder of folders) {
      const replica = await startReplica(url, folder);
      for (let i = 0; i < 20; i++)
        await append(replica, 1 + (i % 5), (j) => ({ now: Date.now(), subject: `s${i}/${j}` }));
      await replica.stop();
    }
    const keys = (await database.query<{ key: string }>('SELECT key FROM verdict.decision_key')).map(({ key }) => {
      return { key, certificates: [] };
    });
    const verified = () => verifyLog({ database: url, keys, against: [], depth: 'content' });
    const report = await verified();
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ records: 120, unsigned: 0, found: 0 });
    expect(
      (await verifyLog({ database: url, keys: keys.slice(1), against: [], depth: 'structure' })).found,
    ).toBeGreaterThan(0);
    for (const statement of [
      `UPDATE verdict.decision_group SET records = replace(records, 's7/1', 's7/9') WHERE writer = 2`,
      `UPDATE verdict.decision_group SET salts = decode(repeat('00', octet_length(salts)), 'hex') WHERE writer = 1`,
      'UPDATE verdict.decision_group SET count = count + 1 WHERE writer = 1',
      'DELETE FROM verdict.decision_group WHERE writer = 2 AND first = (SELECT max(first) FROM verdict.decision_group)',
    ]) {
      await database.transaction(async (client) => {
        await client.query(statement);
      });
      expect((await verified()).found).toBeGreaterThan(0);
    }
  });

  it('finds nothing wrong after the retention has dropped days, whose records came in no exact order', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const day = 86_400_000;
    const folder = temporaryDirectory();
    const filling = await startReplica(url, folder);
    for (const age of [9, 9, 4, 9, 4, 0, 4, 1, 0, 9, 0, 1]) {
      await append(filling, 3, () => ({ now: Date.now() - age * day }));
      await filling.checkpoint();
    }
    await filling.stop();
    const replica = await startReplica(url, folder, { retention: { maxAgeMs: 2.5 * day } });
    await replica.checkpoint();
    const keys = await replica.proofs.keys();
    const verified = () => verifyLog({ database: url, keys, against: [], depth: 'content' });
    expect((await verified()).findings).toEqual([]);
    await replica.prune(Date.now());
    const [left] = await database.query<{ groups: number }>(
      'SELECT count(*)::int4 AS groups FROM verdict.decision_entry',
    );
    expect(left!.groups).toBeGreaterThan(0);
    const report = await verified();
    expect(report.findings).toEqual([]);
    expect(report.records).toBe(15);
    for (const record of await everything(replica)) {
      expect(isProved(record, await proveDecision(replica, record.id), trustedKeys(keys))).toBe(true);
    }
    await append(replica, 2, () => ({ now: Date.now() }));
    await replica.checkpoint();
    expect((await verified()).findings).toEqual([]);
    // Hashes alone do not stand in for a record that the retention keeps.
    await database.transaction(async (client) => {
      await client.query(`UPDATE verdict.decision_tree SET note = NULL`);
    });
    expect((await verified()).found).toBeGreaterThan(0);
  });
});
