/**
 * The subjects, resources, actions and contexts of a set: its stored entities, the names that its rules compare with the
 * request, and witnesses, which stand for all names that nothing speaks of. docs/analysis.md says what they cover.
 */

import type { EntityStore } from '../manifest/entities.js';
import { changeOfToken } from '../policy/binding-change.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Entity, JsonObject } from '../request.js';
import { type Named, type NamedEntity, namesInSteps } from '../search/names.js';
import { isPlainText } from '../search/names-in-pattern.js';
import { finish, itemsPerStep } from '../steps.js';
import { asksForAttributes, collectNames, NameGroup, type NameGroups } from './name-group.js';
import { type WitnessesOfGroup, witnessesOf } from './witnesses.js';

export interface Universe {
  readonly subjects: readonly Entity[];
  readonly resources: readonly Entity[];
  readonly actions: readonly string[];
  /** Attributes of the request: tenants, and others that tokens are bound to. It has at least the empty context. */
  readonly contexts: readonly JsonObject[];
  /** What the sets can mean beyond these, one sentence each. */
  readonly limits: readonly string[];
  /** How many names were left out since they are names of roles. */
  readonly rolesLeftOut: number;
  /** Which of these are witnesses, by their members: `{ id: 'any other' }`. */
  readonly witnesses: Witnesses;
  readonly groups: NameGroups;
  /** The names that are listed, by their member, `subject.id`: no witness of it is one of them. */
  readonly listed: ReadonlyMap<string, ReadonlySet<string>>;
}

/** By the very objects of the universe. */
export interface Witnesses {
  readonly entities: ReadonlyMap<Entity, WitnessedEntity>;
  readonly actions: ReadonlyMap<string, string>;
  readonly contexts: ReadonlyMap<JsonObject, Readonly<Record<string, string>>>;
  readonly samples: Samples;
}

/** Names that are shown as they are, and of which nothing is said that is not true of all names of their region. */
export interface Samples {
  readonly entities: ReadonlyMap<Entity, readonly ('id' | 'type')[]>;
  readonly actions: ReadonlySet<string>;
  readonly contexts: ReadonlyMap<JsonObject, readonly string[]>;
}

/** Whom a witness stands for, in words, by the members that are one. */
export interface WitnessedEntity {
  readonly type?: string;
  readonly id?: string;
}

/** The id if no rule reads it: any entity of its type. */
export const anyId = '*';
const any = 'any';

/** Most contexts, which are combinations of values. Attributes that would make more stay open. */
const maxContexts = 1_000;

/** Most subjects, and most resources, that types and ids from different places are combined to. */
const maxCombined = 10_000;

export function universeOf(sets: readonly CompiledPolicySet[]): Universe {
  return finish(universeInSteps(sets));
}

/** The universe of a set, or of two that are compared. */
export function* universeInSteps(sets: readonly CompiledPolicySet[]): Generator<void, Universe> {
  const found = new Found();
  const isStored = ({ type, id }: NamedEntity): boolean =>
    id !== undefined && sets.some(({ entities }) => entities.find(type, id) !== undefined);
  for (const set of sets) if (isCombination(set.main)) yield* readSet(set, set.main, found);
  const [asking, asked] = [typesNamed('subject', found), typesNamed('resource', found)];
  for (const type of found.deniedTypes) {
    found.types.subject.set(type, undefined);
    found.types.resource.set(type, undefined);
  }
  yield* findWitnesses(found, isStored);
  for (const part of ['subject', 'resource'] as const) combine(part, found);
  for (const { entities } of sets) yield* addEntities(entities, found, asking, asked);
  const { contexts, witnesses, samples } = contextsOf(found);
  return {
    subjects: sortEntities(found.subjects),
    resources: sortEntities(found.resources),
    actions: [...found.actions].sort(),
    contexts,
    limits: [...found.limits],
    rolesLeftOut: found.rolesLeftOut(),
    witnesses: {
      entities: found.entityWitnesses,
      actions: found.actionWitnesses,
      contexts: witnesses,
      samples: { entities: found.entitySamples, actions: found.samplesOf('action.name'), contexts: samples },
    },
    groups: found.groups,
    listed: found.listed,
  };
}

type EntityPart = 'subject' | 'resource';
type IsStored = (entity: NamedEntity) => boolean;

const noNames: ReadonlySet<string> = new Set();
const never = (): boolean => false;

class Found {
  readonly groups = new Map<string, NameGroup>();
  readonly subjects = new Map<string, Entity>();
  readonly resources = new Map<string, Entity>();
  readonly actions = new Set<string>();
  readonly attributes = new Map<string, Set<string>>();
  /** Names that stand for their region, by their member, `subject.id`. */
  readonly samples = new Map<string, ReadonlySet<string>>();
  readonly entitySamples = new Map<Entity, readonly ('id' | 'type')[]>();
  /** Types and ids that are combined, with what they stand for if they are witnesses. */
  readonly types: Record<EntityPart, Map<string, string | undefined>> = { subject: new Map(), resource: new Map() };
  readonly ids: Record<EntityPart, Map<string, string | undefined>> = { subject: new Map(), resource: new Map() };
  readonly entityWitnesses = new Map<Entity, WitnessedEntity>();
  readonly actionWitnesses = new Map<string, string>();
  readonly attributeWitnesses = new Map<string, Map<string, string>>();
  readonly limits = new Set<string>();
  readsAttributes = false;
  /** Of them unknown entities are denied, so that they differ from others whose type no rule asks for. */
  readonly deniedTypes = new Set<string>();
  readonly listed = new Map<string, ReadonlySet<string>>();

  /** Names of roles by their part; another column or a stored entity may have the same name. */
  readonly roles: Record<EntityPart, Map<string, Entity>> = { subject: new Map(), resource: new Map() };

  rolesLeftOut(): number {
    let count = 0;
    for (const part of ['subject', 'resource'] as const) {
      for (const [key, { type, id }] of this.roles[part]) {
        if (!this.of(part).has(key) && !(type === undefined && this.ids[part].has(id))) count++;
      }
    }
    return count;
  }

  samplesOf(member: string): ReadonlySet<string> {
    return this.samples.get(member) ?? noNames;
  }

  of(part: EntityPart): Map<string, Entity> {
    return part === 'subject' ? this.subjects : this.resources;
  }

  /** Members that are only compared as they are, or put into templates. */
  group(member: string): NameGroup | undefined {
    return this.groups.get(member);
  }

  templatesOf(part: string): readonly NameGroup[] {
    return [...this.groups.values()].filter(
      ({ template, members }) => template !== undefined && members.some((member) => member.startsWith(`${part}.`)),
    );
  }
}

function* readSet(set: CompiledPolicySet, main: Combination, found: Found): Generator<void> {
  found.readsAttributes ||= asksForAttributes(main);
  if (set.manifest.engine === 'casbin')
    found.limits.add('stock_engine: the set runs on stock Casbin, which may answer otherwise');
  yield* collectNames(set, main, found.groups);
  yield* namesInSteps(set, undefined, (named, { kind, isPattern }, isRole) => {
    if (kind === 'entity') return;
    if (isRole) return noteRole(named, found);
    addNamed(isPattern ? plainPartOf(named) : named, found);
  });
  const denied = set.manifest.unknownDenied;
  const deniedTypes = denied === 'stored_types' ? Array.from(set.entities, ({ type }) => type) : (denied ?? []);
  for (const type of deniedTypes) found.deniedTypes.add(type);
  if (main.tokens.some(({ role, line, readAsValue }) => role === 'domain' && line === undefined && readAsValue)) {
    let visited = 0;
    for (const { attributes } of set.entities) {
      if (++visited % itemsPerStep === 0) yield;
      const tenant = attributes?.tenant;
      if (typeof tenant === 'string') addAttribute('tenant', tenant, found);
    }
  }
}

function noteRole(named: Named, found: Found): void {
  for (const part of ['subject', 'resource'] as const) {
    const { type, id } = named[part] ?? {};
    const entity = id === undefined ? undefined : { ...(type !== undefined && { type }), id };
    if (entity !== undefined) found.roles[part].set(keyOf(entity), entity);
  }
}

/** What a pattern such as `production/*` names all the same: the environment that it reads back to. */
function plainPartOf({ subject, resource, action, attributes }: Named): Named {
  const plain = (text: string | undefined): boolean => text === undefined || isPlainText(text);
  const entity = (some: NamedEntity | undefined) => (plain(some?.type) && plain(some?.id) ? some : undefined);
  return {
    subject: entity(subject),
    resource: entity(resource),
    action: plain(action) ? action : undefined,
    attributes: attributes && new Map([...attributes].filter(([, value]) => plain(value))),
  };
}

function addNamed({ subject, resource, action, attributes }: Named, found: Found): void {
  if (subject !== undefined) addNamedEntity('subject', subject, found);
  if (resource !== undefined) addNamedEntity('resource', resource, found);
  if (action !== undefined) found.actions.add(action);
  for (const [name, value] of attributes ?? []) addAttribute(name, value, found);
}

function addAttribute(name: string, value: string, found: Found): void {
  const values = found.attributes.get(name) ?? new Set();
  found.attributes.set(name, values.add(value));
}

function addNamedEntity(part: EntityPart, { type, id }: NamedEntity, found: Found): void {
  if (type !== undefined && id !== undefined) addEntity(part, { type, id }, found);
  else if (id !== undefined) found.ids[part].set(id, undefined);
  else if (type !== undefined) found.types[part].set(type, undefined);
}

function addEntity(part: EntityPart, entity: Entity, found: Found): Entity {
  const known = found.of(part).get(keyOf(entity));
  if (known !== undefined) return known;
  found.of(part).set(keyOf(entity), entity);
  return entity;
}

/** Adds witnesses of what is compared with members and with templates. */
function* findWitnesses(found: Found, isStored: IsStored): Generator<void> {
  for (const part of ['subject', 'resource'] as const) {
    const templates = found.templatesOf(part);
    const [template] = templates;
    const members = [found.group(`${part}.id`), found.group(`${part}.type`)];
    const isAlone = templates.length === 1 && members.every((group) => group === undefined);
    if (template !== undefined && isAlone && template.members.every((member) => member.startsWith(`${part}.`))) {
      yield* addWitnessesOfTemplate(part, template, found, isStored);
    } else {
      yield* addWitnessesOfMembers(part, templates, found, isStored);
    }
  }
  found.listed.set('action.name', new Set(found.actions));
  const action = found.group('action.name') ?? new NameGroup('action.name', ['action.name'], undefined);
  const inTemplates = found.templatesOf('action');
  const isRead = found.groups.has('action.name') || inTemplates.length > 0;
  const { witnesses, samples } = yield* ownWitnesses(action, found.actions, inTemplates, never);
  found.samples.set('action.name', new Set(samples));
  for (const { text, standsFor } of witnesses) {
    found.actions.add(text);
    found.actionWitnesses.set(text, isRead ? standsFor : any);
  }
  for (const [name, values] of found.attributes) {
    const member = `attributes.${name}`;
    found.listed.set(member, new Set(values));
    const group = found.group(member) ?? new NameGroup(member, [member], undefined);
    const { witnesses, samples } = yield* ownWitnesses(group, values, found.templatesOf('attributes'), never);
    found.samples.set(member, new Set(samples));
    found.attributeWitnesses.set(name, new Map(witnesses.map(({ text, standsFor }) => [text, standsFor])));
    for (const { text } of witnesses) values.add(text);
  }
}

/** Witnesses of a member. They differ from the names that stand anywhere else for it, as a part of a template. */
function* ownWitnesses(
  group: NameGroup,
  names: Iterable<string>,
  templates: readonly NameGroup[],
  standsForItself: (name: string) => boolean,
): Generator<void, WitnessesOfGroup> {
  if (templates.length === 0) return yield* witnessesOf(group, names, standsForItself);
  // What a template puts together may be compared with a pattern: of those, a witness of its part says nothing.
  const apart = new NameGroup(group.key, group.members, undefined);
  for (const text of group.texts) apart.texts.add(text);
  for (const name of names) apart.texts.add(name);
  for (const [id, pattern] of group.patterns) apart.patterns.set(id, pattern);
  const witnesses = yield* witnessesOf(apart, [], standsForItself);
  for (const id of apart.cut) group.cut.add(id);
  return witnesses;
}

function* addWitnessesOfTemplate(
  part: EntityPart,
  group: NameGroup,
  found: Found,
  isStored: IsStored,
): Generator<void> {
  const entityOf = (text: string): NamedEntity => {
    const changes = group.template === undefined ? undefined : changeOfToken(group.template, text);
    const valueAt = (member: string): string | undefined => {
      const to = changes?.find(({ path }) => path === `/${part}/${member}`)?.to;
      return typeof to === 'string' ? to : undefined;
    };
    return { type: valueAt('type'), id: valueAt('id') };
  };
  const { witnesses, samples } = yield* witnessesOf(group, [], (name) => isStored(entityOf(name)));
  for (const name of samples) {
    const { type, id } = entityOf(name);
    const entity = found.of(part).get(keyOf({ ...(type !== undefined && { type }), id: id ?? anyId }));
    if (entity === undefined) continue;
    found.entitySamples.set(entity, [...(type === undefined ? [] : ['type' as const]), 'id']);
  }
  for (const { text, standsFor } of witnesses) {
    const { type, id } = entityOf(text);
    const own = { ...(type !== undefined && { type }), id: id ?? anyId };
    if (found.of(part).has(keyOf(own))) continue;
    const entity = addEntity(part, own, found);
    const witnessed = { ...(type !== undefined && { type: standsFor }), id: id === undefined ? any : standsFor };
    found.entityWitnesses.set(entity, witnessed);
  }
}

function* addWitnessesOfMembers(
  part: EntityPart,
  templates: readonly NameGroup[],
  found: Found,
  isStored: IsStored,
): Generator<void> {
  const [ids, types] = [found.ids[part], found.types[part]];
  for (const { type, id } of found.of(part).values()) {
    // Those of templates: their parts may come together with others.
    if (!ids.has(id)) ids.set(id, undefined);
    if (type !== undefined && !types.has(type)) types.set(type, undefined);
  }
  const isInTemplate = (member: string): boolean => templates.some(({ members }) => members.includes(member));
  for (const [member, names] of [['id', ids] as const, ['type', types] as const]) {
    const key = `${part}.${member}`;
    const group = found.group(key);
    if (group === undefined && !isInTemplate(key) && names.size === 0) continue;
    found.listed.set(key, new Set(names.keys()));
    const own = group ?? new NameGroup(key, [key], undefined);
    const standsForItself = member === 'id' ? (id: string) => isStored({ id }) : never;
    const { witnesses, samples } = yield* ownWitnesses(own, names.keys(), templates, standsForItself);
    found.samples.set(key, new Set(samples));
    for (const { text, standsFor } of witnesses) names.set(text, standsFor);
  }
}

/** Where types and ids are compared apart, each of the types may have each of the ids. */
function combine(part: EntityPart, found: Found): void {
  const [ids, types] = [found.ids[part], found.types[part]];
  const isTypeRead = types.size > 0;
  if (ids.size === 0 && (isTypeRead || found.of(part).size === 0)) {
    ids.set(anyId, any);
  }
  const needed = Math.max(types.size, 1) * ids.size;
  if (needed > maxCombined && types.size > 1) {
    found.limits.add(`only ${maxCombined} of the possible ${part}s were tried`);
  }
  let left = Math.max(maxCombined, ids.size);
  const untyped = [undefined, undefined] as const;
  // Where types are told apart, an entity without one is another one.
  const allTypes = isTypeRead ? [...types, untyped] : [untyped];
  for (const [type, typeFor] of allTypes) {
    for (const [id, idFor] of ids) {
      if (left-- <= 0) return;
      const isNew = !found.of(part).has(keyOf(type === undefined ? { id } : { type, id }));
      const entity = addEntity(part, { ...(type !== undefined && { type }), id }, found);
      const sampled = (['id', 'type'] as const).filter((member) =>
        found.samplesOf(`${part}.${member}`).has(entity[member] ?? ''),
      );
      if (sampled.length > 0) found.entitySamples.set(entity, sampled);
      if (!isNew || (typeFor === undefined && idFor === undefined)) continue;
      found.entityWitnesses.set(entity, {
        ...(typeFor !== undefined && { type: typeFor }),
        ...(idFor !== undefined && { id: idFor }),
      });
    }
  }
}

/** Where neither ids nor attributes are read, the entity stands for all of its type. */
function addStored(part: EntityPart, entity: Entity, found: Found): void {
  addEntity(part, entity, found);
  const key = keyOf({ ...entity, id: anyId });
  const anyOfType = found.of(part).get(key);
  if (anyOfType === undefined || found.readsAttributes || found.deniedTypes.size > 0) return;
  if (found.entityWitnesses.get(anyOfType)?.id === any) found.of(part).delete(key);
}

/** The types that rules name. */
function typesNamed(part: EntityPart, found: Found): ReadonlySet<string> {
  return new Set([...found.types[part].keys(), ...[...found.of(part).values()].flatMap(({ type }) => type ?? [])]);
}

/** Stored entities ask or are asked for, by what the rules say of their type; where they say nothing, both. */
function* addEntities(
  entities: EntityStore,
  found: Found,
  asking: ReadonlySet<string>,
  asked: ReadonlySet<string>,
): Generator<void> {
  let visited = 0;
  for (const { type, id } of entities) {
    if (++visited % itemsPerStep === 0) yield;
    if (type === undefined) continue;
    const asks = asking.size > 0 ? asking.has(type) : !asked.has(type);
    const isAsked = asked.has(type) || (asked.size === 0 && !asking.has(type));
    if (asks) addStored('subject', { type, id }, found);
    if (isAsked || (!asks && !asking.has(type))) addStored('resource', { type, id }, found);
  }
  if (entities.size === 0) return;
  // A bare id means the stored entity, if there is one.
  for (const part of ['subject', 'resource'] as const) {
    const known = found.of(part);
    for (const [key, { type, id }] of known) {
      const stored = type === undefined ? entities.find(undefined, id) : undefined;
      if (typeof stored === 'object' && known.has(keyOf(stored))) known.delete(key);
    }
  }
}

function contextsOf(found: Found): {
  readonly contexts: readonly JsonObject[];
  readonly witnesses: Witnesses['contexts'];
  readonly samples: Samples['contexts'];
} {
  let contexts: JsonObject[] = [{}];
  const witnesses = new Map<JsonObject, Record<string, string>>();
  const samples = new Map<JsonObject, readonly string[]>();
  const { attributes, attributeWitnesses } = found;
  const smallestFirst = [...attributes].sort(
    ([one, { size }], [other, { size: otherSize }]) => size - otherSize || (one < other ? -1 : 1),
  );
  for (const [name, values] of smallestFirst) {
    if (contexts.length * values.size > maxContexts) break;
    contexts = contexts.flatMap((context) =>
      [...values].sort().map((value) => {
        const extended = { ...context, [name]: value };
        const standsFor = attributeWitnesses.get(name)?.get(value);
        const before = witnesses.get(context);
        if (standsFor !== undefined || before !== undefined) {
          witnesses.set(extended, { ...before, ...(standsFor !== undefined && { [name]: standsFor }) });
        }
        const sampled = [...(samples.get(context) ?? [])];
        if (found.samplesOf(`attributes.${name}`).has(value)) sampled.push(name);
        if (sampled.length > 0) samples.set(extended, sampled);
        return extended;
      }),
    );
  }
  return { contexts, witnesses, samples };
}

export function keyOf({ type, id }: Entity): string {
  return type === undefined ? `:${id}` : `${type}:${id}`;
}

function sortEntities(entities: ReadonlyMap<string, Entity>): readonly Entity[] {
  return [...entities].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entity]) => entity);
}

/** Whether a part of a question stands for more than its name. */
export function standsForOthers(
  { entities, actions, contexts, samples }: Witnesses,
  { entity, action, context }: { readonly entity?: Entity; readonly action?: string; readonly context?: JsonObject },
): boolean {
  return (
    (entity !== undefined && (entities.has(entity) || samples.entities.has(entity))) ||
    (action !== undefined && (actions.has(action) || samples.actions.has(action))) ||
    (context !== undefined && (contexts.has(context) || samples.contexts.has(context)))
  );
}
