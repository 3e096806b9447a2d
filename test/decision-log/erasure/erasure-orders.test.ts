import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PostgresErasureOrders } from '../../../src/decision-log/postgres/postgres-erasure-orders.js';
import { SqliteErasureOrders } from '../../../src/decision-log/sqlite/sqlite-erasure-orders.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { temporaryDirectory } from '../../policy-store/folders.js';
import { describeErasureOrders } from './erasure-orders-suite.js';

describe('orders to erase persons in SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  describeErasureOrders(() => SqliteErasureOrders.open(path));

  it('are done when the one process that there is has carried them out', async () => {
    const orders = await SqliteErasureOrders.open(path);
    for (const { id } of await orders.open()) await orders.finish(id, 7);
    expect(await orders.open()).toEqual([]);
    expect((await orders.list(1))[0]).toMatchObject({ finished: 7 });
    await orders.close();
  });
});

describe.skipIf(!hasPostgres)('orders to erase persons in PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  let url: string | undefined;
  describeErasureOrders(async () => {
    url ??= server().newSchema();
    return new PostgresErasureOrders(openDatabase(url));
  });
});
