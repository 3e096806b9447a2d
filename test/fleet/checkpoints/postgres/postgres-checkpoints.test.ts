import { describe } from 'vitest';
import { PostgresCheckpointStore } from '../../../../src/fleet/checkpoints/postgres/postgres-checkpoint-store.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { describeFleetCheckpoints } from '../checkpoints-suite.js';

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  describeFleetCheckpoints('PostgreSQL', () => {
    const url = server().newSchema();
    return { isShared: true, open: async () => new PostgresCheckpointStore(openDatabase(url)) };
  });
});
