/** `entities.yaml`: known subjects and resources with their attributes, a PIP in a file. */
import { cut, quote } from '../quote.js';
import type { JsonObject } from '../request.js';
import type { Semantics } from '../semantics.js';
import { emptyMap, type ShardedMap } from '../sharded-map.js';
import { itemsPerStep, linksPerStep } from '../steps.js';
import type { NamedText, ReportFatal, YamlNode } from './yaml-document.js';
import { readYamlInSteps } from './yaml-document.js';

export interface StoredEntity {
  readonly type: string;
  readonly id: string;
  readonly attributes: JsonObject;
}

/** The result of `find` if a request names no type and entities of several types have its id. */
export const ambiguousEntity: unique symbol = Symbol('ambiguous');

/** The entities of files by their names. */
class NamedEntities {
  readonly byTypeAndId = new Map<string, StoredEntity>();
  readonly byId = new Map<string, StoredEntity | typeof ambiguousEntity>();

  constructor(readonly all: readonly StoredEntity[]) {
    for (const entity of all) {
      this.byTypeAndId.set(entityKey(entity), entity);
      this.byId.set(entity.id, this.byId.has(entity.id) ? ambiguousEntity : entity);
    }
  }
}

/** The entities of files, and those of live data. No type has entities in both. */
export class EntityStore implements Iterable<StoredEntity> {
  private constructor(
    private readonly ofFiles: NamedEntities,
    readonly live: LiveEntities,
  ) {}

  static of(ofFiles: readonly StoredEntity[]): EntityStore {
    return new EntityStore(new NamedEntities(ofFiles), LiveEntities.none);
  }

  /** The entities of the files with these of live data. */
  withLive(live: LiveEntities): EntityStore {
    return new EntityStore(this.ofFiles, live);
  }

  /** Without a type: the only entity with that id, whatever its type. */
  find(type: string | undefined, id: string): StoredEntity | typeof ambiguousEntity | undefined {
    const { ofFiles, live } = this;
    const found = type === undefined ? ofFiles.byId.get(id) : ofFiles.byTypeAndId.get(entityKey({ type, id }));
    if (live.size === 0) return found;
    if (type !== undefined) return found ?? live.find(type, id);
    const [one, ...others] = live.named(id);
    if (one === undefined) return found;
    return found === undefined && others.length === 0 ? one : ambiguousEntity;
  }

  get size(): number {
    return this.ofFiles.all.length + this.live.size;
  }

  /** Those of files in their order, then those of live data in no certain one. */
  *[Symbol.iterator](): Generator<StoredEntity> {
    yield* this.ofFiles.all;
    yield* this.live;
  }
}

/** The entities of live data. It is never changed: a change makes other ones, which share most with these. */
export class LiveEntities implements Iterable<StoredEntity> {
  static readonly none = new LiveEntities(emptyMap(), emptyMap());

  private constructor(
    private readonly byTypeAndId: ShardedMap<StoredEntity>,
    private readonly byId: ShardedMap<readonly StoredEntity[]>,
  ) {}

  find(type: string, id: string): StoredEntity | undefined {
    return this.byTypeAndId.get(entityKey({ type, id }));
  }

  /** Those with this id, whatever their types. */
  named(id: string): readonly StoredEntity[] {
    return this.byId.get(id) ?? [];
  }

  get size(): number {
    return this.byTypeAndId.size;
  }

  [Symbol.iterator](): Iterator<StoredEntity> {
    return this.byTypeAndId.values();
  }

  /** These entities without some, then with others: what is added is not there by then. */
  *changed(removed: Iterable<StoredEntity>, added: Iterable<StoredEntity>): Generator<void, LiveEntities> {
    const [byTypeAndId, byId] = [this.byTypeAndId.edit(), this.byId.edit()];
    let done = 0;
    for (const entity of removed) {
      if (++done % linksPerStep === 0) yield;
      byTypeAndId.delete(entityKey(entity));
      const others = (byId.get(entity.id) ?? []).filter(({ type }) => type !== entity.type);
      if (others.length === 0) byId.delete(entity.id);
      else byId.set(entity.id, others);
    }
    for (const entity of added) {
      if (++done % linksPerStep === 0) yield;
      byTypeAndId.set(entityKey(entity), entity);
      byId.set(entity.id, [...(byId.get(entity.id) ?? []), entity]);
    }
    return new LiveEntities(byTypeAndId.done(), byId.done());
  }
}

const noTypes: ReadonlySet<string> = new Set();

export const noEntities = EntityStore.of([]);

/** The key begins with a length, so that no two pairs of type and id share it. */
function entityKey({ type, id }: Pick<StoredEntity, 'type' | 'id'>): string {
  return `${type.length}:${type}${id}`;
}

/**
 * Reads the list. A wrong entity is reported and left out, and the set does not load.
 *
 * @param ofData types whose entities are live data, which no file may have
 */
export function* readEntities(
  source: NamedText,
  report: ReportFatal,
  semantics?: Semantics,
  ofData: ReadonlySet<string> = noTypes,
): Generator<void, EntityStore> {
  const items = (yield* readYamlInSteps(source, report, semantics))?.items('the list of entities') ?? [];
  const entities: StoredEntity[] = [];
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    if (index % itemsPerStep === 0) yield;
    const entity = readEntity(item);
    if (entity === undefined) continue;
    const key = entityKey(entity);
    if (ofData.has(entity.type)) {
      const message = `the manifest says that each ${cut(entity.type)} is live data, so no file may have one`;
      item.refuse('data_owned_type', message);
    }
    if (seen.has(key)) item.refuse('duplicate_entity', `there is a ${cut(entity.type)} ${quote(entity.id)} already`);
    seen.add(key);
    entities.push(entity);
  }
  return EntityStore.of(entities);
}

/** Reads an item of the list; undefined where it is wrong, which is reported. */
export function readEntity(node: YamlNode): StoredEntity | undefined {
  const members = node.knownMembers('an entity', ['type', 'id', 'attributes']);
  if (members === undefined) return undefined;
  if (members.type === undefined) return node.refuse('missing_value', 'an entity needs a type');
  if (members.id === undefined) return node.refuse('missing_value', 'an entity needs an id');
  const type = members.type.name("an entity's type");
  const id = members.id.name("an entity's id");
  if (type === undefined || id === undefined) return undefined;
  if (members.attributes === undefined) return { type, id, attributes: {} };
  if (members.attributes.members("an entity's attributes") === undefined) return undefined;
  return { type, id, attributes: members.attributes.json() as JsonObject };
}
