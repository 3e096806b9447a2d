import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import type { JsonObject } from '../../core/request.js';
import { inTurns } from '../../turns/turns.js';
import type { StoredEntries } from './entries.js';
import type { ListedEntity, ListedRole, StoredChange } from './live-data-store.js';
import { unpackChange } from './packed-change.js';

export const roleColumns = 'definition, has_domain, domain, name, role';
export const entityColumns = 'type, id, attributes';
export const attributionColumns = 'revision, added, added_by';

export interface RoleRow {
  readonly definition: string;
  /** SQLite has no type of its own for it. */
  readonly has_domain: boolean | number;
  readonly domain: string;
  readonly name: string;
  readonly role: string;
}

export interface EntityRow {
  readonly type: string;
  readonly id: string;
  readonly attributes: string;
}

export interface AttributionRow {
  readonly revision: number;
  readonly added: number;
  readonly added_by: string;
}

function toRole({ definition, has_domain, domain, name, role }: RoleRow): RoleTuple {
  return has_domain ? [definition, name, role, domain] : [definition, name, role];
}

function toEntity({ type, id, attributes }: EntityRow): StoredEntity {
  return { type, id, attributes: JSON.parse(attributes) as JsonObject };
}

export function toListedRole(row: RoleRow & AttributionRow): ListedRole {
  return { role: toRole(row), ...attributionOf(row) };
}

export function toListedEntity(row: EntityRow & AttributionRow): ListedEntity {
  return { entity: toEntity(row), ...attributionOf(row) };
}

function attributionOf({ revision, added: at, added_by: by }: AttributionRow) {
  return { revision, at, by };
}

export interface ChangeRow {
  readonly revision: number;
  readonly changed: number;
  readonly changed_by: string;
  readonly content: Buffer;
}

/** One after the other: some changes are of 50,000 entries. */
export async function toChanges(rows: readonly ChangeRow[]): Promise<readonly StoredChange[]> {
  const changes: StoredChange[] = [];
  for (const { revision, changed: at, changed_by: by, content } of rows) {
    changes.push({ ...(await unpackChange(content)), revision, at, by });
  }
  return changes;
}

/** All entries of a set, in turns: there may be a million. */
export async function toEntries(roles: readonly RoleRow[], entities: readonly EntityRow[]): Promise<StoredEntries> {
  return { roles: await inTurns(mapped(roles, toRole)), entities: await inTurns(mapped(entities, toEntity)) };
}

/** Rows or entries that are looked at in one go. */
const itemsInStep = 500;

export function* mapped<From, To>(items: readonly From[], map: (item: From) => To): Generator<void, To[]> {
  const results: To[] = [];
  for (const item of items) {
    results.push(map(item));
    if (results.length % itemsInStep === 0) yield;
  }
  return results;
}
