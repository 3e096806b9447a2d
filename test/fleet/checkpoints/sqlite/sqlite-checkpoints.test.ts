import { join } from 'node:path';
import { SqliteCheckpointStore } from '../../../../src/fleet/checkpoints/sqlite/sqlite-checkpoint-store.js';
import { temporaryDirectory } from '../../../decision-log/temporary-log.js';
import { describeFleetCheckpoints } from '../checkpoints-suite.js';

describeFleetCheckpoints('SQLite', () => {
  const directory = temporaryDirectory();
  return { isShared: false, open: () => SqliteCheckpointStore.open(join(directory, 'verdict.sqlite')) };
});
