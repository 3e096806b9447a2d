import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';

/** Role links and entities. */
export interface StoredEntries {
  readonly roles: readonly RoleTuple[];
  readonly entities: readonly StoredEntity[];
}

/** What a change did: nothing in `added` was there before it, all in `removed` was, with these attributes. */
export interface EntriesChange {
  readonly added: StoredEntries;
  readonly removed: StoredEntries;
}

/**
 * The entries before some changes.
 *
 * @param changes in the order in which they were made; the last one led to `entries`
 */
export function entriesBefore(entries: StoredEntries, changes: readonly EntriesChange[]): StoredEntries {
  const roles = new Map(entries.roles.map((role) => [roleKey(role), role]));
  const entities = new Map(entries.entities.map((entity) => [entityKey(entity), entity]));
  for (const { added, removed } of changes.toReversed()) {
    for (const role of added.roles) roles.delete(roleKey(role));
    for (const entity of added.entities) entities.delete(entityKey(entity));
    for (const role of removed.roles) roles.set(roleKey(role), role);
    for (const entity of removed.entities) entities.set(entityKey(entity), entity);
  }
  return { roles: [...roles.values()], entities: [...entities.values()] };
}

function roleKey(role: RoleTuple): string {
  return JSON.stringify(role);
}

function entityKey({ type, id }: StoredEntity): string {
  return JSON.stringify([type, id]);
}
