import { join } from 'node:path';
import { SqlitePolicyRepository } from '../../../../src/policy-store/database/sqlite/sqlite-policy-repository.js';
import { temporaryDirectory } from '../../folders.js';
import { describePolicyRepository } from '../policy-repository-suite.js';

describePolicyRepository('SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  return { open: () => SqlitePolicyRepository.open(path) };
});
