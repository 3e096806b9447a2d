import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import type { JsonObject } from '../../core/request.js';
import type { ListedEntity, ListedRole } from './live-data-store.js';

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

export function toRole({ definition, has_domain, domain, name, role }: RoleRow): RoleTuple {
  return has_domain ? [definition, name, role, domain] : [definition, name, role];
}

export function toEntity({ type, id, attributes }: EntityRow): StoredEntity {
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
