import { describe, onTestFinished } from 'vitest';
import { ChangeFeed } from '../../../../src/database/postgres/change-feed.js';
import { PostgresLiveDataStore } from '../../../../src/policy-store/database/postgres/postgres-live-data-store.js';
import { PostgresPolicyRepository } from '../../../../src/policy-store/database/postgres/postgres-policy-repository.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeLiveDataStore } from '../../data/live-data-store-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeLiveDataStore('PostgreSQL', () => {
    const url = server().newSchema();
    return {
      open: () => {
        const database = openDatabase(url);
        const feed = new ChangeFeed(database, { pollMs: 100, onProblem: () => undefined });
        feed.start();
        onTestFinished(() => feed.stop());
        return PostgresLiveDataStore.open(database, feed);
      },
      openPolicies: () => PostgresPolicyRepository.open(openDatabase(url)),
    };
  });
});
