/** The lines of a manifest's `request`: a path into the request, or a text with paths in it. */

/** `subject.department` → root `subject`, steps `['department']`. */
export interface BindingPath {
  readonly root: 'subject' | 'action' | 'resource' | 'attributes';
  readonly steps: readonly string[];
}

export type Binding =
  | { readonly kind: 'path'; readonly path: BindingPath }
  /** Texts and paths in turn. What a path yields is put in as it is and not read again. */
  | { readonly kind: 'template'; readonly parts: readonly (string | BindingPath)[] };

/**
 * Reads one line.
 *
 *     parseBinding('subject.id')                        // { kind: 'path', path: { root: 'subject', steps: ['id'] } }
 *     parseBinding('${resource.type}:${resource.id}')   // { kind: 'template', parts: [path, ':', path] }
 *
 * @returns what is wrong, in words, when it is neither.
 */
export function parseBinding(text: string): Binding | string {
  if (!text.includes('${')) {
    const path = parsePath(text);
    return typeof path === 'string' ? path : { kind: 'path', path };
  }
  const parts: (string | BindingPath)[] = [];
  let rest = text;
  while (rest !== '') {
    const start = rest.indexOf('${');
    if (start !== 0) parts.push(start < 0 ? rest : rest.slice(0, start));
    if (start < 0) break;
    const end = rest.indexOf('}', start);
    if (end < 0) return `"${text}" has a "\${" that is not closed`;
    const path = parsePath(rest.slice(start + 2, end));
    if (typeof path === 'string') return path;
    parts.push(path);
    rest = rest.slice(end + 1);
  }
  return { kind: 'template', parts };
}

const roots = new Set(['subject', 'action', 'resource', 'attributes']);

function parsePath(text: string): BindingPath | string {
  const [root = '', ...steps] = text.split('.');
  if (!roots.has(root)) return `"${text}" does not begin with subject, action, resource or attributes`;
  if (steps.length === 0 || steps.includes('')) return `"${text}" does not name a member`;
  return { root: root as BindingPath['root'], steps };
}
