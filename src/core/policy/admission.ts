/** What a request must be for the rules to be asked: what the manifest's `entities: { unknown: … }` wants known. */
import type { EntityAttributes } from '../matcher/entity-attributes.js';
import { describeValue } from '../matcher/values.js';
import { BindingError, type BoundRequest } from './binding.js';
import type { EntityStore } from './entities.js';
import type { GatewayMapping } from './gateway-mapping.js';
import type { Manifest } from './manifest.js';
import type { AttributeSchema } from './schema.js';

/** Says why a request may not be put to the rules, if it may not. */
export type Admission = (bound: BoundRequest) => BindingError | undefined;

/** Undefined for a set that any request may be put to, as nearly all are: there is nothing to look at then. */
export function admissionOf(manifest: Manifest, entities: EntityStore, schema: AttributeSchema): Admission | undefined {
  const { unknownDenied, gateway } = manifest;
  if (unknownDenied === undefined) return undefined;
  const types = unknownDenied === 'stored_types' ? new Set(entities.all.map(({ type }) => type)) : unknownDenied;
  const subjectTypes = [...schema.entities.subject.keys(), ...typesOf([gateway.subject])];
  const resourceTypes = [
    ...schema.entities.resource.keys(),
    ...typesOf(gateway.routes.map(({ resource }: GatewayMapping['routes'][number]) => resource)),
  ];
  const subject = { isKnownType: subjectTypes.some((type) => types.has(type)), mayBeDescribed: true };
  const resource = { isKnownType: resourceTypes.some((type) => types.has(type)), mayBeDescribed: types.size === 0 };

  function isUnknown(entity: EntityAttributes, part: typeof subject): boolean {
    if (entity.isStored) return false;
    if (entity.type !== undefined) return types.has(entity.type);
    // Leaving the type out must not be a way around: such an entity is denied where it may be of a type that is.
    return part.isKnownType || (entity.isDescribed && !part.mayBeDescribed);
  }

  return (bound) => {
    for (const [name, entity, part] of [
      ['subject', bound.subject, subject],
      ['resource', bound.resource, resource],
    ] as const) {
      if (!isUnknown(entity, part)) continue;
      const type = entity.type === undefined ? name : entity.type;
      const message = `no ${type} ${describeValue(bound.request[name].id)} is stored`;
      return new BindingError('unknown_entity', message, [{ code: 'unknown_entity', message, pointer: `/${name}` }]);
    }
    return undefined;
  };
}

/** The types that are texts of the mapping; those that come with a request are not known. */
function typesOf(entities: readonly { readonly type: readonly unknown[] }[]): string[] {
  return entities.flatMap(({ type }) => (type.length === 1 && typeof type[0] === 'string' ? [type[0]] : []));
}
