import { describe } from 'vitest';
import { PostgresLiveDataStore } from '../../../../src/policy-store/database/postgres/postgres-live-data-store.js';
import { PostgresPolicyRepository } from '../../../../src/policy-store/database/postgres/postgres-policy-repository.js';
import { openDatabase, postgresForTests, watchedDatabase } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeLiveDataStore } from '../../data/live-data-store-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeLiveDataStore('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      open: () => {
        const { database, feed } = watchedDatabase(url);
        return PostgresLiveDataStore.open(database, feed);
      },
      openPolicies: () => PostgresPolicyRepository.open(openDatabase(url)),
    };
  });
});
