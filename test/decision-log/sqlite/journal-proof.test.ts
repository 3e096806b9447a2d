import { readdirSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { recordsOf } from '../../../src/decision-log/group-text.js';
import { openCheckpoint } from '../../../src/decision-log/proof/checkpoint.js';
import { entryOfGap, entryOfGroup, groupRoot, leafHash } from '../../../src/decision-log/proof/group-hashes.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { Frontier } from '../../../src/decision-log/proof/merkle-tree.js';
import { wholeText } from '../../../src/decision-log/record-texts.js';
import { closedFiles, closedPathOf } from '../../../src/decision-log/sqlite/log-files.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { append } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const pathIn = (directory: string): string => join(directory, 'verdict.decisions.sqlite');

interface FileContent {
  readonly log: { name: string; tree: string; entries: number; frontier: Buffer; start: number };
  readonly rows: {
    first: number;
    count: number;
    entry: number | null;
    node: Buffer;
    leaves: Buffer;
    salts: Buffer;
    records: string;
  }[];
  readonly gaps: {
    after: number;
    lost: number | null;
    since: number;
    until: number;
    cause: 'queue_full';
    entry: number | null;
    node: Buffer;
  }[];
  readonly checkpoints: { entries: number; note: string }[];
  readonly anchors: { tree: string; entries: number; frontier: Buffer; note: string }[];
}

async function readFile(path: string): Promise<FileContent> {
  const connection = await SqliteConnection.open({ path, immutable: true, busyTimeoutMs: 0 });
  try {
    const [log] = await connection.query<FileContent['log']>('SELECT name, tree, entries, frontier, start FROM log');
    return {
      log: log!,
      rows: await connection.query('SELECT * FROM journal ORDER BY first'),
      gaps: await connection.query('SELECT * FROM gap ORDER BY entry'),
      checkpoints: await connection.query('SELECT entries, note FROM checkpoint ORDER BY rowid'),
      anchors: await connection.query('SELECT * FROM anchor'),
    };
  } finally {
    await connection.close();
  }
}

/** Computes everything of a file anew from its records, and returns the tree as it is at the end. */
function expectProved({ rows, gaps }: FileContent, begun: Frontier): Frontier {
  let tree = begun;
  const entries = [
    ...rows.map((row) => {
      const records = [...recordsOf(row)].reverse();
      expect(records).toHaveLength(row.count);
      const leaves = records.map((record, i) => {
        return leafHash(record.sequence, wholeText(record), row.salts.subarray(16 * i, 16 * i + 16));
      });
      expect(row.leaves).toEqual(Buffer.concat(leaves));
      return { ...row, leaf: entryOfGroup(row.first, row.count, groupRoot(row.leaves)) };
    }),
    ...gaps.map((gap) => ({ ...gap, leaf: entryOfGap(gap) })),
  ].sort((a, b) => a.entry! - b.entry!);
  for (const { entry, node, leaf } of entries) {
    expect(entry).toBe(tree.size);
    tree = tree.append(leaf);
    expect(node).toEqual(tree.nodes.at(-1));
  }
  return tree;
}

function begunOf({ log }: FileContent): Frontier {
  return Frontier.decode(log.entries, log.frontier);
}

const keysOf = (log: SqliteDecisionLog) => trustedKeys(log.publishedKeys);

describe('the proof in the journal', () => {
  it('has a leaf for every record, a root for every group and a node for every entry', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory);
    await append(log, 300, (i) => ({
      subject: `s"${i}`,
      attributes: { z: i, a: { y: [1.5], b: '\u0001ü' }, '10': 1, '9': 2 },
    }));
    for (let i = 0; i < 150; i++) await append(log, 1);
    const keys = keysOf(log);
    await log.stop();
    const content = await readFile(pathIn(directory));
    expect(content.log.tree).toBe(content.log.name);
    const tree = expectProved(content, begunOf(content));
    expect(content.rows.length).toBeGreaterThan(150);
    // At stop.
    const { note } = content.checkpoints.at(-1)!;
    const { time: _, ...checkpoint } = openCheckpoint(note, keys)!;
    expect(checkpoint).toEqual({
      tree: content.log.tree,
      size: tree.size,
      root: tree.root,
      sequence: 450,
      isAnchor: false,
    });
  });

  it('goes on over restarts and from file to file, each of which says where its tree begins', async () => {
    const directory = temporaryDirectory();
    for (let start = 0; start < 3; start++) {
      const log = await startLog(directory, { limits: { records: 50 } });
      for (let i = 0; i < 5; i++) await append(log, 17);
      await log.stop();
    }
    const path = pathIn(directory);
    const files = [...closedFiles(path).map((first) => closedPathOf(path, first)), path];
    expect(files.length).toBeGreaterThan(3);
    let tree = Frontier.empty;
    for (const file of files) {
      const content = await readFile(file);
      expect(begunOf(content)).toEqual(tree);
      tree = expectProved(content, tree);
    }
  });

  it('signs all that is committed each minute, also an idle one', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { checkpointMs: 5 });
    await append(log, 3);
    await expect
      .poll(async () => {
        const connection = await SqliteConnection.open({ path: pathIn(directory), busyTimeoutMs: 1_000 });
        const [row] = await connection.query<{ count: number }>(
          'SELECT count(*) AS count FROM checkpoint WHERE entries > 0',
        );
        await connection.close();
        return row!.count;
      })
      .toBeGreaterThan(3);
  });

  it('chains the gaps between the groups', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { mode: 'async', queueLimit: 20 });
    for (let round = 0; round < 4; round++) await append(log, 60);
    await log.stop();
    const content = await readFile(pathIn(directory));
    expect(content.gaps.length).toBeGreaterThan(0);
    const tree = expectProved(content, begunOf(content));
    expect(tree.size).toBe(content.rows.length + content.gaps.length);
  });

  it('keeps the frontier of what the retention removed, signed: of whole files and of rows of the open one', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 50 }, retention: { maxRecords: 120 } });
    for (let i = 0; i < 20; i++) await append(log, 17);
    const before = await readFile(closedPathOf(pathIn(directory), closedFiles(pathIn(directory))[0]!));
    expect(before.log.entries).toBe(0);
    await log.prune(Date.now());
    await append(log, 5);
    const keys = keysOf(log);
    await log.stop();
    const path = pathIn(directory);
    const files = await Promise.all(
      [...closedFiles(path).map((first) => closedPathOf(path, first)), path].map(readFile),
    );
    const oldest = files[0]!;
    const anchor = files.at(-1)!.anchors[0]!;
    const begun = begunOf(oldest);
    expect(anchor.entries).toBe(begun.size);
    expect(anchor.entries).toBeGreaterThan(0);
    expect(anchor.frontier).toEqual(begun.encode());
    expect(openCheckpoint(anchor.note, keys)).toMatchObject({
      size: begun.size,
      root: begun.root,
      sequence: oldest.log.start - 1,
      isAnchor: true,
    });
    let tree = begun;
    for (const file of files) tree = expectProved(file, tree);
    const small = await startLog(directory, { retention: { maxRecords: 3 } });
    for (let i = 0; i < 12; i++) await append(small, 1);
    await small.prune(Date.now());
    for (let i = 0; i < 3; i++) await append(small, 1);
    await small.stop();
    const [again] = [await readFile(path)];
    expect(again.rows[0]!.first).toBeGreaterThan(again.log.start);
    const kept = again.anchors[0]!;
    expect(kept.entries).toBe(again.rows[0]!.entry);
    expectProved(again, Frontier.decode(kept.entries, kept.frontier));
    // A start finds the end of the tree behind the anchor.
    const restarted = await startLog(directory);
    await append(restarted, 2);
    await restarted.stop();
    const last = await readFile(path);
    expectProved(last, Frontier.decode(kept.entries, kept.frontier));
  });

  it('begins another tree where the open file was lost, and says so by its name', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 50 } });
    for (let i = 0; i < 5; i++) await append(log, 17);
    await log.stop();
    const path = pathIn(directory);
    const before = await readFile(path);
    unlinkSync(path);
    const again = await startLog(directory);
    await append(again, 5);
    await again.stop();
    const after = await readFile(path);
    expect(after.log.name).toBe(before.log.name);
    expect(after.log.tree).not.toBe(before.log.tree);
    expect(after.gaps.map(({ entry }) => entry)).toEqual([0]);
    expectProved(after, Frontier.empty);
  });

  it('has a key of its own, which its owner alone can read, and goes on with it', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory);
    const [key] = log.publishedKeys;
    await log.stop();
    expect(statSync(join(directory, 'verdict.log-key.pem')).mode & 0o777).toBe(0o600);
    const again = await startLog(directory);
    expect(again.publishedKeys).toEqual([key]);
    expect(readdirSync(directory).filter((name) => name.includes('log-key'))).toEqual(['verdict.log-key.pem']);
  });

  it('has no proof in a file that an earlier release made, and begins it with the next file', async () => {
    const directory = temporaryDirectory();
    const made = await startLog(directory);
    await append(made, 3);
    await made.stop();
    // As format 2 leaves it.
    const connection = await SqliteConnection.open({ path: pathIn(directory), busyTimeoutMs: 0 });
    for (const column of ['entry', 'node', 'leaves', 'salts', 'shipping']) {
      if (column === 'entry') await connection.query('DROP INDEX journal_entry');
      await connection.query(`ALTER TABLE journal DROP COLUMN ${column}`);
    }
    for (const column of ['tree', 'entries', 'frontier'])
      await connection.query(`ALTER TABLE log DROP COLUMN ${column}`);
    for (const column of ['entry', 'node']) await connection.query(`ALTER TABLE gap DROP COLUMN ${column}`);
    for (const table of ['checkpoint', 'anchor', 'signing_key']) await connection.query(`DROP TABLE ${table}`);
    await connection.query("DELETE FROM migrations WHERE name = 'JournalProof1764700000000'");
    await connection.query('PRAGMA user_version = 2');
    await connection.close();
    const log = await startLog(directory, { limits: { records: 10 } });
    expect(await log.checkpoint()).toBeUndefined();
    await append(log, 8);
    await append(log, 4);
    await log.stop();
    const content = await readFile(pathIn(directory));
    expect(content.log).toMatchObject({ start: 12, entries: 0, tree: content.log.name });
    expect(expectProved(content, Frontier.empty).size).toBeGreaterThan(0);
  });
});
