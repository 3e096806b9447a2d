import { join } from 'node:path';
import { SqliteLiveDataStore } from '../../../../src/policy-store/database/sqlite/sqlite-live-data-store.js';
import { SqlitePolicyRepository } from '../../../../src/policy-store/database/sqlite/sqlite-policy-repository.js';
import { describeLiveDataStore } from '../../data/live-data-store-suite.js';
import { temporaryDirectory } from '../../folders.js';

describeLiveDataStore('SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  return { open: () => SqliteLiveDataStore.open(path), openPolicies: () => SqlitePolicyRepository.open(path) };
});
