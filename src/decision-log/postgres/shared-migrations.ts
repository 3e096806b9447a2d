import type { PostgresMigration } from '../../database/postgres/migrations.js';
import { sharedLog1764400000000 } from './migrations/1764400000000-shared-log.js';
import { logName1764400000001 } from './migrations/1764400000001-log-name.js';
import { sharedTally1764400000002 } from './migrations/1764400000002-shared-tally.js';
import { keyPages1764400000003 } from './migrations/1764400000003-key-pages.js';
import { proof1764400000004 } from './migrations/1764400000004-proof.js';
import { erasures1764400000005 } from './migrations/1764400000005-erasures.js';
import { encryption1764400000006 } from './migrations/1764400000006-encryption.js';

/** What makes the tables of the shared decision log, in order; the part is `decision-log`. */
export const sharedLogMigrations: readonly PostgresMigration[] = [
  sharedLog1764400000000,
  logName1764400000001,
  sharedTally1764400000002,
  keyPages1764400000003,
  proof1764400000004,
  erasures1764400000005,
  encryption1764400000006,
];
