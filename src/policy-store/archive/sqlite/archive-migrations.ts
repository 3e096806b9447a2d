import type { MigrationClass } from '../../../database/sqlite/sqlite-connection.js';
import { PolicyArchive1763700000010 } from './migrations/1763700000010-policy-archive.js';
import { Semantics1763700000011 } from './migrations/1763700000011-semantics.js';
import { DataVersions1764400000012 } from './migrations/1764400000012-data-versions.js';

/** Of an archive that is not encrypted. */
export const archiveMigrations: readonly MigrationClass[] = [
  PolicyArchive1763700000010,
  Semantics1763700000011,
  DataVersions1764400000012,
];
