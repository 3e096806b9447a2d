import { ChangeCounters } from '../../database/postgres/change-counters.js';
import type { ChangeFeed } from '../../database/postgres/change-feed.js';
import type { PostgresClient, PostgresStatements } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { digestOf, makeApiKey } from '../api-key.js';
import type { ApiKey } from '../api-key-entry.js';
import { keyNameTaken, keyNotFound, type ManagedKey, ManagedKeys, type ManagedKeysWatch } from '../managed-keys.js';
import { type StoredKey, type StoredSecret, toManagedKeys } from '../stored-keys.js';
import { authTables } from './auth-tables.js';

/** The managed API keys of all replicas, in PostgreSQL. */
export class PostgresManagedKeys extends ManagedKeys {
  private readonly keys: string;
  private readonly secrets: string;

  private constructor(
    private readonly tables: PostgresTables,
    private readonly counters: ChangeCounters,
    private readonly feed: ChangeFeed | undefined,
  ) {
    super();
    this.keys = tables.name('api_key');
    this.secrets = tables.name('api_key_secret');
  }

  /**
   * The tables are made when they are not there; while the server is away, when it is back.
   *
   * @param feed tells of changes, where somebody watches
   */
  static async open(database: PostgresDatabase, feed?: ChangeFeed): Promise<PostgresManagedKeys> {
    const tables = authTables(database);
    await tables.prepare();
    return new PostgresManagedKeys(tables, new ChangeCounters(database), feed);
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}

  async changes(): Promise<number> {
    return (await this.counters.read(this.tables)).get('keys') ?? 0;
  }

  watch(look: () => Promise<void>): ManagedKeysWatch | undefined {
    return this.feed?.subscribe('keys', look);
  }

  list(): Promise<ManagedKey[]> {
    return this.tables.transaction((client) => this.read(client), { snapshot: true, readOnly: true });
  }

  async find(name: string): Promise<ManagedKey | undefined> {
    const [key] = await this.tables.transaction((client) => this.read(client, name), {
      snapshot: true,
      readOnly: true,
    });
    return key;
  }

  async create(key: ApiKey, environment: string, by: string, now: number): Promise<string> {
    const text = makeApiKey(environment);
    await this.change(async (client) => {
      const [taken] = await client.query<{ name: string }>(
        `SELECT name FROM ${this.keys} WHERE lower(name COLLATE "C") = lower($1 COLLATE "C")`,
        [key.name],
      );
      if (taken !== undefined) throw keyNameTaken(taken.name);
      await client.query(
        `INSERT INTO ${this.keys} (name, owner, scopes, policy_sets, addresses, daily_quota, expires, created, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
        [
          key.name,
          key.owner ?? null,
          key.scopes,
          key.policySets ?? null,
          key.addresses ?? null,
          key.dailyQuota ?? null,
          key.expires ?? null,
          now,
          by,
        ],
      );
      await this.addSecret(client, key.name, text, now);
    });
    return text;
  }

  async rotate(name: string, environment: string, overlapMs: number, now: number): Promise<string> {
    const text = makeApiKey(environment);
    await this.change(async (client) => {
      const [key] = await this.read(client, name);
      if (key === undefined || key.revoked !== undefined) throw keyNotFound(name);
      await client.query(
        `UPDATE ${this.secrets} SET expires = least(expires, CASE WHEN digest = $1 THEN $2::int8 ELSE $3::int8 END)
         WHERE key_name = $4`,
        [key.secrets.at(-1)?.digest ?? '', now + overlapMs, now, name],
      );
      await this.addSecret(client, name, text, now);
    });
    return text;
  }

  async revoke(name: string, now: number): Promise<void> {
    await this.change(async (client) => {
      const revoked = await client.write(`UPDATE ${this.keys} SET revoked = coalesce(revoked, $1) WHERE name = $2`, [
        now,
        name,
      ]);
      if (revoked === 0) throw keyNotFound(name);
    });
  }

  async used(uses: ReadonlyMap<string, number>): Promise<void> {
    if (uses.size === 0) return;
    await this.tables.write(
      `UPDATE ${this.secrets} AS secret SET last_used = greatest(secret.last_used, uses.time)
       FROM unnest($1::text[], $2::int8[]) AS uses (digest, time) WHERE secret.digest = uses.digest`,
      [[...uses.keys()], [...uses.values()]],
    );
  }

  /** Counts the change first: that row is locked until the end, so replicas change keys one after another. */
  private change(work: (client: PostgresClient) => Promise<void>): Promise<void> {
    return this.tables.transaction(async (client) => {
      await this.counters.count(client, 'keys');
      await work(client);
    });
  }

  private async addSecret(client: PostgresClient, name: string, text: string, now: number): Promise<void> {
    await client.query(`INSERT INTO ${this.secrets} (digest, key_name, created) VALUES ($1, $2, $3)`, [
      digestOf(text),
      name,
      now,
    ]);
  }

  /** The key of this name, or every key. */
  private async read(client: PostgresStatements, name: string | null = null): Promise<ManagedKey[]> {
    const keys = await client.query<StoredKey>(
      `SELECT * FROM ${this.keys} WHERE $1::text IS NULL OR name = $1 ORDER BY name COLLATE "C"`,
      [name],
    );
    const secrets = await client.query<StoredSecret>(
      `SELECT digest, key_name, created, expires, last_used FROM ${this.secrets}
       WHERE $1::text IS NULL OR key_name = $1 ORDER BY place`,
      [name],
    );
    return toManagedKeys(keys, secrets);
  }
}
