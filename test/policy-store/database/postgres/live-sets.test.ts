import { describe, onTestFinished } from 'vitest';
import { ChangeFeed } from '../../../../src/database/postgres/change-feed.js';
import { PostgresPolicyArchive } from '../../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { PostgresLiveDataStore } from '../../../../src/policy-store/database/postgres/postgres-live-data-store.js';
import { PostgresPolicyRepository } from '../../../../src/policy-store/database/postgres/postgres-policy-repository.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeLiveSets } from '../../data/live-sets-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeLiveSets('PostgreSQL', () => {
    const url = server().newSchema();
    const feedOf = (database: ReturnType<typeof openDatabase>) => {
      const feed = new ChangeFeed(database, { pollMs: 100, onProblem: () => undefined });
      feed.start();
      onTestFinished(() => feed.stop());
      return feed;
    };
    return {
      data: () => {
        const database = openDatabase(url);
        return PostgresLiveDataStore.open(database, feedOf(database));
      },
      archive: () => PostgresPolicyArchive.open(openDatabase(url)),
      repository: () => {
        const database = openDatabase(url);
        return PostgresPolicyRepository.open(database, feedOf(database));
      },
    };
  });
});
