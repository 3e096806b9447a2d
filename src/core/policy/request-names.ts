import { faultInName } from '../names.js';
import type { DecisionRequest } from '../request.js';
import { BindingError } from './binding.js';

/**
 * Why no set can be asked with the names of a request, as the service says it with 400: an id, a type or the name of the
 * action holds a control character or half of a character. Undefined where all are good.
 */
export function faultInNames({ subject, action, resource }: DecisionRequest): BindingError | undefined {
  const names = {
    '/subject/type': subject.type,
    '/subject/id': subject.id,
    '/action/name': action.name,
    '/resource/type': resource.type,
    '/resource/id': resource.id,
  };
  for (const [pointer, name] of Object.entries(names)) {
    const fault = typeof name === 'string' ? faultInName(name) : undefined;
    if (fault === undefined) continue;
    const message = `${pointer.slice(1).replace('/', '.')} holds ${fault}`;
    return new BindingError('control_character', message, [{ code: 'control_character', message, pointer }]);
  }
  return undefined;
}
