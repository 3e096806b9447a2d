import { faultInName } from '../names.js';
import type { DecisionRequest } from '../request.js';
import { BindingError } from './binding.js';

/**
 * Why no set can be asked with the names of a request, as the service says it with 400: an id, a type or the name of the
 * action holds a control character or half of a character. Undefined where all are good.
 */
export function faultInNames(request: DecisionRequest): BindingError | undefined {
  const { subject, action, resource } = request;
  const arePlain =
    isPlain(subject.type) &&
    isPlain(subject.id) &&
    isPlain(action.name) &&
    isPlain(resource.type) &&
    isPlain(resource.id);
  return arePlain ? undefined : firstFault(request);
}

/** Whether a name is printable ASCII: nearly all are, and need no further look. */
function isPlain(name: string | undefined): boolean {
  if (typeof name !== 'string') return true;
  for (let index = 0; index < name.length; index++) {
    const unit = name.charCodeAt(index);
    if (unit < 0x20 || unit > 0x7e) return false;
  }
  return true;
}

function firstFault({ subject, action, resource }: DecisionRequest): BindingError | undefined {
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
