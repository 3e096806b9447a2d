import type { PostgresMigration } from '../../../database/postgres/migrations.js';
import { replicaTables } from './1764400000050-replicas.js';

/** Which worker of a service a replica is; null for one that is a service by itself. */
export const replicaWorkerColumns: PostgresMigration = {
  name: '1764400000051-replica-workers',
  worksSince: replicaTables.name,
  async up(client, table) {
    await client.query(`ALTER TABLE ${table('replica')}
      ADD worker_of text,          -- the name of the service
      ADD worker int8,             -- from 1
      ADD restarts int8            -- how often its process ended by itself, before this one
    `);
  },
};
