/** What the evaluation saw of a recorded request: its entities with the attributes that were stored at that time. */
import { BoundedCache } from '../core/bounded-cache.js';
import { BindingError } from '../core/policy/binding.js';
import type { RequestEntities } from '../core/policy/request-entities.js';
import type { Action, DecisionRequest, Entity, JsonObject, TokenClaims } from '../core/request.js';
import { Turns } from '../turns/turns.js';
import type { DecisionRecord, UnresolvedCause } from './decision-record.js';
import type { Expansion } from './expansion.js';
import { type Mask, maskedValue } from './mask.js';

/** A part of a request with all that is known of it. */
export interface ResolvedPart<Named> {
  readonly part: Named;
  readonly unresolved: UnresolvedCause | undefined;
  /** True if the same object is given again for the same entity. */
  readonly isKept?: true;
}

/** The entities of the version that a record names, as they may be shown. */
export interface VersionEntities {
  subjectOf(request: DecisionRequest): ResolvedPart<Entity>;
  actionOf(request: DecisionRequest): Action;
  resourceOf(request: DecisionRequest): ResolvedPart<Entity>;
  /** The top-level attributes. */
  attributesOf(request: DecisionRequest): JsonObject | undefined;
  tokensOf(request: DecisionRequest): TokenClaims | undefined;
}

/** The versions that records name. */
export abstract class RecordedVersions {
  /** A promise where the version must be loaded first. It never rejects for a version that is not there. */
  abstract entitiesFor(
    record: Pick<DecisionRecord, 'policySet' | 'policyVersion' | 'semantics'>,
  ): VersionEntities | Promise<VersionEntities>;
}

type EntityName = 'subject' | 'resource';

const nothing: DecisionRequest = Object.freeze({
  subject: Object.freeze({ id: '' }),
  action: Object.freeze({ name: '' }),
  resource: Object.freeze({ id: '' }),
});

/** The mask of one part of a request. Objects are written out: spreading takes as long as looking an entity up. */
const partMasks = {
  subject: (mask: Mask, subject: Entity): Entity =>
    mask({ subject, action: nothing.action, resource: nothing.resource }).subject,
  resource: (mask: Mask, resource: Entity): Entity =>
    mask({ subject: nothing.subject, action: nothing.action, resource }).resource,
} as const;

/**
 * The entities of one version under masks: that of the version, which its records were stored with, and that of the version
 * which serves now. Both apply to stored attributes as they do to those of requests.
 */
export class MaskedEntities implements VersionEntities {
  private readonly subjects: MaskedPart;
  private readonly resources: MaskedPart;

  /**
   * @param entities those of the version, or why they are not known
   * @param masks in any order
   */
  constructor(
    private readonly entities: RequestEntities | UnresolvedCause,
    private readonly masks: readonly Mask[],
  ) {
    this.subjects = new MaskedPart('subject', entities, masks);
    this.resources = new MaskedPart('resource', entities, masks);
  }

  /** False where the stored attributes of no entity are known. */
  get isKnown(): boolean {
    return typeof this.entities !== 'string';
  }

  /** Number of stored entities. */
  get size(): number {
    return typeof this.entities === 'string' ? 0 : this.entities.size;
  }

  subjectOf(request: DecisionRequest): ResolvedPart<Entity> {
    return this.subjects.of(request);
  }

  actionOf({ action }: DecisionRequest): Action {
    return this.masks.reduce((masked, mask) => mask({ ...nothing, action: masked }).action, action);
  }

  resourceOf(request: DecisionRequest): ResolvedPart<Entity> {
    return this.resources.of(request);
  }

  tokensOf({ tokens }: DecisionRequest): TokenClaims | undefined {
    if (tokens === undefined) return undefined;
    return this.masks.reduce<TokenClaims | undefined>(
      (masked, mask) => (masked === undefined ? undefined : mask({ ...nothing, tokens: masked }).tokens),
      tokens,
    );
  }

  attributesOf({ attributes }: DecisionRequest): JsonObject | undefined {
    if (attributes === undefined) return undefined;
    return this.masks.reduce<JsonObject | undefined>(
      (masked, mask) => (masked === undefined ? undefined : mask({ ...nothing, attributes: masked }).attributes),
      attributes,
    );
  }
}

/** Entities that are remembered of a version, twice as many at most. */
const knownParts = 2_048;

class MaskedPart {
  /** True if a mask hides the type or the id: then the entity that a record names is another one, or none. */
  private readonly isNameHidden: boolean;
  /** What is shown of entities of which a request has no attributes of its own, by type and id: most of a log's subjects. */
  private readonly known = new BoundedCache<ResolvedPart<Entity>>(knownParts);

  constructor(
    private readonly name: EntityName,
    private readonly entities: RequestEntities | UnresolvedCause,
    private readonly masks: readonly Mask[],
  ) {
    const { type, id } = this.mask({ type: 't', id: 'i' });
    this.isNameHidden = type !== 't' || id !== 'i';
  }

  of(request: DecisionRequest): ResolvedPart<Entity> {
    const entity = request[this.name];
    if (entity.attributes !== undefined) return this.resolve(entity);
    // Two entities can share a key only where names have a NUL; then they are looked up again.
    const key = entity.type === undefined ? entity.id : `${entity.type}\u0000${entity.id}`;
    let part = this.known.get(key);
    if (part === undefined || part.part.id !== entity.id) {
      part = { ...this.resolve(entity), isKept: true };
      this.known.set(key, part);
    }
    return part;
  }

  private resolve(entity: Entity): ResolvedPart<Entity> {
    const { entities, name } = this;
    if (typeof entities === 'string') return { part: this.mask(entity), unresolved: entities };
    if (this.isNameHidden || entity.id === maskedValue || entity.type === maskedValue) {
      return { part: this.mask(entity), unresolved: 'masked' };
    }
    const bound = entities.bind(entity, name);
    if (bound instanceof BindingError) return { part: this.mask(entity), unresolved: 'ambiguous_entity' };
    const { type, merged, isStored } = bound;
    if (!isStored) return { part: this.mask(entity), unresolved: undefined };
    const whole = { ...(type !== undefined && { type }), id: entity.id, attributes: merged };
    return { part: this.mask(whole), unresolved: undefined };
  }

  private mask(entity: Entity): Entity {
    const maskPart = partMasks[this.name];
    let masked = entity;
    for (const mask of this.masks) masked = maskPart(mask, masked);
    return masked;
  }
}

const nothingKnown = new MaskedEntities('policy_version_not_found', []);

/** Where no version can be looked up. */
export const noVersions: RecordedVersions = {
  entitiesFor: () => nothingKnown,
};

interface Expanding {
  readonly expand?: Expansion;
}

/** The records with what `expand` asks for. */
export async function expandedRecords(
  records: readonly DecisionRecord[],
  query: Expanding,
  versions?: RecordedVersions,
): Promise<readonly DecisionRecord[]> {
  if (query.expand === undefined) return records;
  const turns = new Turns();
  const expanded: DecisionRecord[] = [];
  for (const record of records) {
    if (turns.isOver) await turns.next();
    expanded.push(await expandedRecord(record, query, versions));
  }
  return expanded;
}

export async function expandedRecord(
  record: DecisionRecord,
  { expand }: Expanding,
  versions: RecordedVersions = noVersions,
): Promise<DecisionRecord> {
  if (expand === undefined) return record;
  const entities = await versions.entitiesFor(record);
  const { request } = record;
  const subject = entities.subjectOf(request);
  const resource = entities.resourceOf(request);
  const unresolved = subject.unresolved ?? resource.unresolved;
  return {
    ...record,
    resolved: {
      subject: subject.part,
      action: entities.actionOf(request),
      resource: resource.part,
      ...(unresolved !== undefined && { unresolved }),
    },
  };
}
