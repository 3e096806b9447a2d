// What it costs that the log proves itself: verifying it by structure and by content, verifying an export, and the chain
// of a record. Figures are of the CPU of the whole process, so that other work on the machine is in none of them.
//
//   npm run bench:log -- --verify [--rows 200000]

import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportProvenLog, verifyExportFile, verifyLog } from '../../dist/cli/sources/verified-log.js';
import { SqliteDecisionLog } from '../../dist/decision-log/sqlite/sqlite-decision-log.js';

/** Records of a group: some 15,000 a second make groups of this size. */
const groupSize = 16;

/** Runs it three times; the least CPU, in µs for each of `count`. */
async function leastCpu(count, work) {
  let least = Number.POSITIVE_INFINITY;
  let result;
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage();
    result = await work();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / count);
  }
  return { us: least, result };
}

/** @param makeRecord makes a record for a log */
export async function logVerify(rows, makeRecord) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  try {
    const database = join(directory, 'log.sqlite');
    const log = new SqliteDecisionLog({ databasePath: database, mode: 'sync', queueLimit: 1_000_000 });
    await log.start();
    for (let i = 0; i < rows; i += groupSize)
      await Promise.all(Array.from({ length: Math.min(groupSize, rows - i) }, () => log.append(makeRecord(log))));
    const keys = log.publishedKeys;
    await log.stop();
    const line = (what, us, target) =>
      console.log(
        `${what.padEnd(34)} ${Math.round(1e6 / us)
          .toLocaleString('en')
          .padStart(9)} records/s of a core (target ${target})`,
      );
    console.log(`${rows} records in groups of ${groupSize}`);
    for (const [depth, target] of [
      ['structure', '250,000'],
      ['content', '100,000'],
    ]) {
      const { us, result } = await leastCpu(rows, () => verifyLog({ database, keys, against: [], depth }));
      if (result.found > 0 || result.records !== rows) throw new Error(JSON.stringify(result.findings[0]));
      line(`verify, ${depth}`, us, target);
    }
    const file = join(directory, 'export.ndjson');
    const { us: writing } = await leastCpu(rows, async () => {
      const output = createWriteStream(file);
      const write = (text) => new Promise((resolve, reject) => output.write(text, (e) => (e ? reject(e) : resolve())));
      await exportProvenLog(database, {}, write);
      await new Promise((resolve) => output.end(resolve));
    });
    line('export with its proof', writing, 'none');
    const { us, result } = await leastCpu(rows, () => verifyExportFile({ file, keys, against: [] }));
    if (result.found > 0 || result.records !== rows) throw new Error(JSON.stringify(result.findings[0]));
    line('verify an export', us, '60,000');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
