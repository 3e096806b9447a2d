import { type LiveDataChange, type RoleTuple, tupleOf } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { canonical } from '../../core/manifest/schema-checking.js';
import { itemsPerStep } from '../../core/steps.js';

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
 * The entries before some changes, in steps: there may be a million.
 *
 * @param changes in the order in which they were made; the last one led to `entries`
 */
export function* entriesBefore(
  entries: StoredEntries,
  changes: readonly EntriesChange[],
): Generator<void, StoredEntries> {
  const roles = yield* keyed(entries.roles, roleKey);
  const entities = yield* keyed(entries.entities, entityKey);
  for (const { added, removed } of changes.toReversed()) {
    for (const role of added.roles) roles.delete(roleKey(role));
    for (const entity of added.entities) entities.delete(entityKey(entity));
    for (const role of removed.roles) roles.set(roleKey(role), role);
    for (const entity of removed.entities) entities.set(entityKey(entity), entity);
    yield;
  }
  return { roles: [...roles.values()], entities: [...entities.values()] };
}

/** The change that leads from some entries to others, in steps. */
export function* entriesBetween(from: StoredEntries, to: StoredEntries): Generator<void, EntriesChange> {
  return { added: yield* missing(to, from), removed: yield* missing(from, to) };
}

/** A change that was read, as it is kept. */
export function* entriesOf({ links, entities }: LiveDataChange): Generator<void, EntriesChange> {
  const [added, removed]: [RoleTuple[], RoleTuple[]] = [[], []];
  let done = 0;
  for (const [definition, { hasDomain, changes }] of links) {
    for (const { child, domain, ...change } of changes) {
      for (const parent of change.added) {
        added.push(tupleOf(definition, hasDomain, child, parent, domain));
        if (++done % itemsPerStep === 0) yield;
      }
      for (const parent of change.removed) {
        removed.push(tupleOf(definition, hasDomain, child, parent, domain));
        if (++done % itemsPerStep === 0) yield;
      }
    }
  }
  return {
    added: { roles: added, entities: entities.added },
    removed: { roles: removed, entities: entities.removed },
  };
}

/** Those of `one` that are not in `other`, or not with these attributes. */
function* missing(one: StoredEntries, other: StoredEntries): Generator<void, StoredEntries> {
  const knownRoles = yield* keyed(other.roles, roleKey);
  const knownEntities = yield* keyed(other.entities, entityKey);
  const roles: RoleTuple[] = [];
  const entities: StoredEntity[] = [];
  let done = 0;
  for (const role of one.roles) {
    if (!knownRoles.has(roleKey(role))) roles.push(role);
    if (++done % itemsPerStep === 0) yield;
  }
  for (const entity of one.entities) {
    const known = knownEntities.get(entityKey(entity));
    if (known === undefined || canonical(known.attributes) !== canonical(entity.attributes)) entities.push(entity);
    if (++done % itemsPerStep === 0) yield;
  }
  return { roles, entities };
}

function* keyed<Item>(items: readonly Item[], keyOf: (item: Item) => string): Generator<void, Map<string, Item>> {
  const map = new Map<string, Item>();
  for (const item of items) {
    map.set(keyOf(item), item);
    if (map.size % itemsPerStep === 0) yield;
  }
  return map;
}

function roleKey(role: RoleTuple): string {
  return JSON.stringify(role);
}

function entityKey({ type, id }: StoredEntity): string {
  return JSON.stringify([type, id]);
}
