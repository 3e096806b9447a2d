import { keyOf } from '../../core/analysis/universe.js';
import type { Entity } from '../../core/request.js';

/** `user:ann`, as the command line takes it; without a type the id alone. */
export function entityText(entity: Entity): string {
  return entity.type === undefined ? entity.id : keyOf(entity);
}
