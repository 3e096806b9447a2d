import { describe } from 'vitest';
import { PostgresLiveDataStore } from '../../../../src/policy-store/data/postgres/postgres-live-data-store.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeLiveDataStore } from '../live-data-store-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeLiveDataStore('PostgreSQL', () => {
    const url = server().newSchema();
    return { open: () => PostgresLiveDataStore.open(openDatabase(url)) };
  });
});
