/** A client's request at a gateway, and the question that a policy set's mapping makes of it. */

import { pointerToRounded } from '../core/exact-json.js';
import type {
  GatewayAttributes,
  GatewayEntity,
  GatewayMapping,
  GatewayRoute,
  PathPart,
} from '../core/manifest/gateway-mapping.js';
import type { GatewaySource, GatewayTemplate } from '../core/manifest/gateway-template.js';
import { faultInName } from '../core/names.js';
import type { DecisionRequest, Entity, Json, JsonObject } from '../core/request.js';
import { type RequestPath, readRequestPath } from './request-path.js';

export interface GatewayRequest {
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly target: string;
  readonly host: string | undefined;
  readonly scheme: string | undefined;
  readonly clientAddress: string;
  /** Headers by their names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The name in the client's certificate, by a gateway that is believed. */
  readonly certificate?: string | undefined;
  /** Undefined if no template names a part of it. */
  readonly body?: GatewayBody | undefined;
  /** What the gateway's configuration says of the route. */
  readonly route?: () => Readonly<Record<string, Json>>;
  /** What other filters of the gateway found out, by their names. */
  readonly metadata?: () => Readonly<Record<string, Json>>;
}

/** A body; `value` is undefined if the request has none. */
export type GatewayBody = { readonly value: Json | undefined } | { readonly fault: string };

/** The user, as a verified token or a trusted proxy names it. */
export interface GatewayIdentity {
  readonly id: string;
  /** Claims of the verified token. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Why no question could be made of a request. */
export interface GatewayRefusal {
  readonly refused: 'unauthenticated' | 'ambiguous_path' | 'unmapped_path' | 'unreadable_body';
  readonly detail: string;
}

/**
 * Makes the question about a request.
 *
 *     gatewayQuestion(defaultGatewayMapping, { method: 'GET', target: '/orders/7', … }, { id: 'alice' })
 *     // { subject: { type: 'user', id: 'alice' }, action: { name: 'GET' }, resource: { type: 'path', id: '/orders/7' }, … }
 */
export function gatewayQuestion(
  mapping: GatewayMapping,
  request: GatewayRequest,
  identity: GatewayIdentity | undefined,
): Omit<DecisionRequest, 'tokens'> | GatewayRefusal {
  const path = readRequestPath(request.target, mapping.paths);
  if (typeof path === 'string') return { refused: 'ambiguous_path', detail: `The path holds ${path}.` };
  const user = identity ?? (mapping.anonymous === undefined ? undefined : { id: mapping.anonymous });
  if (user === undefined) return { refused: 'unauthenticated', detail: 'The request shows no identity.' };
  const found = routeOf(mapping, request.method, path);
  if (found === undefined) {
    return { refused: 'unmapped_path', detail: `No route of the mapping takes ${request.method} ${path.text}.` };
  }
  const values = new Values(request, path, found.variables, user);
  const subject = values.entity(mapping.subject);
  const resource = values.entity(found.route.resource);
  const attributes = values.attributes(mapping.attributes);
  if (values.refusal !== undefined) return values.refusal;
  if (subject === undefined)
    return { refused: 'unauthenticated', detail: 'The identity lacks what the subject is named by.' };
  if (resource === undefined)
    return { refused: 'unmapped_path', detail: 'The request lacks what the resource is named by.' };
  const action = found.route.action ?? mapping.actions.get(request.method) ?? request.method;
  if (namesFault(subject)) return { refused: 'unauthenticated', detail: 'The identity holds a control character.' };
  if (namesFault(resource) || faultInName(action) !== undefined) {
    return { refused: 'ambiguous_path', detail: 'What the request asks for holds a control character.' };
  }
  // A number in a claim may have been rounded when the token was parsed, so that two users could have the same value.
  const sent = [subject.attributes, resource.attributes, attributes].some(
    (each) => each !== undefined && pointerToRounded(each) !== undefined,
  );
  if (sent)
    return { refused: 'unauthenticated', detail: 'The identity, or the metadata, holds an integer that is not exact.' };
  return { subject, action: { name: action }, resource, ...(attributes !== undefined && { attributes }) };
}

export interface ForwardedHeaders {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

const nothingForwarded: ForwardedHeaders = Object.freeze({ set: [], remove: [] });

/**
 * The headers that the server behind the gateway gets, and those that it must not see: what the mapping removes, and
 * what it sets without a value for this request, since the client may have sent that header.
 */
export function forwardedHeaders(
  { forward, paths, anonymous }: GatewayMapping,
  request: GatewayRequest,
  identity: GatewayIdentity | undefined,
): ForwardedHeaders {
  if (forward.set.size === 0 && forward.remove.length === 0) return nothingForwarded;
  const path = readRequestPath(request.target, paths);
  const user = identity ?? (anonymous === undefined ? undefined : { id: anonymous });
  const set: (readonly [string, string])[] = [];
  const remove = forward.remove.filter((name) => !forward.set.has(name));
  for (const [name, template] of forward.set) {
    let value: string | undefined;
    if (typeof path !== 'string' && user !== undefined) {
      const values = new Values(request, path, new Map(), user);
      const text = values.text(template);
      // A part that cannot be read is a part that is missing.
      value = values.refusal === undefined ? text : undefined;
    }
    if (value === undefined || value === '') remove.push(name);
    else set.push([name, value]);
  }
  return { set, remove };
}

function namesFault({ type = '', id }: Entity): boolean {
  return faultInName(type) !== undefined || faultInName(id) !== undefined;
}

type Variables = ReadonlyMap<string, string>;

function routeOf(
  { routes }: GatewayMapping,
  method: string,
  path: RequestPath,
): { readonly route: GatewayRoute; readonly variables: Variables } | undefined {
  for (const route of routes) {
    if (route.methods !== undefined && !route.methods.has(method)) continue;
    const variables = matchPath(route.path, path.segments);
    if (variables !== undefined) return { route, variables };
  }
  return undefined;
}

function matchPath(parts: readonly PathPart[], segments: readonly string[]): Variables | undefined {
  const variables = new Map<string, string>();
  for (const [index, part] of parts.entries()) {
    if (part.kind === 'rest') {
      variables.set(part.name, segments.slice(index).join('/'));
      return variables;
    }
    const segment = segments[index];
    if (segment === undefined) return undefined;
    if (part.kind === 'literal') {
      if (segment !== part.text) return undefined;
    } else {
      if (segment === '') return undefined;
      variables.set(part.name, segment);
    }
  }
  return parts.length === segments.length ? variables : undefined;
}

/** The parts of a request that templates can name. */
class Values {
  /** Why the first part that a template named cannot be read. The server behind the gateway may read something else. */
  refusal: GatewayRefusal | undefined;

  constructor(
    private readonly request: GatewayRequest,
    private readonly path: RequestPath,
    private readonly variables: Variables,
    private readonly identity: GatewayIdentity,
  ) {}

  /** Returns undefined if type or id would be empty, or needs a part that the request does not have. */
  entity({ type, id, attributes }: GatewayEntity): Entity | undefined {
    const typeText = this.text(type);
    const idText = this.text(id);
    if (!typeText || !idText) return undefined;
    const found = this.attributes(attributes);
    return { type: typeText, id: idText, ...(found !== undefined && { attributes: found }) };
  }

  /** Returns the attributes whose parts the request has; undefined if there are none. */
  attributes(templates: GatewayAttributes): JsonObject | undefined {
    const attributes: JsonObject = {};
    for (const [name, template] of templates) {
      const value =
        template.length === 1 && typeof template[0] !== 'string' ? this.value(template[0]!) : this.text(template);
      if (value !== undefined) attributes[name] = value;
    }
    return Object.keys(attributes).length === 0 ? undefined : attributes;
  }

  text(template: GatewayTemplate): string | undefined {
    let text = '';
    for (const part of template) {
      const value = typeof part === 'string' ? part : this.value(part);
      if (typeof value !== 'string' && typeof value !== 'number') return undefined;
      text += value;
    }
    return text;
  }

  private value({ kind, name }: GatewaySource): Json | undefined {
    const { request } = this;
    switch (kind) {
      case 'identity':
        return this.identity.id;
      case 'token':
        return claim(this.identity.claims, name);
      case 'body':
        return this.ofBody(name);
      case 'route':
        return memberAt(request.route?.(), name);
      case 'metadata':
        return memberAt(request.metadata?.(), name);
      case 'request':
        return this.ofRequest(name);
      case 'path':
        return this.variables.get(name);
      case 'query':
        return this.ofQuery(name);
      case 'headers': {
        const value = Object.hasOwn(request.headers, name) ? request.headers[name] : undefined;
        return typeof value === 'object' ? [...value] : value;
      }
      case 'client':
        return name === 'address' ? request.clientAddress : request.certificate;
      default:
        return kind satisfies never;
    }
  }

  private ofQuery(name: string): Json | undefined {
    const values = this.path.query.filter((parameter) => parameter.name === name).map(({ value }) => value);
    const texts = values.map(({ text }) => text).filter((text) => text !== undefined);
    if (texts.length < values.length) {
      this.refusal ??= { refused: 'ambiguous_path', detail: `The query parameter ${name} cannot be read.` };
    }
    return texts.length > 1 ? texts : texts[0];
  }

  private ofBody(name: string): Json | undefined {
    const body = this.request.body ?? { value: undefined };
    if ('fault' in body) {
      this.refusal ??= { refused: 'unreadable_body', detail: body.fault };
      return undefined;
    }
    const value = name === '' ? body.value : memberAt(body.value, name);
    if (value !== undefined && pointerToRounded(value) !== undefined) {
      this.refusal ??= { refused: 'unreadable_body', detail: 'The body holds an integer that is not exact.' };
    }
    return value;
  }

  private ofRequest(name: string): string | undefined {
    const { method, host, scheme } = this.request;
    switch (name) {
      case 'method':
        return method;
      case 'path':
        return this.path.text;
      case 'host':
        return host?.toLowerCase();
      default:
        return scheme?.toLowerCase();
    }
  }
}

/** A claim of that very name (`https://example.com/roles`), else step by step (`realm_access.roles`). */
function claim(claims: Readonly<Record<string, unknown>> | undefined, name: string): Json | undefined {
  if (claims === undefined) return undefined;
  if (Object.hasOwn(claims, name)) return claims[name] as Json;
  let value: unknown = claims;
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value as Json;
}

/**
 * What is found step by step. A name may hold dots itself (`envoy.filters.http.jwt_authn`); the longest one that is there
 * counts.
 */
function memberAt(value: unknown, path: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (Object.hasOwn(value, path)) return (value as Record<string, Json>)[path];
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot);
    if (Object.hasOwn(value, name)) return memberAt((value as Record<string, unknown>)[name], path.slice(dot + 1));
  }
  return undefined;
}
