import { join } from 'node:path';
import { SqlitePolicyArchive } from '../../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { SqliteLiveDataStore } from '../../../../src/policy-store/database/sqlite/sqlite-live-data-store.js';
import { SqlitePolicyRepository } from '../../../../src/policy-store/database/sqlite/sqlite-policy-repository.js';
import { describeLiveSets } from '../../data/live-sets-suite.js';
import { temporaryDirectory } from '../../folders.js';

describeLiveSets('SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  return {
    data: () => SqliteLiveDataStore.open(path),
    archive: () => SqlitePolicyArchive.open(path),
    repository: () => SqlitePolicyRepository.open(path),
  };
});
