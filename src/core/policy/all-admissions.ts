import type { Diagnostic } from '../decision.js';
import type { Admission, AdmissionParts } from './admission.js';
import { BindingError } from './binding.js';
import { schemaAdmission } from './schema-admission.js';
import { tenantAdmission } from './tenant-admission.js';
import { unknownAdmission } from './unknown-entities.js';

/** Returns undefined for a set without such conditions, as most are. */
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
