import { describe } from 'vitest';
import { PostgresCandidateStore } from '../../../../src/policy-store/candidates/postgres/postgres-candidate-store.js';
import { postgresForTests, watchedDatabase } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeCandidateStore } from '../candidate-store-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeCandidateStore('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      open: () => {
        const { database, feed } = watchedDatabase(url);
        return PostgresCandidateStore.open(database, feed);
      },
    };
  });
});
