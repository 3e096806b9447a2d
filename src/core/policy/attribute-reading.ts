import type { BindingPath } from '../manifest/binding-text.js';
import type { SchemaPart } from '../manifest/schema.js';
import { namesAllAttributes } from '../matcher/entity-attributes.js';

/** The attribute that a path below an entity or an action reads. */
export interface AttributeReading {
  readonly part: SchemaPart;
  readonly path: readonly string[];
}

/** Undefined for what the schema does not describe: an entity's own id, type or name, and attributes as a whole. */
export function attributeReading(
  part: 'subject' | 'resource' | 'action',
  path: readonly string[],
): AttributeReading | undefined {
  const own = part === 'action' ? ['name'] : ['id', 'type'];
  if (path.length === 1 && own.includes(path[0] as string)) return undefined;
  const attributes = namesAllAttributes(path[0]) ? path.slice(1) : path;
  return attributes.length === 0 ? undefined : { part, path: attributes };
}

/** As `attributeReading`, of a path that the manifest binds a token to. */
export function readingOfPath({ root, steps }: BindingPath): AttributeReading | undefined {
  if (root === 'attributes') return { part: 'environment', path: steps };
  return root === 'token' ? { part: 'token', path: steps } : attributeReading(root, steps);
}
