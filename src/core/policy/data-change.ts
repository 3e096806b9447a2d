/** Reads a change of live data and checks it as the files of a set are checked: all of it is right, or nothing is done. */

import { closest } from '../closest.js';
import type { LinkChanges, LiveDataChange, RoleTuple } from '../data/live-data.js';
import { pointerToRounded } from '../exact-json.js';
import { pointerStep } from '../json-pointer.js';
import type { StoredEntity } from '../manifest/entities.js';
import { canonical } from '../manifest/schema-checking.js';
import { maxNesting } from '../manifest/yaml-document.js';
import { isObject } from '../matcher/values.js';
import { faultInName } from '../names.js';
import { cut, quote, spellUnseen } from '../quote.js';
import type { Json, JsonObject } from '../request.js';
import type { LinkChange } from '../roles/live-links.js';
import { linksPerStep } from '../steps.js';
import { entityCheck, type StoredAttributeFault } from './check-attributes.js';
import { isCombination } from './combination.js';
import type { CompiledPolicySet } from './compile.js';

/** Entities by their names, as a change removes them. */
export interface EntityName {
  readonly type: string;
  readonly id: string;
}

/** An entity as a change adds it. */
export interface NewEntity extends EntityName {
  readonly attributes?: JsonObject;
}

/** Role links and entities of live data. */
export interface LiveEntries {
  readonly roles?: Iterable<RoleTuple>;
  readonly entities?: Iterable<NewEntity>;
}

/**
 * A change of live data. What it removes is removed first: an entity gets other attributes by being removed and added in
 * one change. It changes nothing to add what is there, or to remove what is not.
 */
export interface DataChange {
  readonly add?: LiveEntries;
  readonly remove?: { readonly roles?: Iterable<RoleTuple>; readonly entities?: Iterable<EntityName> };
}

/** What is wrong with a change, and where. */
export interface DataProblem {
  /** Stable, in snake case; documented in `docs/problems.md`. */
  readonly code: string;
  readonly message: string;
  /** JSON pointer into the change: `/add/roles/3/1`. */
  readonly pointer: string;
  readonly hint?: string;
}

/** Thrown for a change that cannot be made; `problems` holds every problem found, in the order of the change. */
export class DataError extends Error {
  override readonly name = 'DataError';

  constructor(readonly problems: readonly DataProblem[]) {
    const [first] = problems;
    const rest = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    super(
      first === undefined ? 'the change is invalid' : `${spellUnseen(`${first.pointer}: ${first.message}`)}${rest}`,
    );
  }
}

/** A change that was read. */
export interface ReadChange extends LiveDataChange {
  /** Number of links and entities that are new and that are gone. */
  readonly added: number;
  readonly removed: number;
  /**
   * Where the change speaks of a link, for problems that are found later. A name that is undefined stands for any; a link
   * that is added is found before one that is removed.
   */
  pointerOf(definition: string, child: string | undefined, parent: string | undefined): string;
}

/** @param isTrusted true for a change that was checked where it was made: then only its form is read */
export function* readChange(
  set: CompiledPolicySet,
  change: DataChange,
  report: (problem: DataProblem) => void,
  isTrusted: boolean,
): Generator<void, ReadChange> {
  const reader = new ChangeReader(set, report, isTrusted);
  const { add, remove } = reader.members(change, '', ['add', 'remove']);
  const [added, removed] = [
    reader.members(add === undefined ? {} : add, '/add', ['roles', 'entities']),
    reader.members(remove === undefined ? {} : remove, '/remove', ['roles', 'entities']),
  ];
  yield* reader.each(removed.roles, '/remove/roles', (item, place) => reader.removeLink(item, place));
  yield* reader.each(removed.entities, '/remove/entities', (item, place) => reader.removeEntity(item, place));
  yield* reader.each(added.roles, '/add/roles', (item, place) => reader.addLink(item, place));
  yield* reader.each(added.entities, '/add/entities', (item, place) => reader.addEntity(item, place));
  return yield* reader.result();
}

/** Where an item stands, whose pointer is put together only for a problem. */
interface ItemPlace {
  /** Pointer to its list. */
  readonly list: string;
  readonly at: number;
}

const pointerTo = ({ list, at }: ItemPlace): string => `${list}/${at}`;

/** A link that the change names, there or not before it and after it. */
interface NamedLink extends ItemPlace {
  readonly parent: string;
  readonly before: boolean;
  after: boolean;
  /** Where it was named last. */
  list: string;
  at: number;
}

/** The links of one name that the change names. */
interface NamedChild {
  readonly domain: string;
  readonly child: string;
  /** Most names have one or two in a change. */
  readonly links: NamedLink[];
  /** By parent; made when there are many. */
  byParent: Map<string, NamedLink> | undefined;
}

/** Links of one name that are looked through one by one. */
const fewLinks = 16;

interface NamedEntityOfChange {
  readonly before: StoredEntity | undefined;
  after: StoredEntity | undefined;
}

class ChangeReader {
  /** By definition, by domain, by child. */
  private readonly links = new Map<string, Map<string, Map<string, NamedChild>>>();
  private readonly entities = new Map<string, NamedEntityOfChange>();
  private readonly faultsOf: (entity: StoredEntity) => readonly StoredAttributeFault[];
  private readonly readsTenants: boolean;

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly report: (problem: DataProblem) => void,
    private readonly isTrusted: boolean,
  ) {
    const { main, schema } = set;
    this.faultsOf = isTrusted || schema.types.size === 0 ? () => [] : entityCheck(schema);
    this.readsTenants =
      isCombination(main) && main.tokens.some(({ role, line }) => role === 'domain' && line === undefined);
  }

  members(value: unknown, pointer: string, known: readonly string[]): Record<string, unknown> {
    if (!isMapping(value)) {
      this.refuse('wrong_type', `${pointer === '' ? 'a change' : quote(pointer.slice(1))} must be an object`, pointer);
      return {};
    }
    for (const name of Object.keys(value)) {
      if (known.includes(name)) continue;
      const meant = closest(name, known);
      const hint = meant === undefined ? `it may have ${known.join(', ')}` : `did you mean ${quote(meant)}?`;
      this.refuse('unknown_key', `there is no ${quote(name)} here`, `${pointer}/${pointerStep(name)}`, hint);
    }
    return value;
  }

  *each(list: unknown, pointer: string, read: (item: unknown, place: ItemPlace) => void): Generator<void> {
    if (list === undefined) return;
    if (typeof list !== 'object' || list === null || !(Symbol.iterator in list)) {
      this.refuse('wrong_type', `${quote(pointer.slice(1))} must be a list`, pointer);
      return;
    }
    const perStep = pointer.endsWith('/roles') ? linksPerStep : 1;
    let at = 0;
    for (const item of list as Iterable<unknown>) {
      read(item, { list: pointer, at });
      if (++at % perStep === 0) yield;
    }
  }

  addLink(item: unknown, place: ItemPlace): void {
    const tuple = this.readLink(item, place);
    if (tuple === undefined || !this.isOwned(tuple[0], place)) return;
    const link = this.linkOf(tuple, place);
    link.after = true;
    link.list = place.list;
    link.at = place.at;
  }

  removeLink(item: unknown, place: ItemPlace): void {
    const tuple = this.readLink(item, place);
    if (tuple === undefined) return;
    const [definition, child, parent, domain = ''] = tuple;
    if (!this.isTrusted && this.set.roles.get(definition)?.isInFiles(domain, child, parent) === true) {
      const message = `a file has the link ${describeLink(tuple)}`;
      this.refuse('defined_in_files', message, pointerTo(place), 'take it out of the file');
      return;
    }
    if (!this.isOwned(definition, place)) return;
    const link = this.linkOf(tuple, place);
    link.after = false;
    link.list = place.list;
    link.at = place.at;
  }

  addEntity(item: unknown, place: ItemPlace): void {
    const pointer = pointerTo(place);
    const members = this.members(item, pointer, ['type', 'id', 'attributes']);
    const name = this.readName(members, pointer);
    const attributes = this.readAttributes(members.attributes, `${pointer}/attributes`);
    if (name === undefined || attributes === undefined || !this.isOwnedType(name, pointer)) return;
    const entity: StoredEntity = Object.freeze({ ...name, attributes });
    const entry = this.entityNamed(name);
    if (entry.after !== undefined && canonical(entry.after.attributes) !== canonical(attributes)) {
      const message = `there is a ${cut(name.type)} ${quote(name.id)} already, with other attributes`;
      this.refuse('conflict', message, pointer, 'remove it in the same change to give it others');
      return;
    }
    this.checkAttributes(entity, `${pointer}/attributes`);
    entry.after ??= entity;
  }

  removeEntity(item: unknown, place: ItemPlace): void {
    const pointer = pointerTo(place);
    const name = this.readName(this.members(item, pointer, ['type', 'id']), pointer);
    if (name === undefined) return;
    const isLive = this.set.entities.live.find(name.type, name.id) !== undefined;
    if (!this.isTrusted && !isLive && this.set.entities.find(name.type, name.id) !== undefined) {
      const message = `a file has the ${cut(name.type)} ${quote(name.id)}`;
      this.refuse('defined_in_files', message, pointer, 'take it out of the file');
      return;
    }
    if (this.isOwnedType(name, pointer)) this.entityNamed(name).after = undefined;
  }

  /** What the change does; it means nothing if problems were reported. */
  *result(): Generator<void, ReadChange> {
    const links = new Map<string, LinkChanges>();
    const entities: { removed: StoredEntity[]; added: StoredEntity[] } = { removed: [], added: [] };
    let [added, removed, done] = [0, 0, 0];
    for (const [definition, domains] of this.links) {
      const changes: LinkChange[] = [];
      for (const children of domains.values()) {
        for (const { domain, child, links: named } of children.values()) {
          if (++done % linksPerStep === 0) yield;
          const come = named.filter(({ before, after }) => after && !before).map(({ parent }) => parent);
          const gone = named.filter(({ before, after }) => before && !after).map(({ parent }) => parent);
          if (come.length + gone.length > 0) changes.push({ domain, child, added: come, removed: gone });
          added += come.length;
          removed += gone.length;
        }
      }
      const hasDomain = this.set.model.roles.get(definition)?.hasDomain === true;
      if (changes.length > 0) links.set(definition, { hasDomain, changes });
    }
    for (const { before, after } of this.entities.values()) {
      yield;
      if (before !== undefined && after !== undefined && canonical(before.attributes) === canonical(after.attributes))
        continue;
      if (before !== undefined) entities.removed.push(before);
      if (after !== undefined) entities.added.push(after);
    }
    return {
      links,
      entities,
      added: added + entities.added.length,
      removed: removed + entities.removed.length,
      pointerOf: (definition, child, parent) => this.pointerOf(definition, child, parent),
    };
  }

  private pointerOf(definition: string, child: string | undefined, parent: string | undefined): string {
    const domains = [...(this.links.get(definition)?.values() ?? [])];
    const children = domains.flatMap((ofDomain) => [...ofDomain.values()]);
    const named = children.flatMap((each) => (each.child === (child ?? each.child) ? each.links : []));
    const changed = named.filter((link) => link.parent === (parent ?? link.parent) && link.before !== link.after);
    const found = changed.find(({ after }) => after) ?? changed[0];
    return found === undefined ? '' : pointerTo(found);
  }

  /** A link of the form that its definition wants. */
  private readLink(item: unknown, place: ItemPlace): LinkTuple | undefined {
    const refuse = (code: string, message: string, column?: number, hint?: string): undefined => {
      const pointer = pointerTo(place);
      return this.refuse(code, message, column === undefined ? pointer : `${pointer}/${column}`, hint);
    };
    if (!Array.isArray(item)) return refuse('wrong_type', 'a link must be a list such as ["g", "ana", "editor"]');
    const wrong = item.findIndex((column) => typeof column !== 'string');
    if (wrong >= 0) return refuse('wrong_type', 'each column of a link must be a text', wrong);
    const [key = ''] = item as string[];
    const definition = this.set.model.roles.get(key);
    if (definition === undefined) {
      const meant = closest(key, this.set.model.roles.keys());
      const hint = meant === undefined ? undefined : `did you mean ${quote(meant)}?`;
      return refuse('unknown_definition', `the model defines no ${quote(key)}`, 0, hint);
    }
    const wanted = definition.hasDomain ? 3 : 2;
    if (item.length !== wanted + 1) {
      const columns = ['name', 'role', 'domain'].slice(0, wanted).join(', ');
      const message = `a link of ${cut(key)} is [${quote(key)}, ${columns}], not ${item.length} texts`;
      return refuse('wrong_field_count', message);
    }
    const isFaulty = (column: string): boolean => !plainName.test(column) && faultInName(column) !== undefined;
    const faulty = (item as string[]).findIndex(isFaulty);
    if (faulty < 0) return item as unknown as LinkTuple;
    return refuse('control_character', `the name holds ${faultInName(item[faulty] as string)}`, faulty);
  }

  private linkOf([definition, child, parent, domain = '']: LinkTuple, { list, at }: ItemPlace): NamedLink {
    const domains = getOrMake(this.links, definition, newMap<Map<string, NamedChild>>);
    const children = getOrMake(domains, domain, newMap<NamedChild>);
    const named = getOrMake(children, child, () => ({ domain, child, links: [], byParent: undefined }));
    if (named.links.length > fewLinks) named.byParent ??= new Map(named.links.map((link) => [link.parent, link]));
    const { links, byParent } = named;
    const known = byParent === undefined ? links.find((link) => link.parent === parent) : byParent.get(parent);
    if (known !== undefined) return known;
    const before = this.set.roles.get(definition)?.liveLinks.has(domain, child, parent) === true;
    const link = { parent, before, after: before, list, at };
    links.push(link);
    byParent?.set(parent, link);
    return link;
  }

  private entityNamed({ type, id }: EntityName): NamedEntityOfChange {
    const key = `${type.length}:${type}${id}`;
    let entity = this.entities.get(key);
    if (entity === undefined) {
      const before = this.set.entities.live.find(type, id);
      entity = { before, after: before };
      this.entities.set(key, entity);
    }
    return entity;
  }

  private readName({ type, id }: Record<string, unknown>, pointer: string): EntityName | undefined {
    let isSound = true;
    for (const [member, value] of [
      ['type', type],
      ['id', id],
    ] as const) {
      const fault = typeof value === 'string' ? faultInName(value) : undefined;
      if (typeof value === 'string' && fault === undefined) continue;
      isSound = false;
      if (value === undefined) this.refuse('missing_value', `an entity needs its ${member}`, pointer);
      else if (fault === undefined) this.refuse('wrong_type', `the ${member} must be a text`, `${pointer}/${member}`);
      else this.refuse('control_character', `the ${member} holds ${fault}`, `${pointer}/${member}`);
    }
    return isSound ? { type: type as string, id: id as string } : undefined;
  }

  private readAttributes(value: unknown, pointer: string): JsonObject | undefined {
    if (value === undefined) return noAttributes;
    if (!isMapping(value)) return this.refuse('wrong_type', 'the attributes must be an object', pointer);
    const copy = frozenCopy(value, maxNesting);
    if (copy === undefined) {
      const message = `attributes are values of JSON, nested in ${maxNesting} levels at most`;
      return this.refuse('wrong_type', message, pointer);
    }
    const inexact = pointerToRounded(copy);
    if (inexact === undefined) return copy as JsonObject;
    return this.refuse('unsafe_number', 'no double holds the number exactly', `${pointer}${inexact}`);
  }

  private checkAttributes(entity: StoredEntity, pointer: string): void {
    for (const { path, ...fault } of this.faultsOf(entity)) {
      this.check({ ...fault, pointer: [pointer, ...path.map(pointerStep)].join('/') });
    }
    const { tenant } = entity.attributes;
    const fault = this.readsTenants && typeof tenant === 'string' ? faultInName(tenant) : undefined;
    if (fault !== undefined) {
      this.check({ code: 'control_character', message: `the tenant holds ${fault}`, pointer: `${pointer}/tenant` });
    }
  }

  /** What the manifest makes a warning of in a file does not stop a change either. */
  private check(problem: DataProblem): void {
    if (!this.isTrusted && !this.set.manifest.downgraded.has(problem.code)) this.report(problem);
  }

  private isOwned(definition: string, place: ItemPlace): boolean {
    if (this.set.manifest.data?.roles.has(definition) === true) return true;
    const message = `the links of ${cut(definition)} are no live data: data.roles in policy-set.yaml does not name it`;
    this.refuse('not_live_data', message, `${pointerTo(place)}/0`);
    return false;
  }

  private isOwnedType({ type }: EntityName, pointer: string): boolean {
    if (this.set.manifest.data?.entities.has(type) === true) return true;
    const message = `a ${cut(type)} is no live data: data.entities in policy-set.yaml does not name the type`;
    this.refuse('not_live_data', message, `${pointer}/type`);
    return false;
  }

  private refuse(code: string, message: string, pointer: string, hint?: string): undefined {
    this.report({ code, message, pointer, ...(hint !== undefined && { hint }) });
  }
}

function newMap<Value>(): Map<string, Value> {
  return new Map();
}

function getOrMake<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/** Definition, name, role, and the domain where the definition has one. */
type LinkTuple = readonly [definition: string, child: string, parent: string, domain?: string];

const noAttributes: JsonObject = Object.freeze({});
/** Most names are: they need no further look. */
const plainName = /^[\x20-\x7e]*$/;

function describeLink([definition, child, parent, domain]: LinkTuple): string {
  const where = domain === undefined ? '' : ` in ${quote(domain)}`;
  return `${cut(definition)} ${quote(child)} -> ${quote(parent)}${where}`;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A copy that no caller can change; undefined if it is not JSON, or nested too deeply. */
function frozenCopy(value: unknown, levels: number): Json | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return value;
  }
  if (typeof value !== 'object' || levels === 0) return undefined;
  if (Array.isArray(value)) {
    const items: Json[] = [];
    for (const item of value) {
      const copy = frozenCopy(item, levels - 1);
      if (copy === undefined) return undefined;
      items.push(copy);
    }
    return Object.freeze(items) as Json;
  }
  if (!isObject(value as Json)) return undefined;
  const members: JsonObject = {};
  for (const [name, member] of Object.entries(value)) {
    const copy = frozenCopy(member, levels - 1);
    if (copy === undefined) return undefined;
    // `__proto__` is an attribute like any other.
    Object.defineProperty(members, name, { value: copy, enumerable: true });
  }
  return Object.freeze(members);
}
