import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { LogVerification } from '../../../src/decision-log/proof/log-verification.js';
import type { StoredProofGroup } from '../../../src/decision-log/proof/proof-sink.js';
import { proveDecision } from '../../../src/decision-log/proof/prove.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { append, everything } from '../many-records.js';
import { startReplica } from '../postgres/shared-home.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';
import { isProved, proofsSuite } from './proofs-suite.js';

/** Verifies a log in small steps, and lets the retention remove records when it is at its first group. */
async function verifiedWhilePruned(log: DecisionLog): Promise<LogVerification> {
  class Pruned extends LogVerification {
    private isPruned = false;

    override async group(group: StoredProofGroup): Promise<void> {
      if (!this.isPruned) await log.prune(Date.now());
      this.isPruned = true;
      super.group(group);
    }
  }
  const { keys, read } = await log.proofs.records();
  const verification = new Pruned({ keys: trustedKeys(keys), depth: 'content' });
  await read(verification, { withTexts: true, rowsAtOnce: 1 });
  verification.end();
  return verification;
}

describe('proofs of a log in SQLite', () => {
  proofsSuite({
    start: () => startLog(temporaryDirectory(), { limits: { records: 90 } }),
    checkpoint: async (log) => {
      await (log as SqliteDecisionLog).checkpoint();
    },
  });

  it('prove what is left after the retention has removed the oldest records, and a restart', async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, { limits: { records: 50 }, retention: { maxRecords: 130 } });
    for (let i = 0; i < 20; i++) await append(log, 17);
    await log.prune(Date.now());
    await log.stop();
    const again = await startLog(directory, { retention: { maxRecords: 60 } });
    await append(again, 30);
    await again.prune(Date.now());
    await again.checkpoint();
    const keys = trustedKeys(await again.proofs.keys());
    const records = await everything(again);
    expect(records.length).toBeLessThan(200);
    for (const record of records) expect(isProved(record, await proveDecision(again, record.id), keys)).toBe(true);
    const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
    expect((await everything(reader)).length).toBe(records.length);
  });

  it('call nothing missing that the retention removes while the log is read', async () => {
    const retention: { maxRecords?: number } = {};
    const log = await startLog(temporaryDirectory(), { limits: { records: 50 }, retention });
    for (let i = 0; i < 20; i++) await append(log, 17);
    await log.checkpoint();
    retention.maxRecords = 60;
    const { report } = await verifiedWhilePruned(log);
    expect(report).toMatchObject({ findings: [], unsigned: 0 });
    expect(report.records).toBeLessThan(200);
    expect((await log.search({ limit: 1_000 })).items.length).toBeLessThan(200);
  });

  it('call nothing missing that is committed and signed while the log is read', async () => {
    const log = await startLog(temporaryDirectory(), { limits: { records: 50 } });
    await append(log, 120);
    const records = await log.proofs.records();
    await append(log, 60);
    await log.checkpoint();
    const verification = new LogVerification({ keys: trustedKeys(await log.proofs.keys()), depth: 'content' });
    await records.read(verification, { withTexts: true });
    verification.end();
    expect(verification.report.findings).toEqual([]);
  });
});

describe.skipIf(!hasPostgres)('proofs of a log in PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  proofsSuite({
    start: async () => startReplica(await server().createDatabase(), temporaryDirectory()),
    checkpoint: async (log) => {
      await (log as PostgresDecisionLog).checkpoint();
    },
  });

  it('call nothing missing that the retention removes while the log is read', async () => {
    const retention: { maxAgeMs?: number } = {};
    const directory = temporaryDirectory();
    const log = await startReplica(await server().createDatabase(), directory, { retention });
    for (const days of [9, 8, 7, 2, 0]) {
      await append(log, 40, () => ({ now: Date.now() - days * 86_400_000 }));
      await log.shipped();
    }
    await log.checkpoint();
    retention.maxAgeMs = 5 * 86_400_000;
    const { report } = await verifiedWhilePruned(log);
    expect(report).toMatchObject({ findings: [], unsigned: 0 });
    expect(report.records).toBeLessThan(200);
    expect(await everything(log)).toHaveLength(80);
  });
});
