import { describe, expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { Retention } from '../../../src/decision-log/decision-log-options.js';
import { PostgresHolds } from '../../../src/decision-log/holds/postgres/postgres-holds.js';
import type { PostgresDecisionLog } from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { startReplica } from '../postgres/shared-home.js';
import { temporaryDirectory } from '../temporary-log.js';
import { describeErasureBesideHolds } from './erasure-suite.js';
import { findingsOf } from './findings.js';
import { describeHolds } from './holds-suite.js';

describe.skipIf(!hasPostgres)('in PostgreSQL', () => {
  const server = postgresForTests();
  const dayMs = 86_400_000;

  it('a record of a day that is gone is shipped if a hold of another replica keeps it, and is a gap otherwise', async () => {
    const url = await server().createDatabase();
    const retention = { maxAgeMs: 2 * dayMs };
    const holds = await PostgresHolds.open(openDatabase(url));
    const log = await startReplica(url, temporaryDirectory(), { retention, holds });
    await log.append(exampleRecord(log, { now: Date.now() }));
    await log.settle();
    await log.prune(Date.now());
    const from = Date.now() - 30 * dayMs;
    const other = await PostgresHolds.open(openDatabase(url));
    await other.add({ policySets: undefined, from, to: from + 1_000, reason: 'late', by: 'legal' }, 1);
    await log.append(exampleRecord(log, { now: from + 500, subject: 'held' }));
    await log.append(exampleRecord(log, { now: Date.now() - 20 * dayMs, subject: 'gone' }));
    await log.settle();
    expect((await log.search({})).gaps).toMatchObject([{ lost: 1, cause: 'expired' }]);
    await log.prune(Date.now());
    const page = await log.search({});
    expect(page.items.map(({ request }) => request.subject.id)).toEqual(['alice', 'held']);
  });

  const newHome = () => {
    const directory = temporaryDirectory();
    let made: Promise<string> | undefined;
    const url = () => {
      made ??= server().createDatabase();
      return made;
    };
    const open = async () => PostgresHolds.open(openDatabase(await url()));
    let log: PostgresDecisionLog;
    return {
      open,
      orders: async () => log.orders,
      start: async (retention: Retention) => {
        log = await startReplica(await url(), directory, { retention, holds: await open() });
        return log;
      },
      settle: async (settled: DecisionLog) => (settled as PostgresDecisionLog).settle(),
      findings: async () => {
        await log.checkpoint();
        return findingsOf(await url());
      },
    };
  };

  describeHolds('PostgreSQL', newHome);
  describeErasureBesideHolds('PostgreSQL', newHome);
});
