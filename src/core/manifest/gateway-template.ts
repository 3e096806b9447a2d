/**
 * Texts with parts of a client's request at a gateway: `order-${path.id}`. The parts are inserted once and not read again.
 */

import { quote } from '../quote.js';
import { templatePieces } from './template-text.js';
import type { YamlNode } from './yaml-document.js';

export const gatewaySources = [
  'identity',
  'token',
  'request',
  'path',
  'query',
  'headers',
  'body',
  'client',
  'route',
  'metadata',
] as const;

/** `token.realm.roles` → kind `token`, name `realm.roles`; of `identity` the name is empty. */
export interface GatewaySource {
  readonly kind: (typeof gatewaySources)[number];
  readonly name: string;
}

export type GatewayTemplate = readonly (string | GatewaySource)[];
/**
 * Reads a template.
 *
 * @param names the variables of the route's path, which `path.<name>` can name
 */
export function readTemplate(node: YamlNode, what: string, names: readonly string[]): GatewayTemplate | undefined {
  const text = node.text(what);
  if (text === undefined) return undefined;
  const template = parseTemplate(text);
  if (typeof template === 'string') {
    return node.refuse('bad_template', template, `a part begins with ${gatewaySources.join(', ')}`);
  }
  for (const part of template) {
    if (typeof part !== 'string' && part.kind === 'path' && !names.includes(part.name)) {
      node.refuse('bad_template', `the path of this route has no ${quote(part.name)}`);
    }
  }
  return template;
}

const namesOf: { readonly [kind in GatewaySource['kind']]?: readonly string[] } = {
  identity: [''],
  request: ['method', 'path', 'host', 'scheme'],
  client: ['address', 'certificate'],
};

/** Sources that may be named as a whole. */
const wholes: ReadonlySet<GatewaySource['kind']> = new Set(['body']);

/**
 * Reads a text with parts.
 *
 *     parseTemplate('order-${path.id}')   // ['order-', { kind: 'path', name: 'id' }]
 *
 * @returns a text that says what is wrong with a part
 */
export function parseTemplate(text: string): GatewayTemplate | string {
  const parts: (string | GatewaySource)[] = [];
  for (const piece of templatePieces(text)) {
    if (piece.kind === 'fault') return piece.text;
    if (piece.kind === 'text') {
      parts.push(piece.text);
      continue;
    }
    const part = piece.text;
    const dot = part.indexOf('.');
    const kind = gatewaySources.find((each) => each === (dot < 0 ? part : part.slice(0, dot)));
    const name = dot < 0 ? '' : part.slice(dot + 1);
    if (kind === undefined) return `${quote(part)} is not a part of a gateway's request`;
    const known = namesOf[kind];
    if (known === undefined ? name === '' && !wholes.has(kind) : !known.includes(name))
      return `${quote(part)} names nothing of ${kind}`;
    parts.push({ kind, name: kind === 'headers' ? name.toLowerCase() : name });
  }
  return parts;
}
