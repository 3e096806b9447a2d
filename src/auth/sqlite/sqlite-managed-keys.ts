import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { digestOf, makeApiKey } from '../api-key.js';
import type { ApiKey } from '../api-key-entry.js';
import { keyNameTaken, keyNotFound, type ManagedKey, ManagedKeys } from '../managed-keys.js';
import { type StoredKey, type StoredSecret, toManagedKeys } from '../stored-keys.js';
import { ApiKeys1763700000020 } from './migrations/1763700000020-api-keys.js';

/** Lists are JSON. */
type KeyRow = Omit<StoredKey, 'scopes' | 'policy_sets' | 'addresses'> & {
  readonly scopes: string;
  readonly policy_sets: string | null;
  readonly addresses: string | null;
};

/** The managed API keys in the service's SQLite database. */
export class SqliteManagedKeys extends ManagedKeys {
  private constructor(readonly connection: SqliteConnection) {
    super();
  }

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<SqliteManagedKeys> {
    const migrations = [ApiKeys1763700000020];
    return new SqliteManagedKeys(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async changes(): Promise<number> {
    const [row] = await this.connection.query<{ n: number }>('SELECT n FROM api_key_changes');
    return row!.n;
  }

  /** An SQLite file tells nobody. */
  watch(): undefined {}

  async list(): Promise<ManagedKey[]> {
    const keys = await this.connection.query<KeyRow>('SELECT * FROM api_key ORDER BY name');
    const secrets = await this.connection.query<StoredSecret>('SELECT * FROM api_key_secret ORDER BY rowid');
    return toManagedKeys(keys.map(toStored), secrets);
  }

  async find(name: string): Promise<ManagedKey | undefined> {
    const [row] = await this.connection.query<KeyRow>('SELECT * FROM api_key WHERE name = ?', [name]);
    if (row === undefined) return undefined;
    const secrets = await this.connection.query<StoredSecret>(
      'SELECT * FROM api_key_secret WHERE key_name = ? ORDER BY rowid',
      [name],
    );
    return toManagedKeys([toStored(row)], secrets)[0];
  }

  async create(key: ApiKey, environment: string, by: string, now: number): Promise<string> {
    const alike = 'SELECT name FROM api_key WHERE name = ? COLLATE NOCASE';
    const [taken] = await this.connection.query<{ name: string }>(alike, [key.name]);
    if (taken !== undefined) throw keyNameTaken(taken.name);
    const text = makeApiKey(environment);
    try {
      await this.connection.query(
        `INSERT INTO api_key (name, owner, scopes, policy_sets, addresses, daily_quota, expires, created, created_by)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        [
          key.name,
          key.owner ?? null,
          JSON.stringify(key.scopes),
          key.policySets === undefined ? null : JSON.stringify(key.policySets),
          key.addresses === undefined ? null : JSON.stringify(key.addresses),
          key.dailyQuota ?? null,
          key.expires ?? null,
          now,
          by,
        ],
      );
    } catch (error) {
      if (!/UNIQUE constraint/.test((error as Error).message)) throw error;
      throw keyNameTaken(key.name);
    }
    await this.addSecret(key.name, text, now);
    return text;
  }

  async rotate(name: string, environment: string, overlapMs: number, now: number): Promise<string> {
    const key = await this.find(name);
    if (key === undefined || key.revoked !== undefined) throw keyNotFound(name);
    const newest = key.secrets.at(-1)?.digest ?? '';
    await this.connection.query(
      `UPDATE api_key_secret SET expires = min(coalesce(expires, ?1), ?1) WHERE key_name = ?2 AND digest <> ?3`,
      [now, name, newest],
    );
    await this.connection.query(
      `UPDATE api_key_secret SET expires = min(coalesce(expires, ?1), ?1) WHERE key_name = ?2 AND digest = ?3`,
      [now + overlapMs, name, newest],
    );
    const text = makeApiKey(environment);
    await this.addSecret(name, text, now);
    return text;
  }

  async revoke(name: string, now: number): Promise<void> {
    if ((await this.find(name)) === undefined) throw keyNotFound(name);
    await this.connection.query('UPDATE api_key SET revoked = coalesce(revoked, ?) WHERE name = ?', [now, name]);
  }

  async used(uses: ReadonlyMap<string, number>): Promise<void> {
    if (uses.size === 0) return;
    await this.connection.query(
      `UPDATE api_key_secret SET last_used = max(coalesce(last_used, 0), j.value)
       FROM json_each(?) AS j WHERE digest = j.key`,
      [JSON.stringify(Object.fromEntries(uses))],
    );
  }

  private async addSecret(name: string, text: string, now: number): Promise<void> {
    await this.connection.query('INSERT INTO api_key_secret (digest, key_name, created) VALUES (?, ?, ?)', [
      digestOf(text),
      name,
      now,
    ]);
  }
}

function toStored(row: KeyRow): StoredKey {
  const listIn = (json: string | null) => (json === null ? null : (JSON.parse(json) as string[]));
  return {
    ...row,
    scopes: listIn(row.scopes) ?? [],
    policy_sets: listIn(row.policy_sets),
    addresses: listIn(row.addresses),
  };
}
