import { describe } from 'vitest';
import { PostgresPolicyArchive } from '../../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { PostgresLiveDataStore } from '../../../../src/policy-store/database/postgres/postgres-live-data-store.js';
import { PostgresPolicyRepository } from '../../../../src/policy-store/database/postgres/postgres-policy-repository.js';
import { openDatabase, postgresForTests, watchedDatabase } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeLiveSets } from '../../data/live-sets-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeLiveSets('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      data: () => {
        const { database, feed } = watchedDatabase(url);
        return PostgresLiveDataStore.open(database, feed);
      },
      archive: () => PostgresPolicyArchive.open(openDatabase(url)),
      repository: () => {
        const { database, feed } = watchedDatabase(url);
        return PostgresPolicyRepository.open(database, feed);
      },
    };
  });
});
