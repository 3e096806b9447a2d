/** `entities: { unknown: deny }`: an entity that is not stored is denied before the rules are evaluated. */
import type { EntityAttributes } from '../matcher/entity-attributes.js';
import { describeValue } from '../matcher/values.js';
import type { Admission, AdmissionParts } from './admission.js';
import { BindingError } from './binding.js';

export function unknownAdmission({ manifest, entities, schema }: AdmissionParts): Admission | undefined {
  const { unknownDenied, gateway } = manifest;
  if (unknownDenied === undefined) return undefined;
  // A type of live data counts while no entity of it is there: else the last one that is removed would let all in.
  const stored = (): readonly string[] => [
    ...Array.from(entities, ({ type }) => type),
    ...(manifest.data?.entities ?? []),
  ];
  const types = unknownDenied === 'stored_types' ? new Set(stored()) : unknownDenied;
  const isDenied = (type: string): boolean => types.has(type);
  const subjectTypes = [...schema.entities.subject.keys(), ...typesOf([gateway.subject])];
  const resourceTypes = [
    ...schema.entities.resource.keys(),
    ...typesOf(gateway.routes.map(({ resource }) => resource)),
  ];
  const mayBeDenied = { subject: subjectTypes.some(isDenied), resource: resourceTypes.some(isDenied) };

  const isUnknown = (entity: EntityAttributes, part: 'subject' | 'resource'): boolean => {
    if (entity.isStored) return false;
    if (entity.type !== undefined) return isDenied(entity.type);
    // An entity without a type is denied, too, if it may be of such a type.
    return mayBeDenied[part] || (part === 'resource' && entity.isDescribed && types.size > 0);
  };

  return (bound) => {
    for (const part of ['subject', 'resource'] as const) {
      const entity = bound[part];
      if (!isUnknown(entity, part)) continue;
      const message = `no ${entity.type ?? part} ${describeValue(bound.request[part].id)} is stored`;
      return new BindingError('unknown_entity', message, [{ code: 'unknown_entity', message, pointer: `/${part}` }]);
    }
    return undefined;
  };
}

/** Types that are literals in the gateway mapping; types from requests are unknown. */
function typesOf(entities: readonly { readonly type: readonly unknown[] }[]): string[] {
  return entities.flatMap(({ type }) => (type.length === 1 && typeof type[0] === 'string' ? [type[0]] : []));
}
