import type { PostgresMigration } from '../../../database/postgres/migrations.js';
import { replicaWorkerColumns } from './1764400000051-replica-workers.js';

/** Which revision of a set a replica serves; null where the source of its sets gives none. */
export const replicaRevisionColumn: PostgresMigration = {
  name: '1764400000052-replica-revisions',
  worksSince: replicaWorkerColumns.name,
  async up(client, table) {
    await client.query(`ALTER TABLE ${table('replica_set')} ADD revision int8`);
  },
};
