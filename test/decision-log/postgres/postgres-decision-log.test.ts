import { describe } from 'vitest';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { describeDecisionLog } from '../decision-log-suite.js';
import { sharedHome } from './shared-home.js';

describe.skipIf(!hasPostgres)('PostgreSQL', () => {
  const server = postgresForTests();
  describeDecisionLog('PostgreSQL', () => sharedHome(server));
});
