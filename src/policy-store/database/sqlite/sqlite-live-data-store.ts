import type { RoleTuple } from '../../../core/data/live-data.js';
import type { StoredEntity } from '../../../core/manifest/entities.js';
import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { SqliteTurns } from '../../../database/sqlite/sqlite-turns.js';
import {
  type ChangeKey,
  type DataHead,
  type DataSnapshot,
  type EntityFilter,
  type KeyedAnswer,
  keyLifetimeMs,
  type ListedEntity,
  type ListedRole,
  LiveDataStore,
  type NewChange,
  type RoleFilter,
  type StoredChange,
} from '../../data/live-data-store.js';
import { packChange } from '../../data/packed-change.js';
import {
  type AttributionRow,
  attributionColumns,
  type ChangeRow,
  type EntityRow,
  entityColumns,
  type RoleRow,
  roleColumns,
  toChanges,
  toEntries,
  toListedEntity,
  toListedRole,
} from '../../data/stored-rows.js';
import type { SetRevisions } from '../../set-revisions.js';
import type { RepositoryWatch } from '../policy-repository.js';
import { LiveData1764400000070 } from './migrations/1764400000070-live-data.js';
import { policyMigrations } from './sqlite-policy-repository.js';
import { SqliteSetRevisions } from './sqlite-set-revisions.js';
import { SqliteWatch } from './sqlite-watch.js';

type Value = string | number | null;

/** The live data in the service's SQLite database. A command may change it while a service runs. */
export class SqliteLiveDataStore extends LiveDataStore {
  private readonly turns: SqliteTurns;
  private readonly numbers: SqliteSetRevisions;

  private constructor(readonly connection: SqliteConnection) {
    super();
    this.turns = new SqliteTurns(connection);
    this.numbers = new SqliteSetRevisions(connection);
  }

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<SqliteLiveDataStore> {
    const migrations = [...policyMigrations, LiveData1764400000070];
    return new SqliteLiveDataStore(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  /** To look into a database that is there; undefined when nothing in it has live data, as in that of an earlier release. */
  static async openToRead(path: string): Promise<SqliteLiveDataStore | undefined> {
    const connection = await SqliteConnection.open({ path, setup: ['PRAGMA query_only = ON'], busyTimeoutMs: 10_000 });
    const tables = await connection.query(`SELECT 1 FROM sqlite_master WHERE name = 'data_change'`);
    if (tables.length > 0) return new SqliteLiveDataStore(connection);
    await connection.close();
    return undefined;
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  heads(): Promise<readonly DataHead[]> {
    return this.query<DataHead>('SELECT name, files, data FROM policy_revision WHERE data > 0 ORDER BY name');
  }

  revisions(name: string): Promise<SetRevisions> {
    return this.turns.inTurn(() => this.numbers.read(name));
  }

  numberFiles(name: string, source: number): Promise<number | undefined> {
    return this.turns.transaction('BEGIN IMMEDIATE', () => this.numbers.number(name, source));
  }

  entries(name: string): Promise<DataSnapshot> {
    return this.turns.transaction('BEGIN', async () => {
      const revisions = await this.numbers.read(name);
      const roles = await this.connection.query<RoleRow>(`SELECT ${roleColumns} FROM data_role WHERE policy_set = ?`, [
        name,
      ]);
      const entities = await this.connection.query<EntityRow>(
        `SELECT ${entityColumns} FROM data_entity WHERE policy_set = ?`,
        [name],
      );
      return { revisions, ...(await toEntries(roles, entities)) };
    });
  }

  async changesAfter(name: string, revision: number, limit: number): Promise<readonly StoredChange[]> {
    const rows = await this.query<ChangeRow>(
      `SELECT revision, changed, changed_by, content FROM data_change WHERE policy_set = ? AND revision > ?
         ORDER BY revision LIMIT ?`,
      [name, revision, limit],
    );
    return toChanges(rows);
  }

  async write(name: string, change: NewChange): Promise<number | undefined> {
    const { added, removed, after, at, by, version, key } = change;
    const content = await packChange(change);
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const { files, data } = await this.numbers.read(name);
      if (data !== after.data || files !== after.files) return undefined;
      const revision = await this.numbers.raise(name, 'data');
      const { connection } = this;
      // One statement for any number of entries: their texts come as one list of JSON.
      await connection.query(
        `DELETE FROM data_role WHERE (policy_set, definition, domain, name, role) IN (
           SELECT ?, value->>0, coalesce(value->>3, ''), value->>1, value->>2 FROM json_each(?))`,
        [name, JSON.stringify(removed.roles)],
      );
      await connection.query(
        `DELETE FROM data_entity WHERE (policy_set, type, id) IN (SELECT ?, value->>0, value->>1 FROM json_each(?))`,
        [name, JSON.stringify(removed.entities.map(({ type, id }) => [type, id]))],
      );
      await connection.query(
        `INSERT INTO data_role (policy_set, ${roleColumns}, ${attributionColumns})
         SELECT ?, value->>0, json_array_length(value) = 4, coalesce(value->>3, ''), value->>1, value->>2, ?, ?, ?
         FROM json_each(?)`,
        [name, revision, at, by, JSON.stringify(added.roles)],
      );
      await connection.query(
        `INSERT INTO data_entity (policy_set, ${entityColumns}, ${attributionColumns})
         SELECT ?, value->>0, value->>1, value->>2, ?, ?, ? FROM json_each(?)`,
        [name, revision, at, by, JSON.stringify(added.entities.map(toRow))],
      );
      await connection.query(
        'INSERT INTO data_change (policy_set, revision, changed, changed_by, version, content) VALUES (?, ?, ?, ?, ?, ?)',
        [name, revision, at, by, version, content],
      );
      await connection.query('DELETE FROM data_answer WHERE answered <= ?', [at - keyLifetimeMs]);
      if (version === '') await connection.query('DELETE FROM data_answer WHERE policy_set = ?', [name]);
      if (key !== undefined) {
        await connection.query(
          `INSERT INTO data_answer (policy_set, key, digest, revision, version, answered) VALUES (?, ?, ?, ?, ?, ?)`,
          [name, key.key, key.digest, revision, version, at],
        );
      }
      return revision;
    });
  }

  async answer(name: string, key: string, now: number): Promise<KeyedAnswer | undefined> {
    const [row] = await this.query<KeyedAnswer>(
      'SELECT digest, revision, version FROM data_answer WHERE policy_set = ? AND key = ? AND answered > ?',
      [name, key, now - keyLifetimeMs],
    );
    return row;
  }

  async keepAnswer(
    name: string,
    { key, digest }: ChangeKey,
    { revision, version }: Omit<KeyedAnswer, 'digest'>,
    at: number,
  ): Promise<void> {
    await this.query(
      `INSERT INTO data_answer (policy_set, key, digest, revision, version, answered) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET digest = excluded.digest, revision = excluded.revision, version = excluded.version,
         answered = excluded.answered WHERE answered <= ?`,
      [name, key, digest, revision, version, at, at - keyLifetimeMs],
    );
  }

  async roles(
    name: string,
    { definition, name: child, role, domain }: RoleFilter,
    limit: number,
    after?: RoleTuple,
  ): Promise<readonly ListedRole[]> {
    const { text, values } = conditions({ policy_set: name, definition, name: child, role, domain });
    const [ofDefinition = '', ofName = '', ofRole = '', ofDomain = ''] = after ?? [];
    const from = after === undefined ? '' : 'AND (definition, domain, name, role) > (?, ?, ?, ?)';
    const behind = after === undefined ? [] : [ofDefinition, ofDomain, ofName, ofRole];
    const rows = await this.query<RoleRow & AttributionRow>(
      `SELECT ${roleColumns}, ${attributionColumns} FROM data_role WHERE ${text} ${from}
         ORDER BY definition, domain, name, role LIMIT ?`,
      [...values, ...behind, limit],
    );
    return rows.map(toListedRole);
  }

  async entities(
    name: string,
    { type, id }: EntityFilter,
    limit: number,
    after?: Pick<StoredEntity, 'type' | 'id'>,
  ): Promise<readonly ListedEntity[]> {
    const { text, values } = conditions({ policy_set: name, type, id });
    const rows = await this.query<EntityRow & AttributionRow>(
      `SELECT ${entityColumns}, ${attributionColumns} FROM data_entity
         WHERE ${text} ${after === undefined ? '' : 'AND (type, id) > (?, ?)'} ORDER BY type, id LIMIT ?`,
      [...values, ...(after === undefined ? [] : [after.type, after.id]), limit],
    );
    return rows.map(toListedEntity);
  }

  async keptSince(name: string): Promise<number> {
    const [row] = await this.query<{ revision: number }>('SELECT revision FROM data_kept WHERE policy_set = ?', [name]);
    return row?.revision ?? 0;
  }

  forgetBefore(name: string, revision: number): Promise<number> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const { connection } = this;
      const [row] = await connection.query<{ n: number }>(
        'SELECT count(*) AS n FROM data_change WHERE policy_set = ? AND revision <= ?',
        [name, revision],
      );
      if (!row?.n) return 0;
      await connection.query(
        `INSERT INTO data_kept (policy_set, revision) VALUES (?, ?)
         ON CONFLICT (policy_set) DO UPDATE SET revision = max(revision, excluded.revision)`,
        [name, revision],
      );
      await connection.query('DELETE FROM data_change WHERE policy_set = ? AND revision <= ?', [name, revision]);
      return row.n;
    });
  }

  watch(look: () => Promise<void>): RepositoryWatch {
    return new SqliteWatch((sql) => this.query(sql), look);
  }

  private query<Row extends object>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.turns.inTurn(() => this.connection.query<Row>(sql, values));
  }
}

/** An entity as a list of texts, as `json_each` takes it apart: its attributes stay JSON. */
function toRow({ type, id, attributes }: StoredEntity): readonly string[] {
  return [type, id, JSON.stringify(attributes)];
}

/** `column = ?` for each member that is given. */
function conditions(wanted: Readonly<Record<string, Value | undefined>>): { text: string; values: Value[] } {
  const given = Object.entries(wanted).filter((entry): entry is [string, Value] => entry[1] !== undefined);
  return { text: given.map(([column]) => `${column} = ?`).join(' AND '), values: given.map(([, value]) => value) };
}
