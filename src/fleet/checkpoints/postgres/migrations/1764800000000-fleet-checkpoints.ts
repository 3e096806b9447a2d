import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/**
 * `fleet_checkpoint`: signed notes. `fleet_checkpoint_sent`: the highest number that each sink has. `fleet_checkpoint_lead`: one
 * row, the replica that makes them, and until when it does.
 */
export const fleetCheckpoints: PostgresMigration = {
  name: '1764800000000-fleet-checkpoints',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('fleet_checkpoint')} (
      number int8 PRIMARY KEY,
      time int8 NOT NULL,          -- ms since the epoch
      note text NOT NULL
    )`);
    await client.query(`CREATE TABLE ${table('fleet_checkpoint_sent')} (sink text PRIMARY KEY, number int8 NOT NULL)`);
    await client.query(`CREATE TABLE ${table('fleet_checkpoint_lead')} (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      replica text NOT NULL,
      until timestamptz NOT NULL
    )`);
  },
};
