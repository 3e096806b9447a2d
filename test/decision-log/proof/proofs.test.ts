import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { proveDecision } from '../../../src/decision-log/proof/prove.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { append, everything } from '../many-records.js';
import { startReplica } from '../postgres/shared-home.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';
import { isProved, proofsSuite } from './proofs-suite.js';

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
});

describe.skipIf(!hasPostgres)('proofs of a log in PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  proofsSuite({
    start: async () => startReplica(await server().createDatabase(), temporaryDirectory()),
    checkpoint: async (log) => {
      await (log as PostgresDecisionLog).checkpoint();
    },
  });
});
