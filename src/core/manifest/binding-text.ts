/** The lines of a manifest's `request`: a path into the request, or a text with paths in it. */

import { quote } from '../quote.js';
import { currentSemantics, type Semantics } from '../semantics.js';
import { templatePieces } from './template-text.js';

/** `subject.department` → root `subject`, steps `['department']`; `token.user.sub` → root `token`, steps `['user', 'sub']`. */
export interface BindingPath {
  readonly root: 'subject' | 'action' | 'resource' | 'attributes' | 'token';
  readonly steps: readonly string[];
}

export type Binding = { readonly kind: 'path'; readonly path: BindingPath } | BindingTemplate;

/** Texts and paths in turn. The value of a path is inserted unchanged and not read again. */
export interface BindingTemplate {
  readonly kind: 'template';
  readonly parts: readonly (string | BindingPath)[];
  /** Index of the last part that is a path. */
  readonly last: number;
  /**
   * Which values a path may have. `separated`: values that do not hold the text behind them, so that two requests
   * cannot become the same text. `segments`: also no value that would lead elsewhere in a path. `anything`: for a
   * template of one path alone, and for sets with the semantics of 0.1.
   */
  readonly takes: 'anything' | 'separated' | 'segments';
}

/**
 * Reads one line.
 *
 *     parseBinding('subject.id')                        // { kind: 'path', path: { root: 'subject', steps: ['id'] } }
 *     parseBinding('${resource.type}:${resource.id}')   // { kind: 'template', parts: [path, ':', path] }
 *
 * @returns what is wrong when it is neither.
 */
export function parseBinding(text: string, semantics: Semantics = currentSemantics): Binding | BindingFault {
  if (!text.includes('${')) {
    const path = parsePath(text);
    return typeof path === 'string' ? fault(path) : { kind: 'path', path };
  }
  const parts: (string | BindingPath)[] = [];
  for (const piece of templatePieces(text)) {
    if (piece.kind === 'fault') return fault(piece.text);
    if (piece.kind === 'text') {
      parts.push(piece.text);
      continue;
    }
    const path = parsePath(piece.text);
    if (typeof path === 'string') return fault(path);
    if (semantics !== 1 && typeof parts.at(-1) === 'object') {
      const message = 'two parts have nothing between them: "ab" and "c" would be the same as "a" and "bc"';
      return {
        code: 'ambiguous_template',
        message,
        hint: 'put a text between them, as in "${resource.type}:${resource.id}"',
      };
    }
    parts.push(path);
  }
  const texts = parts.filter((part) => typeof part === 'string');
  const takes =
    semantics === 1 || texts.length === 0 ? 'anything' : texts.join().includes('/') ? 'segments' : 'separated';
  return { kind: 'template', parts, last: parts.findLastIndex((part) => typeof part !== 'string'), takes };
}

/** A line of `request` that cannot be used. */
export interface BindingFault {
  readonly code: 'bad_binding' | 'ambiguous_template';
  readonly message: string;
  readonly hint: string;
}

export function isBindingFault(read: Binding | BindingFault): read is BindingFault {
  return 'code' in read;
}

function fault(message: string): BindingFault {
  return { code: 'bad_binding', message, hint: 'for example subject.id or "${resource.type}:${resource.id}"' };
}

/**
 * Says, as the end of a sentence, why the value of the path at `index` is refused; undefined if it is not.
 *
 *     // in "${resource.type}:${resource.id}"
 *     faultInPart(template, 0, 'doc')    // undefined
 *     faultInPart(template, 0, 'a:b')    // 'holds the text that stands behind it'
 *     faultInPart(template, 2, 'a:b')    // undefined: nothing comes behind it
 */
export function faultInPart({ parts, last, takes }: BindingTemplate, index: number, value: string): string | undefined {
  if (takes === 'anything') return undefined;
  const behind = parts[index + 1];
  // The text can also begin within the value: "a:" in front of "::".
  if (index < last && typeof behind === 'string' && (value + behind).indexOf(behind) !== value.length) {
    return 'holds the text that stands behind it';
  }
  if (takes === 'separated' || !brokenSegment.test(value)) return undefined;
  return value === '' ? 'is empty' : 'has a segment that is empty, "." or ".."';
}

/** Matches a text with a segment that is empty, `.` or `..`. An empty text has one empty segment. */
const brokenSegment = /(?:^|\/)\.{0,2}(?:\/|$)/;

const roots = new Set(['subject', 'action', 'resource', 'attributes', 'token']);

function parsePath(text: string): BindingPath | string {
  const [root = '', ...steps] = text.split('.');
  if (!roots.has(root)) return `${quote(text)} does not begin with subject, action, resource, attributes or token`;
  if (steps.length === 0 || steps.includes('')) return `${quote(text)} does not name a member`;
  if (root === 'token' && steps.length === 1) return `${quote(text)} does not name a claim of the token`;
  return { root: root as BindingPath['root'], steps };
}
