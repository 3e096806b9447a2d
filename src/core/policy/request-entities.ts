import type { EntityStore } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import type { EntityAttributes } from '../matcher/entity-attributes.js';
import type { Entity } from '../request.js';
import { type BindingError, bindEntity } from './binding.js';

/** The stored entities of one version, for the question what an evaluation saw of a request. */
export class RequestEntities {
  constructor(
    private readonly entities: EntityStore,
    private readonly precedence: Manifest['precedence'],
  ) {}

  /** Number of stored entities. */
  get size(): number {
    return this.entities.size;
  }

  /** A subject or resource of a request with its stored attributes, as `PolicySet.decide` reads it. */
  bind(entity: Entity, what: 'subject' | 'resource'): EntityAttributes | BindingError {
    return bindEntity(entity, what, this.entities, this.precedence);
  }
}
