import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { Retention } from '../../../src/decision-log/decision-log-options.js';
import { SqliteHolds } from '../../../src/decision-log/holds/sqlite/sqlite-holds.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { SqliteErasureOrders } from '../../../src/decision-log/sqlite/sqlite-erasure-orders.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';
import { describeErasureBesideHolds } from './erasure-suite.js';
import { findingsOf } from './findings.js';
import { describeHolds } from './holds-suite.js';

function sqliteHoldsHome() {
  const directory = temporaryDirectory();
  const path = join(directory, 'verdict.sqlite');
  const open = async () => {
    const holds = await SqliteHolds.open(path);
    onTestFinished(() => holds.close());
    return holds;
  };
  let log: SqliteDecisionLog;
  return {
    open,
    orders: () => SqliteErasureOrders.open(path),
    start: async (retention: Retention) => {
      log = await startLog(directory, { retention, holds: await open() });
      return log;
    },
    settle: async (settled: DecisionLog) => (settled as SqliteDecisionLog).indexNow(),
    findings: async () => {
      await log.checkpoint();
      return findingsOf(path);
    },
  };
}

describeHolds('SQLite', sqliteHoldsHome);
describeErasureBesideHolds('SQLite', sqliteHoldsHome);

it('a hold of a policy set keeps encrypted files that have a record of it, and no others', async () => {
  const directory = temporaryDirectory();
  const holds = await SqliteHolds.open(join(directory, 'verdict.sqlite'));
  onTestFinished(() => holds.close());
  const encryption = EncryptionKeys.of(randomBytes(32).toString('base64'));
  const log = await startLog(directory, { holds, encryption, limits: { records: 1 }, retention: { maxRecords: 2 } });
  await holds.add({ policySets: ['loans'], from: undefined, to: undefined, reason: 'case 7', by: 'legal' }, 1);
  for (const policySet of ['invoices', 'loans', 'invoices', 'loans', 'invoices', 'invoices', 'invoices'])
    await log.append(exampleRecord(log, { policySet }));
  await log.prune(Date.now());
  expect((await log.search({})).items.map(({ sequence }) => sequence)).toEqual([7, 6, 4, 2]);
});
