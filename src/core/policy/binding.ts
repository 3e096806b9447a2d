/** What each token of a request definition is in a decision request (contract, section 3: Binding). */
import { EntityAttributes } from '../matcher/entity-attributes.js';
import type { AttributeSource } from '../matcher/scope.js';
import { describeValue, isObject, ownMember } from '../matcher/values.js';
import type { Action, DecisionRequest, Entity, Json } from '../request.js';
import type { Binding, BindingPath } from './binding-text.js';
import { AMBIGUOUS, type EntityStore } from './entities.js';
import type { Manifest } from './manifest.js';

/** Why a request cannot be put to this policy set: it denies. */
export class BindingError {
  constructor(
    readonly code: 'ambiguous_entity' | 'missing_binding' | 'wrong_binding' | 'domain_conflict',
    readonly message: string,
  ) {}
}

/** What a token means by its name. */
export type TokenRole = 'subject' | 'resource' | 'action' | 'domain' | 'environment' | 'attribute';

const tokenRoles: ReadonlyMap<string, TokenRole> = new Map([
  ...(['sub', 'subject', 'user'] as const).map((name) => [name, 'subject'] as const),
  ...(['obj', 'object', 'res', 'resource'] as const).map((name) => [name, 'resource'] as const),
  ...(['act', 'action', 'method'] as const).map((name) => [name, 'action'] as const),
  ...(['dom', 'domain', 'tenant'] as const).map((name) => [name, 'domain'] as const),
  ...(['env', 'ctx', 'context'] as const).map((name) => [name, 'environment'] as const),
]);

export function tokenRole(token: string): TokenRole {
  return tokenRoles.get(token) ?? 'attribute';
}

export interface TokenBinding {
  readonly token: string;
  readonly role: TokenRole;
  readonly line: Binding | undefined;
  /** Whether some expression reads the token as a value; if none does, it does not matter that it has none. */
  readonly readAsValue: boolean;
}

/** A request's entities with their stored attributes. */
export interface BoundRequest {
  readonly request: DecisionRequest;
  readonly subject: EntityAttributes;
  readonly action: EntityAttributes;
  readonly resource: EntityAttributes;
}

/** Looks up the request's entities. */
export function bindRequest(
  request: DecisionRequest,
  entities: EntityStore,
  precedence: Manifest['precedence'],
): BoundRequest | BindingError {
  const subject = bindEntity(request.subject, 'subject', entities, precedence);
  if (subject instanceof BindingError) return subject;
  const resource = bindEntity(request.resource, 'resource', entities, precedence);
  if (resource instanceof BindingError) return resource;
  return { request, subject, action: bindAction(request.action), resource };
}

function bindEntity(
  entity: Entity,
  what: string,
  entities: EntityStore,
  precedence: Manifest['precedence'],
): EntityAttributes | BindingError {
  const stored = entities.size === 0 ? undefined : entities.find(entity.type, entity.id);
  if (stored === AMBIGUOUS) {
    const message = `several entities have the id ${describeValue(entity.id)}: say the ${what}'s type`;
    return new BindingError('ambiguous_entity', message);
  }
  return new EntityAttributes({
    own: { type: entity.type ?? stored?.type, id: entity.id },
    requested: entity.attributes,
    stored: stored?.attributes,
    precedence,
  });
}

function bindAction(action: Action): EntityAttributes {
  return new EntityAttributes({
    own: { name: action.name },
    requested: action.attributes,
    stored: undefined,
    precedence: 'request',
  });
}

/**
 * The token as a value. Undefined when it stands for an attribute that the request does not have: an error of the
 * rules that read it. A domain, or a manifest's line, that finds nothing is an error of the request.
 */
export function tokenValue(binding: TokenBinding, bound: BoundRequest): Json | undefined | BindingError {
  if (binding.line !== undefined) return valueOfLine(binding.line, binding.token, bound);
  switch (binding.role) {
    case 'subject':
      return bound.request.subject.id;
    case 'resource':
      return bound.request.resource.id;
    case 'action':
      return bound.request.action.name;
    case 'domain':
      return domainOf(bound);
    case 'environment':
      return bound.request.attributes ?? {};
    case 'attribute':
      return attributeOf(bound.request, binding.token);
    default:
      return binding.role satisfies never;
  }
}

/** What `r.token.x` is read from. */
export function tokenSource(binding: TokenBinding, bound: BoundRequest): AttributeSource {
  switch (binding.role) {
    case 'subject':
      return bound.subject;
    case 'resource':
      return bound.resource;
    case 'action':
      return bound.action;
    case 'environment':
      return bound.request.attributes ?? {};
    case 'domain':
    case 'attribute':
      return attributeOf(bound.request, binding.token);
    default:
      return binding.role satisfies never;
  }
}

function attributeOf(request: DecisionRequest, name: string): Json | undefined {
  return request.attributes === undefined ? undefined : ownMember(request.attributes, name);
}

/** `attributes.tenant`, else the resource's; the subject's own tenant is never taken for it. */
function domainOf(bound: BoundRequest): Json | BindingError {
  const asked = attributeOf(bound.request, 'tenant');
  const owned = bound.resource.get('tenant');
  const domain = asked ?? owned;
  if (asked !== undefined && owned !== undefined && asked !== owned) {
    return new BindingError(
      'domain_conflict',
      `attributes.tenant is ${describeValue(asked)}, the resource's tenant is ${describeValue(owned)}`,
    );
  }
  if (domain === undefined) {
    return new BindingError('missing_binding', 'neither attributes.tenant nor resource.attributes.tenant is given');
  }
  if (typeof domain === 'string') return domain;
  return new BindingError('wrong_binding', `the tenant must be a text, not ${describeValue(domain)}`);
}

function valueOfLine(line: Binding, token: string, bound: BoundRequest): Json | BindingError {
  if (line.kind === 'path') return readLinePath(line.path, token, bound);
  let text = '';
  for (const part of line.parts) {
    const value = typeof part === 'string' ? part : readLinePath(part, token, bound);
    if (value instanceof BindingError) return value;
    text += String(value);
  }
  return text;
}

function readLinePath(path: BindingPath, token: string, bound: BoundRequest): string | number | BindingError {
  const [first, ...rest] = path.steps as [string, ...string[]];
  let value: Json | undefined;
  if (path.root === 'attributes') {
    value = attributeOf(bound.request, first);
  } else {
    const entity = bound[path.root];
    const skipsAll = (first === 'attributes' || first === 'properties') && rest.length > 0;
    value = entity.get(skipsAll ? (rest.shift() as string) : first);
  }
  for (const step of rest) value = isObject(value) ? ownMember(value, step) : undefined;
  const name = `${path.root}.${path.steps.join('.')}`;
  if (value === undefined)
    return new BindingError('missing_binding', `r.${token} is bound to ${name}, which is missing`);
  if (typeof value === 'string' || typeof value === 'number') return value;
  const message = `r.${token} is bound to ${name}, which must be a text or a number, not ${describeValue(value)}`;
  return new BindingError('wrong_binding', message);
}
