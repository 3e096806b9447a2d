/** What a request must be for the rules to be asked: names that can be read, entities that are known, what the schema says. */
import type { Diagnostic } from '../decision.js';
import type { EntityStore } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import type { AttributeSchema } from '../manifest/schema.js';
import type { Semantics } from '../semantics.js';
import type { BindingError, BoundRequest, TokenBinding } from './binding.js';

/** Says why a request may not be put to the rules; or what is to be said beside the answer; or nothing. */
export type Admission = (bound: BoundRequest) => BindingError | readonly Diagnostic[] | undefined;

export interface AdmissionParts {
  readonly manifest: Manifest;
  readonly entities: EntityStore;
  readonly schema: AttributeSchema;
  /** Of the request definition that decides. */
  readonly tokens: readonly TokenBinding[];
  readonly semantics: Semantics;
}
