import type { RoleTuple } from '../../../core/data/live-data.js';
import type { StoredEntity } from '../../../core/manifest/entities.js';
import { ChangeCounters } from '../../../database/postgres/change-counters.js';
import type { ChangeFeed } from '../../../database/postgres/change-feed.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import { sha256 } from '../../../digest/sha-256.js';
import { inTurns } from '../../../turns/turns.js';
import type { EntriesChange } from '../../data/entries.js';
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
  mapped,
  type RoleRow,
  roleColumns,
  toChanges,
  toEntries,
  toListedEntity,
  toListedRole,
} from '../../data/stored-rows.js';
import type { SetRevisions } from '../../set-revisions.js';
import type { RepositoryWatch } from '../policy-repository.js';
import { liveDataTables, placeOfEntity, placeOfRole } from './migrations/1764400000070-live-data.js';
import { policyTables } from './postgres-policy-repository.js';
import { PostgresSetRevisions } from './postgres-set-revisions.js';

/** The live data of all replicas, in PostgreSQL. */
export class PostgresLiveDataStore extends LiveDataStore {
  private readonly tables: PostgresTables;
  private readonly counters: ChangeCounters;
  private readonly numbers: PostgresSetRevisions;

  private constructor(
    database: PostgresDatabase,
    private readonly feed: ChangeFeed | undefined,
  ) {
    super();
    this.counters = new ChangeCounters(database);
    const policies = policyTables(database, this.counters);
    this.numbers = new PostgresSetRevisions(policies);
    this.tables = new PostgresTables(database, 'live-data', [liveDataTables], policies);
  }

  /**
   * The tables are made when they are not there; while the server is away, when it is back.
   *
   * @param feed tells of changes, where somebody watches
   */
  static async open(database: PostgresDatabase, feed?: ChangeFeed): Promise<PostgresLiveDataStore> {
    const store = new PostgresLiveDataStore(database, feed);
    await store.tables.prepare();
    return store;
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}

  heads(): Promise<readonly DataHead[]> {
    return this.tables.query<DataHead>(
      `SELECT name, files, data FROM ${this.numbers.table} WHERE data > 0 ORDER BY name COLLATE "C"`,
    );
  }

  revisions(name: string): Promise<SetRevisions> {
    return this.numbers.read(this.tables, name);
  }

  numberFiles(name: string, source: number): Promise<number | undefined> {
    return this.tables.transaction(async (client) => {
      // Every replica asks at each of its loads: only the first one tells the others of a change.
      const known = await client.query(`SELECT FROM ${this.numbers.table} WHERE name = $1 AND source >= $2`, [
        name,
        source,
      ]);
      if (known.length === 0) await this.counters.count(client, 'policies');
      return this.numbers.number(client, name, source);
    });
  }

  entries(name: string): Promise<DataSnapshot> {
    return this.tables.transaction(
      async (client) => {
        const revisions = await this.numbers.read(client, name);
        const roles = await client.query<RoleRow>(
          `SELECT ${roleColumns} FROM ${this.table('role')} WHERE policy_set = $1`,
          [name],
        );
        const entities = await client.query<EntityRow>(
          `SELECT ${entityColumns} FROM ${this.table('entity')} WHERE policy_set = $1`,
          [name],
        );
        return { revisions, ...(await toEntries(roles, entities)) };
      },
      { snapshot: true, readOnly: true },
    );
  }

  async changesAfter(name: string, revision: number, limit: number): Promise<readonly StoredChange[]> {
    const rows = await this.tables.query<ChangeRow>(
      `SELECT revision, changed, changed_by, content FROM ${this.table('change')}
       WHERE policy_set = $1 AND revision > $2 ORDER BY revision LIMIT $3`,
      [name, revision, limit],
    );
    return toChanges(rows);
  }

  async write(name: string, change: NewChange): Promise<number | undefined> {
    const { added, after, at, by, version, key } = change;
    const content = await packChange(change);
    // Before the transaction, whose lock every change of policies waits for.
    const digests = await inTurns(digestsOfChange(change));
    return this.tables.transaction(async (client) => {
      // That row is locked until the end, so replicas change data one after another.
      await this.counters.count(client, 'policies');
      const { files, data } = await this.numbers.read(client, name);
      if (data !== after.data || files !== after.files) return undefined;
      const revision = await this.numbers.raise(client, name, 'data');
      await client.query(
        `DELETE FROM ${this.table('role')} WHERE policy_set = $1
           AND digest IN (SELECT decode(gone, 'hex') FROM unnest($2::text[]) AS gone)`,
        [name, digests.removedRoles],
      );
      await client.query(
        `DELETE FROM ${this.table('entity')} WHERE policy_set = $1
           AND digest IN (SELECT decode(gone, 'hex') FROM unnest($2::text[]) AS gone)`,
        [name, digests.removedEntities],
      );
      await client.query(
        `INSERT INTO ${this.table('role')} (policy_set, digest, ${roleColumns}, ${attributionColumns})
         SELECT $1, decode(digest, 'hex'), definition, has_domain = 'yes', domain, name, role, $8, $9, $10
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
           AS come (digest, definition, domain, name, role, has_domain)`,
        [
          name,
          digests.addedRoles,
          ...roleArrays(added.roles),
          added.roles.map((role) => (role.length === 4 ? 'yes' : 'no')),
          revision,
          at,
          by,
        ],
      );
      await client.query(
        `INSERT INTO ${this.table('entity')} (policy_set, digest, ${entityColumns}, ${attributionColumns})
         SELECT $1, decode(digest, 'hex'), type, id, attributes, $6, $7, $8
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS come (digest, type, id, attributes)`,
        [
          name,
          digests.addedEntities,
          added.entities.map(({ type }) => type),
          added.entities.map(({ id }) => id),
          added.entities.map(({ attributes }) => JSON.stringify(attributes)),
          revision,
          at,
          by,
        ],
      );
      await client.query(
        `INSERT INTO ${this.table('change')} (policy_set, revision, changed, changed_by, version, content)
         VALUES ($1, $2, $3, $4, $5, $6)`,
        [name, revision, at, by, version, content],
      );
      await client.query(`DELETE FROM ${this.table('answer')} WHERE answered <= $1`, [at - keyLifetimeMs]);
      if (version === '') await client.query(`DELETE FROM ${this.table('answer')} WHERE policy_set = $1`, [name]);
      if (key !== undefined) {
        await client.query(
          `INSERT INTO ${this.table('answer')} (policy_set, key, digest, revision, version, answered)
           VALUES ($1, $2, $3, $4, $5, $6)`,
          [name, digestOfKey(key.key), key.digest, revision, version, at],
        );
      }
      return revision;
    });
  }

  async answer(name: string, key: string, now: number): Promise<KeyedAnswer | undefined> {
    const [row] = await this.tables.query<KeyedAnswer>(
      `SELECT digest, revision, version FROM ${this.table('answer')}
       WHERE policy_set = $1 AND key = $2 AND answered > $3`,
      [name, digestOfKey(key), now - keyLifetimeMs],
    );
    return row;
  }

  async keepAnswer(
    name: string,
    { key, digest }: ChangeKey,
    { revision, version }: Omit<KeyedAnswer, 'digest'>,
    at: number,
  ): Promise<void> {
    await this.tables.write(
      `INSERT INTO ${this.table('answer')} AS kept (policy_set, key, digest, revision, version, answered)
       VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (policy_set, key) DO UPDATE SET digest = excluded.digest, revision = excluded.revision,
         version = excluded.version, answered = excluded.answered WHERE kept.answered <= $7`,
      [name, digestOfKey(key), digest, revision, version, at, at - keyLifetimeMs],
    );
  }

  async roles(name: string, filter: RoleFilter, limit: number, after?: RoleTuple): Promise<readonly ListedRole[]> {
    const { definition, name: child, role, domain } = filter;
    const [ofDefinition = '', ofName = '', ofRole = '', ofDomain = ''] = after ?? [];
    const behind = [ofDefinition, ofDomain, ofName, ofRole];
    const rows = await this.tables.query<RoleRow & AttributionRow>(
      `SELECT ${roleColumns}, ${attributionColumns} FROM ${this.table('role')}
       WHERE policy_set = $1 AND ($2::text IS NULL OR definition = $2) AND ($3::text IS NULL OR domain = $3)
         AND ($4::text IS NULL OR name = $4) AND ($5::text IS NULL OR role = $5)
         AND (NOT $6 OR (definition, domain, name, role) > ($7, $8, $9, $10))
         AND ${between(placeOfRole, '$11', '$12', '$13')}
       ORDER BY ${placeOfRole}, definition, domain, name, role LIMIT $14`,
      [
        name,
        definition ?? null,
        domain ?? null,
        child ?? null,
        role ?? null,
        after !== undefined,
        ...behind,
        ...placesOf([definition, domain, child, role], after && behind),
        limit,
      ],
    );
    return rows.map(toListedRole);
  }

  async entities(
    name: string,
    { type, id }: EntityFilter,
    limit: number,
    after?: Pick<StoredEntity, 'type' | 'id'>,
  ): Promise<readonly ListedEntity[]> {
    const rows = await this.tables.query<EntityRow & AttributionRow>(
      `SELECT ${entityColumns}, ${attributionColumns} FROM ${this.table('entity')}
       WHERE policy_set = $1 AND ($2::text IS NULL OR type = $2) AND ($3::text IS NULL OR id = $3)
         AND (NOT $4 OR (type, id) > ($5, $6)) AND ${between(placeOfEntity, '$7', '$8', '$9')}
       ORDER BY ${placeOfEntity}, type, id LIMIT $10`,
      [
        name,
        type ?? null,
        id ?? null,
        after !== undefined,
        after?.type ?? '',
        after?.id ?? '',
        ...placesOf([type, id], after && [after.type, after.id]),
        limit,
      ],
    );
    return rows.map(toListedEntity);
  }

  async keptSince(name: string): Promise<number> {
    const [row] = await this.tables.query<{ revision: number }>(
      `SELECT revision FROM ${this.table('kept')} WHERE policy_set = $1`,
      [name],
    );
    return row?.revision ?? 0;
  }

  forgetBefore(name: string, revision: number): Promise<number> {
    return this.tables.transaction(async (client) => {
      const forgotten = await client.write(
        `DELETE FROM ${this.table('change')} WHERE policy_set = $1 AND revision <= $2`,
        [name, revision],
      );
      if (forgotten > 0) {
        await client.query(
          `INSERT INTO ${this.table('kept')} AS kept (policy_set, revision) VALUES ($1, $2)
           ON CONFLICT (policy_set) DO UPDATE SET revision = greatest(kept.revision, excluded.revision)`,
          [name, revision],
        );
      }
      return forgotten;
    });
  }

  watch(look: () => Promise<void>): RepositoryWatch {
    if (this.feed === undefined) throw new Error('a store that is opened without the feed of changes has no watch');
    return this.feed.subscribe('policies', look);
  }

  private table(of: 'kept' | 'role' | 'entity' | 'change' | 'answer'): string {
    return this.tables.name(`data_${of}`);
  }
}

/** The columns of links, as lists: definitions, domains, names, roles. */
function roleArrays(roles: readonly RoleTuple[]): readonly (readonly string[])[] {
  return [0, 3, 1, 2].map((column) => roles.map((role) => role[column] ?? ''));
}

/** What identifies the entries of a change in the tables, in steps. */
function* digestsOfChange({ added, removed }: EntriesChange) {
  return {
    addedRoles: yield* mapped(added.roles, digestOfRole),
    addedEntities: yield* mapped(added.entities, digestOfEntity),
    removedRoles: yield* mapped(removed.roles, digestOfRole),
    removedEntities: yield* mapped(removed.entities, digestOfEntity),
  };
}

function digestOfRole([definition = '', name = '', role = '', domain = '']: RoleTuple): string {
  return sha256([JSON.stringify([definition, domain, name, role])]);
}

function digestOfEntity({ type, id }: Pick<StoredEntity, 'type' | 'id'>): string {
  return sha256([JSON.stringify([type, id])]);
}

function digestOfKey(key: string): Buffer {
  return Buffer.from(sha256([key]), 'hex');
}

/**
 * A condition for the index of a list, which holds for all rows that are asked for, and perhaps for others. The
 * parameters are those of `placesOf`.
 */
function between(place: string, first: string, after: string, last: string): string {
  return `${place} >= left(${first}, 256) AND ${place} >= left(${after}, 256) AND ${place} <= left(${last}, 256)`;
}

/**
 * Where a part of a list begins, behind what it comes, and where it ends, as its index has places.
 *
 * @param filter the columns of the list; behind one that is missing all are looked through
 * @param after the columns of the row before, if any
 */
function placesOf(filter: readonly (string | undefined)[], after: readonly string[] | undefined): string[] {
  const missing = filter.indexOf(undefined);
  const given = missing < 0 ? filter : filter.slice(0, missing);
  const begin = given.join('\u0001');
  const [first, last] =
    given.length === 0 ? ['', lastPlace] : missing < 0 ? [begin, begin] : [`${begin}\u0001`, `${begin}\u0002`];
  return [first, after?.join('\u0001') ?? '', last];
}

const lastPlace = '\u{10ffff}'.repeat(256);
