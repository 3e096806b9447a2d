// What encryption at rest costs: the same records committed into a journal with and one without, in turns, in groups of 64
// and of one. CPU of all threads, in microseconds a record; the median of the differences within a pair of rounds.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GroupCommit } from '../../dist/decision-log/sqlite/group-commit.js';
import { Journal } from '../../dist/decision-log/sqlite/journal.js';
import { EncryptionKeys } from '../../dist/encryption/encryption-keys.js';

/** Records of a round, by the size of its groups. */
const roundOf = { 64: 64 * 150, 1: 1_500 };

/**
 * @param makeRecord makes a record for a log that gives ids
 * @param rounds pairs of rounds
 */
export async function logEncryption({ makeRecord, ids, rounds }) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const keys = EncryptionKeys.of(randomBytes(32).toString('base64'));
  const journals = await Promise.all(
    [undefined, keys].map((encryption, i) =>
      Journal.open(join(directory, `journal-${i}.sqlite`), 'NORMAL', undefined, false, undefined, encryption),
    ),
  );
  try {
    const rows = [];
    for (const size of [64, 1]) {
      const differences = [];
      const costs = [[], []];
      // The first pair warms up.
      for (let round = 0; round <= rounds; round++) {
        const order = round % 2 === 0 ? [0, 1] : [1, 0];
        const cost = [];
        for (const i of order) cost[i] = await measured(journals[i], size, roundOf[size], () => makeRecord(ids));
        if (round === 0) continue;
        differences.push(cost[1] - cost[0]);
        for (const i of order) costs[i].push(cost[i]);
      }
      rows.push({
        'groups of': size,
        'without, µs a record': median(costs[0]).toFixed(1),
        'with, µs': median(costs[1]).toFixed(1),
        'encryption, µs': median(differences).toFixed(2),
      });
    }
    console.table(rows);
  } finally {
    for (const journal of journals) await journal.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measured(journal, size, records, make) {
  const commit = new GroupCommit((group) => journal.commit(group));
  const made = Array.from({ length: records }, make);
  const before = process.cpuUsage();
  for (let i = 0; i < records; i += size)
    await Promise.all(made.slice(i, i + size).map((record) => commit.add(record)));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / records;
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
