import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `fleet_checkpoint`: signed notes. `fleet_checkpoint_sent`: the highest number that each sink has. */
export class FleetCheckpoints1764800000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE fleet_checkpoint (
      number INTEGER PRIMARY KEY,
      time INTEGER NOT NULL,       -- ms since the epoch
      note TEXT NOT NULL
    )`);
    await runner.query('CREATE TABLE fleet_checkpoint_sent (sink TEXT PRIMARY KEY, number INTEGER NOT NULL)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE fleet_checkpoint_sent');
    await runner.query('DROP TABLE fleet_checkpoint');
  }
}
