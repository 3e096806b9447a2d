import type { MigrationInterface, QueryRunner } from 'typeorm';

const triggers = [
  ['api_key_made', 'INSERT ON api_key'],
  ['api_key_changed', 'UPDATE ON api_key'],
  ['api_key_secret_made', 'INSERT ON api_key_secret'],
  ['api_key_secret_changed', 'UPDATE OF expires ON api_key_secret'],
] as const;

/** Managed API keys. A key is a name with its permissions; its secrets, by digest alone, come and go by rotation. */
export class ApiKeys1763700000020 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE api_key (
      name TEXT PRIMARY KEY,
      owner TEXT,
      scopes TEXT NOT NULL,        -- JSON: ["decide:invoices", …]
      policy_sets TEXT,            -- JSON; null: all
      addresses TEXT,              -- JSON; null: any
      daily_quota INTEGER,
      expires INTEGER,             -- ms since the epoch; null: never
      created INTEGER NOT NULL,
      created_by TEXT NOT NULL,
      revoked INTEGER              -- when; null: it is good. A revoked name is never given out again.
    ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE api_key_secret (
      digest TEXT PRIMARY KEY,     -- SHA-256 of the key's text, in hexadecimal
      key_name TEXT NOT NULL REFERENCES api_key (name),
      created INTEGER NOT NULL,
      expires INTEGER,             -- set when a rotation replaces it
      last_used INTEGER            -- to the minute
    )`);
    await runner.query(`CREATE INDEX api_key_secret_key ON api_key_secret (key_name)`);
    // Running services ask this number twice a second; last uses do not change it.
    await runner.query(`CREATE TABLE api_key_changes (n INTEGER NOT NULL)`);
    await runner.query(`INSERT INTO api_key_changes VALUES (0)`);
    for (const [name, event] of triggers) {
      await runner.query(`CREATE TRIGGER ${name} AFTER ${event} BEGIN UPDATE api_key_changes SET n = n + 1; END`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE api_key_secret');
    await runner.query('DROP TABLE api_key_changes');
    await runner.query('DROP TABLE api_key');
  }
}
