/** Binds the tokens of a request definition to parts of a decision request (docs/policy-format.md). */
import type { Diagnostic, ReasonCode } from '../decision.js';
import { type Binding, type BindingPath, type BindingTemplate, faultInPart } from '../manifest/binding-text.js';
import { ambiguousEntity, type EntityStore } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import { EntityAttributes } from '../matcher/entity-attributes.js';
import type { AttributeSource } from '../matcher/scope.js';
import { describeValue, isObject, ownMember } from '../matcher/values.js';
import type { Action, DecisionRequest, Entity, Json, JsonObject } from '../request.js';

/** Why a request cannot be evaluated by this policy set. It is denied. */
export class BindingError {
  /** All faults, if there are several or they have a place in the request. */
  readonly details: readonly Diagnostic[];

  constructor(
    readonly code:
      | 'ambiguous_entity'
      | 'missing_binding'
      | 'wrong_binding'
      | 'control_character'
      | 'domain_conflict'
      | 'unknown_entity'
      | 'schema_violation'
      | 'step_budget_exceeded',
    readonly message: string,
    details?: readonly Diagnostic[],
  ) {
    this.details = details ?? [{ code, message }];
  }

  /** The reason of the deny. */
  get reason(): ReasonCode {
    const { code } = this;
    return code === 'domain_conflict' || code === 'unknown_entity' || code === 'schema_violation'
      ? code
      : 'evaluation_error';
  }
}

/** The meaning of a token by its name. */
export type TokenRole = 'subject' | 'resource' | 'action' | 'domain' | 'environment' | 'token' | 'attribute';

/** The token of a request definition that stands for the verified tokens, in a set that declares some. */
export const tokenOfClaims = 'token';

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

/**
 * A guess for tokens that name the same thing: the first names it, each other one is an attribute of the request.
 *
 *     guessedBindings(['sub', 'user'])   // [['sub', 'subject.id'], ['user', 'attributes.user']]
 */
export function guessedBindings([first = '', ...others]: readonly string[]): (readonly [string, string])[] {
  const role = tokenRole(first);
  const path =
    role === 'subject' || role === 'resource'
      ? `${role}.id`
      : role === 'action'
        ? 'action.name'
        : role === 'domain'
          ? 'attributes.tenant'
          : `attributes.${first}`;
  return [[first, path], ...others.map((token) => [token, `attributes.${token}`] as const)];
}

export interface TokenBinding {
  readonly token: string;
  readonly role: TokenRole;
  readonly line: Binding | undefined;
  /** True if an expression reads the token as a value. If none does, a missing value is not an error. */
  readonly readAsValue: boolean;
}

/** Tokens that name the same thing, by that thing, unless the manifest says what each of them is. */
export function ambiguousTokens(tokens: readonly TokenBinding[]): ReadonlyMap<TokenRole, readonly string[]> {
  const byRole = new Map<TokenRole, readonly TokenBinding[]>();
  for (const token of tokens) {
    if (token.role !== 'attribute') byRole.set(token.role, [...(byRole.get(token.role) ?? []), token]);
  }
  const ambiguous = new Map<TokenRole, readonly string[]>();
  for (const [role, sharing] of byRole) {
    if (sharing.length > 1 && sharing.some(({ line }) => line === undefined)) {
      ambiguous.set(
        role,
        sharing.map(({ token }) => token),
      );
    }
  }
  return ambiguous;
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

/** As `bindRequest`, of one entity; `what` it is in the request. */
export function bindEntity(
  entity: Entity,
  what: string,
  entities: EntityStore,
  precedence: Manifest['precedence'],
): EntityAttributes | BindingError {
  const stored = entities.size === 0 ? undefined : entities.find(entity.type, entity.id);
  if (stored === ambiguousEntity) {
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
 * The value of a token. Undefined for an attribute that the request does not have: an error of the rules that read it.
 * A domain or a line of the manifest that finds nothing is an error of the request.
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
    case 'token':
      return claimsOf(bound.request);
    case 'attribute':
      return attributeOf(bound.request, binding.token);
    default:
      return binding.role satisfies never;
  }
}

/** The object that `r.token.x` is read from. */
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
    case 'token':
      return claimsOf(bound.request);
    case 'domain':
    case 'attribute':
      return attributeOf(bound.request, binding.token);
    default:
      return binding.role satisfies never;
  }
}

const noClaims: JsonObject = Object.freeze({});

/** Claims by token; a token that the request does not bring is missing there. */
function claimsOf({ tokens }: DecisionRequest): JsonObject {
  return tokens ?? noClaims;
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
  return line.kind === 'path' ? readBindingPath(line.path, token, bound) : textOfTemplate(line, token, bound);
}

function textOfTemplate(template: BindingTemplate, token: string, bound: BoundRequest): string | BindingError {
  let text = '';
  for (const [index, part] of template.parts.entries()) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const found = readBindingPath(part, token, bound);
    if (found instanceof BindingError) return found;
    const value = String(found);
    const fault = faultInPart(template, index, value);
    if (fault !== undefined)
      return new BindingError('wrong_binding', `r.${token} is bound to ${nameOf(part)}, which ${fault}`);
    text += value;
  }
  return text;
}

function nameOf({ root, steps }: BindingPath): string {
  return `${root}.${steps.join('.')}`;
}

/** The value of a path of the manifest; `token` is the token of its line. */
export function readBindingPath(path: BindingPath, token: string, bound: BoundRequest): string | number | BindingError {
  const [first, ...rest] = path.steps as [string, ...string[]];
  let value: Json | undefined;
  if (path.root === 'attributes') {
    value = attributeOf(bound.request, first);
  } else if (path.root === 'token') {
    value = ownMember(claimsOf(bound.request), first);
  } else {
    const entity = bound[path.root];
    const skipsAll = (first === 'attributes' || first === 'properties') && rest.length > 0;
    value = entity.get(skipsAll ? (rest.shift() as string) : first);
  }
  for (const step of rest) value = isObject(value) ? ownMember(value, step) : undefined;
  if (value === undefined)
    return new BindingError('missing_binding', `r.${token} is bound to ${nameOf(path)}, which is missing`);
  if (typeof value === 'string' || typeof value === 'number') return value;
  const message = `r.${token} is bound to ${nameOf(path)}, which must be a text or a number, not ${describeValue(value)}`;
  return new BindingError('wrong_binding', message);
}
