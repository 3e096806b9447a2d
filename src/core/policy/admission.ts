/** Conditions that a request must meet before the rules are evaluated: valid names, known entities, the schema. */
import type { Diagnostic } from '../decision.js';
import type { EntityStore } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import type { AttributeSchema } from '../manifest/schema.js';
import type { Semantics } from '../semantics.js';
import type { BindingError, BoundRequest, TokenBinding } from './binding.js';

/** Returns why a request is denied before the rules are evaluated, or diagnostics for the answer, or undefined. */
export type Admission = (bound: BoundRequest) => BindingError | readonly Diagnostic[] | undefined;

export interface AdmissionParts {
  readonly manifest: Manifest;
  readonly entities: EntityStore;
  readonly schema: AttributeSchema;
  /** Tokens of the request definition that decides. */
  readonly tokens: readonly TokenBinding[];
  readonly semantics: Semantics;
}
