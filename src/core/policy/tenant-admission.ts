/** A tenant that is read must be a valid name. */

import type { BindingPath } from '../manifest/binding-text.js';
import { faultInName } from '../names.js';
import type { Admission, AdmissionParts } from './admission.js';
import { BindingError, readBindingPath } from './binding.js';
import { pointerOf } from './binding-change.js';

const byName: readonly BindingPath[] = [
  { root: 'attributes', steps: ['tenant'] },
  { root: 'resource', steps: ['tenant'] },
];

export function tenantAdmission({ tokens, semantics }: AdmissionParts): Admission | undefined {
  if (semantics === 1) return undefined;
  const read = tokens.filter(({ role, readAsValue }) => role === 'domain' && readAsValue);
  const paths = read.flatMap(({ line }) => {
    if (line === undefined) return byName;
    return line.kind === 'path' ? [line.path] : line.parts.filter((part) => typeof part !== 'string');
  });
  if (paths.length === 0) return undefined;
  return (bound) => {
    for (const path of paths) {
      const value = readBindingPath(path, '', bound);
      const fault = typeof value === 'string' ? faultInName(value) : undefined;
      if (fault === undefined) continue;
      const message = `the tenant holds ${fault}`;
      return new BindingError('control_character', message, [
        { code: 'control_character', message, pointer: pointerOf(path) },
      ]);
    }
    return undefined;
  };
}
