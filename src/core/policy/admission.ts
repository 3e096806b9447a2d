/** What a request must be for the rules to be asked: names that can be read, entities that are known, what the schema says. */
import type { Diagnostic } from '../decision.js';
import type { Semantics } from '../semantics.js';
import { BindingError, type BoundRequest, type TokenBinding } from './binding.js';
import type { EntityStore } from './entities.js';
import type { Manifest } from './manifest.js';
import type { AttributeSchema } from './schema.js';
import { schemaAdmission } from './schema-admission.js';
import { tenantAdmission } from './tenant-admission.js';
import { unknownAdmission } from './unknown-entities.js';

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

/** Undefined for a set that any request may be put to, as most are: there is nothing to look at then. */
export function admissionOf(parts: AdmissionParts): Admission | undefined {
  const all = [tenantAdmission(parts), unknownAdmission(parts), schemaAdmission(parts)];
  const admissions = all.filter((admission) => admission !== undefined);
  if (admissions.length <= 1) return admissions[0];
  return (bound) => {
    let warnings: readonly Diagnostic[] | undefined;
    for (const admission of admissions) {
      const found = admission(bound);
      if (found instanceof BindingError) return found;
      if (found !== undefined) warnings = found;
    }
    return warnings;
  };
}
