/**
 * The manifest's `gateway`: how a client's request at a gateway becomes a question. Every value is a text whose `${…}`
 * parts are inserted once and not read again. A text that is a single part has that part's value, which may be a list.
 */

import { durationPattern } from '../duration.js';
import { cut, quote } from '../quote.js';
import { type GatewayForward, noForward, readForward } from './gateway-forward.js';
import { defaultPathReading, type PathReading, readPathReading } from './gateway-paths.js';
import { type GatewaySource, type GatewayTemplate, readTemplate } from './gateway-template.js';
import { isHeaderName } from './header-name.js';
import { defaultMcpMapping, type McpMapping, readMcpMapping } from './mcp-mapping.js';
import type { YamlNode } from './yaml-document.js';

export type GatewayAttributes = ReadonlyMap<string, GatewayTemplate>;

/** A part of a path: a literal segment, one named segment, or all remaining segments under a name. */
export type PathPart =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one'; readonly name: string }
  | { readonly kind: 'rest'; readonly name: string };

export interface GatewayRoute {
  readonly path: readonly PathPart[];
  /** Undefined: any. */
  readonly methods: ReadonlySet<string> | undefined;
  /** Undefined: the action that `actions` gives to the method. */
  readonly action: string | undefined;
  readonly resource: GatewayEntity;
}

export interface GatewayEntity {
  readonly type: GatewayTemplate;
  readonly id: GatewayTemplate;
  readonly attributes: GatewayAttributes;
}

/** By what a gateway may name the user, beside a token that is verified here; one of both at least. */
export interface TrustedIdentity {
  /** The header, in lower case, that names the user. */
  readonly header: string | undefined;
  /** True if the certificate that the client showed to the gateway names the user. */
  readonly certificate: boolean;
  /** The names of the callers that are believed. */
  readonly proxies: ReadonlySet<string>;
}

export interface GatewayMapping {
  readonly subject: GatewayEntity;
  readonly identity: TrustedIdentity | undefined;
  /** The subject's id for requests without an identity; undefined: they are refused. */
  readonly anonymous: string | undefined;
  /** Actions by method. A method without an entry is its own action. */
  readonly actions: ReadonlyMap<string, string>;
  /** The first route that matches a request is used. A request that no route matches is denied. */
  readonly routes: readonly GatewayRoute[];
  readonly attributes: GatewayAttributes;
  /** Which paths the server behind the gateway treats as equal. */
  readonly paths: PathReading;
  /** What the server behind the gateway is told. */
  readonly forward: GatewayForward;
  /** How long ago, such as `30s`, the source of the set may have been confirmed last. Undefined: any time. */
  readonly maxStaleness: string | undefined;
  /** Of messages of the Model Context Protocol. */
  readonly mcp: McpMapping;
  /** True if a template names a part of the body. */
  readonly readsBody: boolean;
}

const source = (kind: GatewaySource['kind'], name = ''): GatewayTemplate => [{ kind, name }];
const noAttributes: GatewayAttributes = new Map();

/** The default mapping: the user, the method, the path, and the client's address. */
export const defaultGatewayMapping: GatewayMapping = Object.freeze<GatewayMapping>({
  subject: { type: ['user'], id: source('identity'), attributes: noAttributes },
  identity: undefined,
  anonymous: undefined,
  actions: new Map(),
  routes: [
    {
      path: [{ kind: 'rest', name: 'path' }],
      methods: undefined,
      action: undefined,
      resource: { type: ['path'], id: source('request', 'path'), attributes: noAttributes },
    },
  ],
  attributes: new Map([['ip', source('client', 'address')]]),
  paths: defaultPathReading,
  forward: noForward,
  maxStaleness: undefined,
  mcp: defaultMcpMapping,
  readsBody: false,
});

/** Reads `gateway`. A wrong member is reported and gets its default. */
export function readGatewayMapping(node: YamlNode): GatewayMapping {
  const keys = [
    'subject',
    'identity',
    'anonymous',
    'actions',
    'routes',
    'attributes',
    'paths',
    'forward',
    'maxStaleness',
    'mcp',
  ] as const;
  const members = node.knownMembers('gateway', keys);
  const fallback = defaultGatewayMapping;
  if (members === undefined) return fallback;
  const { subject, identity, anonymous, actions, routes, attributes } = members;
  const paths = members.paths === undefined ? fallback.paths : readPathReading(members.paths);
  const mapping = {
    subject: subject === undefined ? fallback.subject : readEntity(subject, 'gateway.subject', fallback.subject, []),
    identity: identity === undefined ? undefined : readIdentity(identity),
    anonymous: anonymous?.text('gateway.anonymous'),
    actions: actions === undefined ? fallback.actions : readActions(actions),
    routes: routes === undefined ? fallback.routes : readRoutes(routes, paths),
    attributes: attributes === undefined ? fallback.attributes : readAttributes(attributes, 'gateway.attributes', []),
    paths,
    forward: members.forward === undefined ? noForward : readForward(members.forward),
    maxStaleness: members.maxStaleness === undefined ? undefined : readMaxStaleness(members.maxStaleness),
    mcp: members.mcp === undefined ? fallback.mcp : readMcpMapping(members.mcp),
  };
  return Object.freeze({ ...mapping, readsBody: namesBody(mapping) });
}

function namesBody({ subject, routes, attributes, forward }: Omit<GatewayMapping, 'readsBody'>): boolean {
  const entities = [subject, ...routes.map(({ resource }) => resource)];
  const templates = [
    ...entities.flatMap(({ type, id, attributes }) => [type, id, ...attributes.values()]),
    ...attributes.values(),
    ...forward.set.values(),
  ];
  return templates.flat().some((part) => typeof part !== 'string' && part.kind === 'body');
}

function readMaxStaleness(node: YamlNode): string | undefined {
  const text = node.text('gateway.maxStaleness');
  if (text === undefined || new RegExp(durationPattern).test(text)) return text;
  return node.refuse('wrong_value', `${quote(text)} is not a duration`, 'for example 30s');
}

function readIdentity(node: YamlNode): TrustedIdentity | undefined {
  const members = node.knownMembers('gateway.identity', ['header', 'certificate', 'proxies']);
  if (members === undefined) return undefined;
  const certificate = members.certificate?.flag('gateway.identity.certificate') ?? false;
  if ((members.header === undefined && !certificate) || members.proxies === undefined) {
    const hint = 'for example { header: X-Forwarded-User, proxies: [edge] } or { certificate: true, proxies: [edge] }';
    return node.refuse(
      'missing_value',
      'gateway.identity needs a header or the certificate, and the proxies that it is believed from',
      hint,
    );
  }
  const header = members.header?.text('gateway.identity.header')?.toLowerCase();
  const proxies = members.proxies.texts('gateway.identity.proxies');
  if ((members.header !== undefined && header === undefined) || proxies === undefined) return undefined;
  if (header === undefined || isHeaderName(header)) return { header, certificate, proxies: new Set(proxies) };
  return members.header?.refuse('wrong_value', `${quote(header)} is not the name of a header`);
}

function readActions(node: YamlNode): ReadonlyMap<string, string> {
  const actions = new Map<string, string>();
  for (const [method, value] of node.members('gateway.actions') ?? []) {
    const action = value.text(`gateway.actions.${cut(method)}`);
    if (isMethod(method, value) && action !== undefined) actions.set(method, action);
  }
  return actions;
}

/** Methods are case-sensitive (RFC 9110, section 9.1), so no request has the method `get`. */
function isMethod(method: string, node: YamlNode): boolean {
  if (/^[A-Z][A-Z-]*$/.test(method)) return true;
  node.refuse('wrong_value', `${quote(method)} is not a method`, 'methods are in capitals: GET, POST, PROPFIND');
  return false;
}

function readRoutes(node: YamlNode, reading: PathReading): readonly GatewayRoute[] {
  return (node.items('gateway.routes') ?? []).flatMap((item) => readRoute(item, reading) ?? []);
}

function readRoute(node: YamlNode, reading: PathReading): GatewayRoute | undefined {
  const members = node.knownMembers('a gateway route', ['path', 'methods', 'action', 'resource']);
  if (members === undefined) return undefined;
  if (members.path === undefined) return node.refuse('missing_value', 'a gateway route needs a path');
  const text = members.path.text("a gateway route's path");
  const path = text === undefined ? undefined : parsePath(text, reading);
  if (typeof path === 'string') members.path.refuse('bad_path', path, 'for example /orders/{id} or /files/{rest*}');
  if (path === undefined || typeof path === 'string') return undefined;
  const names = path.flatMap((part) => (part.kind === 'literal' ? [] : [part.name]));
  const [plain] = defaultGatewayMapping.routes;
  const methods = members.methods
    ?.texts("a gateway route's methods")
    ?.filter((each) => isMethod(each, members.methods!));
  return {
    path,
    methods: methods === undefined ? undefined : new Set(methods),
    action: members.action?.text("a gateway route's action"),
    resource:
      members.resource === undefined
        ? plain!.resource
        : readEntity(members.resource, "a gateway route's resource", plain!.resource, names),
  };
}

/**
 * Reads the path of a route.
 *
 *     parsePath('/orders/{id}')     // [literal orders, one id]
 *     parsePath('/files/{name*}')   // [literal files, rest name]
 *
 * @param reading how paths of requests are read; literals are read in the same way
 * @returns a text that says what is wrong if it is not a path
 */
export function parsePath(text: string, reading: PathReading = defaultPathReading): readonly PathPart[] | string {
  if (!text.startsWith('/')) return `${quote(text)} does not begin with a slash`;
  const names = new Set<string>();
  const parts: PathPart[] = [];
  for (const segment of text.slice(1).split('/')) {
    if (parts.at(-1)?.kind === 'rest') return `in ${quote(text)} something follows what takes the rest`;
    const variable = /^\{(\w+)(\*?)\}$/.exec(segment);
    if (variable === null) {
      if (/[{}]/.test(segment)) return `${quote(segment)} is neither a text nor a name in braces`;
      parts.push({ kind: 'literal', text: reading.segment(segment) });
      continue;
    }
    const name = variable[1]!;
    if (names.has(name)) return `${quote(text)} has the name ${quote(name)} twice`;
    names.add(name);
    parts.push({ kind: variable[2] === '*' ? 'rest' : 'one', name });
  }
  const last = parts.at(-1);
  if (reading.slash === 'ignore' && parts.length > 1 && last?.kind === 'literal' && last.text === '') parts.pop();
  return parts;
}

function readEntity(node: YamlNode, what: string, fallback: GatewayEntity, names: readonly string[]): GatewayEntity {
  const members = node.knownMembers(what, ['type', 'id', 'attributes']);
  if (members === undefined) return fallback;
  const { type, id, attributes } = members;
  return {
    type: (type && readTemplate(type, `${what}.type`, names)) ?? fallback.type,
    id: (id && readTemplate(id, `${what}.id`, names)) ?? fallback.id,
    attributes: attributes === undefined ? noAttributes : readAttributes(attributes, `${what}.attributes`, names),
  };
}

function readAttributes(node: YamlNode, what: string, names: readonly string[]): GatewayAttributes {
  const attributes = new Map<string, GatewayTemplate>();
  for (const [name, value] of node.members(what) ?? []) {
    const template = readTemplate(value, `${what}.${cut(name)}`, names);
    if (name === '__proto__') value.refuse('wrong_value', 'no attribute can have the name "__proto__"');
    else if (template !== undefined) attributes.set(name, template);
  }
  return attributes;
}
