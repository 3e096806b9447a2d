/** `entities.yaml`: known subjects and resources with their attributes, a PIP in a file. */
import { cut, quote } from '../quote.js';
import type { JsonObject } from '../request.js';
import type { Semantics } from '../semantics.js';
import { itemsPerStep } from '../steps.js';
import type { NamedText, ReportFatal, YamlNode } from './yaml-document.js';
import { readYamlInSteps } from './yaml-document.js';

export interface StoredEntity {
  readonly type: string;
  readonly id: string;
  readonly attributes: JsonObject;
}

/** The result of `find` if a request names no type and entities of several types have its id. */
export const ambiguousEntity: unique symbol = Symbol('ambiguous');

export class EntityStore {
  private readonly byTypeAndId = new Map<string, StoredEntity>();
  private readonly byId = new Map<string, StoredEntity | typeof ambiguousEntity>();

  constructor(readonly all: readonly StoredEntity[]) {
    for (const entity of all) {
      this.byTypeAndId.set(entityKey(entity.type, entity.id), entity);
      this.byId.set(entity.id, this.byId.has(entity.id) ? ambiguousEntity : entity);
    }
  }

  /** Without a type: the only entity with that id, whatever its type. */
  find(type: string | undefined, id: string): StoredEntity | typeof ambiguousEntity | undefined {
    return type === undefined ? this.byId.get(id) : this.byTypeAndId.get(entityKey(type, id));
  }

  get size(): number {
    return this.all.length;
  }
}

const noTypes: ReadonlySet<string> = new Set();

export const noEntities = new EntityStore([]);

/** The key begins with a length, so that no two pairs of type and id share it. */
function entityKey(type: string, id: string): string {
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
    const key = entityKey(entity.type, entity.id);
    if (ofData.has(entity.type)) {
      const message = `the manifest says that each ${cut(entity.type)} is live data, so no file may have one`;
      item.refuse('data_owned_type', message);
    }
    if (seen.has(key)) item.refuse('duplicate_entity', `there is a ${cut(entity.type)} ${quote(entity.id)} already`);
    seen.add(key);
    entities.push(entity);
  }
  return new EntityStore(entities);
}

function readEntity(node: YamlNode): StoredEntity | undefined {
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
