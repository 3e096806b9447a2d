/**
 * The manifest's `gateway.forward`: what the server behind a gateway is told of a request that is allowed. Envoy alone
 * changes headers by it; other gateways copy or drop those that their own configuration names.
 */
import { quote } from '../quote.js';
import { type GatewayTemplate, readTemplate } from './gateway-template.js';
import { isHeaderName } from './header-name.js';
import type { YamlNode } from './yaml-document.js';

export interface GatewayForward {
  /** Headers, in lower case, with their values. One whose part the request lacks is removed. */
  readonly set: ReadonlyMap<string, GatewayTemplate>;
  /** Headers, in lower case, that the server is not to see. */
  readonly remove: readonly string[];
}

export const noForward: GatewayForward = Object.freeze({ set: new Map<string, GatewayTemplate>(), remove: [] });

/** Headers that say where a message ends or where it goes: a change would make another request of it. */
const untouchable = new Set([
  'host',
  'connection',
  'content-length',
  'content-encoding',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Reads `gateway.forward`. A wrong member is reported and left out. */
export function readForward(node: YamlNode): GatewayForward {
  const members = node.knownMembers('gateway.forward', ['set', 'remove']);
  const set = new Map<string, GatewayTemplate>();
  for (const [name, value] of members?.set?.members('gateway.forward.set') ?? []) {
    const template = readTemplate(value, 'a header of gateway.forward.set', []);
    const header = headerOf(name, value);
    if (header !== undefined && template !== undefined) set.set(header, template);
  }
  const remove: string[] = [];
  for (const item of members?.remove?.items('gateway.forward.remove') ?? []) {
    const name = item.text('a header of gateway.forward.remove');
    const header = name === undefined ? undefined : headerOf(name, item);
    if (header !== undefined) remove.push(header);
  }
  return Object.freeze({ set, remove: Object.freeze(remove) });
}

function headerOf(name: string, node: YamlNode): string | undefined {
  const header = name.toLowerCase();
  if (!isHeaderName(header)) return node.refuse('wrong_value', `${quote(header)} is not the name of a header`);
  if (untouchable.has(header) || /^x-(envoy|verdict)-/.test(header)) {
    return node.refuse('wrong_value', `gateway.forward cannot change the header ${quote(header)}`);
  }
  return header;
}
