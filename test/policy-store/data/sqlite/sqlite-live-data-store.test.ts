import { join } from 'node:path';
import { SqliteLiveDataStore } from '../../../../src/policy-store/data/sqlite/sqlite-live-data-store.js';
import { temporaryDirectory } from '../../folders.js';
import { describeLiveDataStore } from '../live-data-store-suite.js';

describeLiveDataStore('SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  return { open: () => SqliteLiveDataStore.open(path) };
});
