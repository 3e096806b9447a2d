/** What of live data is about somebody, or names somebody. */
import type { RoleTuple } from '../../core/data/live-data.js';

/**
 * Whether a role link names somebody: in a column, also with a type, as `user:dana`, or as who added it.
 *
 * @param addedBy the name of the caller
 */
export function namesInRole(role: RoleTuple, addedBy: string, id: string): boolean {
  // The first column is the definition.
  return addedBy === id || role.slice(1).some((column) => column === id || column.endsWith(`:${id}`));
}

/** Whether an entity is somebody, or names somebody: as a value or a name at any depth of its attributes, or as who added it. */
export function namesInEntity(
  entity: { readonly id: string; readonly attributes: object },
  addedBy: string,
  id: string,
): boolean {
  return entity.id === id || addedBy === id || holdsValue(entity.attributes, id);
}

function holdsValue(value: unknown, id: string): boolean {
  if (typeof value === 'string') return value === id;
  if (value === null || typeof value !== 'object') return false;
  return Object.entries(value).some(([name, member]) => name === id || holdsValue(member, id));
}
