import { describe } from 'vitest';
import { PostgresPolicyRepository } from '../../../../src/policy-store/database/postgres/postgres-policy-repository.js';
import { postgresForTests, watchedDatabase } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describePolicyRepository } from '../policy-repository-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describePolicyRepository('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      open: () => {
        const { database, feed } = watchedDatabase(url);
        return PostgresPolicyRepository.open(database, feed);
      },
    };
  });
});
