import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Versions with live data: files that are kept as another version, and the revision of the data, whose changes are kept
 * beside them.
 */
export class DataVersions1764400000012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // The version of the files; null: the version is of files alone.
    await runner.query('ALTER TABLE policy_version ADD COLUMN files_version TEXT');
    await runner.query('ALTER TABLE policy_version ADD COLUMN data_revision INTEGER');
    // 0: these files have only ever served with live data.
    await runner.query('ALTER TABLE policy_version ADD COLUMN alone INTEGER NOT NULL DEFAULT 1');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const column of ['files_version', 'data_revision', 'alone']) {
      await runner.query(`ALTER TABLE policy_version DROP COLUMN ${column}`);
    }
  }
}
