import { join } from 'node:path';
import { SqliteCandidateStore } from '../../../../src/policy-store/candidates/sqlite/sqlite-candidate-store.js';
import { temporaryDirectory } from '../../folders.js';
import { describeCandidateStore } from '../candidate-store-suite.js';

describeCandidateStore('SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  return { open: () => SqliteCandidateStore.open(path) };
});
