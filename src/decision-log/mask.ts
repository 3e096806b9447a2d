import { nameOfStep } from '../core/json-pointer.js';
import type { Action, DecisionRequest, Entity, Json, JsonObject, TokenClaims } from '../core/request.js';
import { secretName } from './secret-names.js';
import type { ValueHash } from './value-hash.js';

/** Replaces a masked value in a record. */
export const maskedValue = '[masked]';

/** A policy set's own rules: JSON pointers (RFC 6901) into the normalised request. */
export interface MaskRules {
  /** The value is replaced by `[masked]`. */
  readonly mask: readonly string[];
  /** The value is replaced by a hash of it (value-hash.ts); without a key by `[masked]`. */
  readonly hash?: readonly string[];
  /** The member is left out. */
  readonly drop: readonly string[];
}

/** Gives the request as it may be stored: the same object when there is nothing to hide, else a changed copy. */
export type Mask = (request: DecisionRequest) => DecisionRequest;

/**
 * Compiles the rules of one policy version. Beside them, attributes whose names say that they are secret are masked at
 * any depth (secret-names.ts).
 *
 *     const mask = compileMask({ mask: ['/subject/attributes/ssn'], drop: ['/attributes/trace'] });
 *     mask({ subject: { id: 'alice', attributes: { ssn: '078-05-1120' } }, …, attributes: { trace: 'x', token: 'y' } })
 *     // { subject: { id: 'alice', attributes: { ssn: '[masked]' } }, …, attributes: { token: '[masked]' } }
 *
 * `hash` gives what a record shows in the place of a value that a rule hashes.
 *
 * A record always has a subject id, an action name and a resource id, so a rule that would drop one of them masks it.
 */
export function compileMask(rules: MaskRules, hash: ValueHash = () => maskedValue): Mask {
  const tree: RuleNode = { members: new Map() };
  for (const pointer of rules.hash ?? []) addRule(tree, pointer, hash);
  // What two rules are about gets the one that shows less.
  for (const pointer of rules.mask) addRule(tree, pointer, 'mask');
  for (const pointer of rules.drop) addRule(tree, pointer, 'drop');
  const whole = tree.action !== undefined;
  const rule = (name: string): RuleNode | undefined => (whole ? tree : tree.members.get(name));
  const [subjectRule, actionRule, resourceRule, attributesRule, tokensRule] = [
    'subject',
    'action',
    'resource',
    'attributes',
    'tokens',
  ].map(rule);

  return (request) => {
    const subject = maskEntity(request.subject, subjectRule);
    const action = maskAction(request.action, actionRule);
    const resource = maskEntity(request.resource, resourceRule);
    const attributes = maskAttributes(request.attributes, attributesRule);
    const tokens = request.tokens && maskTokens(request.tokens, tokensRule);
    if (
      subject === request.subject &&
      action === request.action &&
      resource === request.resource &&
      attributes === request.attributes &&
      tokens === request.tokens
    ) {
      return request;
    }
    const masked = attributes === undefined ? { subject, action, resource } : { subject, action, resource, attributes };
    return tokens === undefined ? masked : { ...masked, tokens };
  };
}

interface RuleNode {
  readonly members: Map<string, RuleNode>;
  /** A hash stands for the values that it is given. */
  action?: 'mask' | 'drop' | ValueHash;
}

function addRule(root: RuleNode, pointer: string, action: NonNullable<RuleNode['action']>): void {
  let node = root;
  for (const part of pointer.split('/').slice(1)) {
    const name = nameOfStep(part);
    let next = node.members.get(name);
    if (next === undefined) {
      next = { members: new Map() };
      node.members.set(name, next);
    }
    node = next;
  }
  node.action = action;
}

function maskEntity(entity: Entity, rule: RuleNode | undefined): Entity {
  if (rule?.action !== undefined) return { id: maskedValue };
  const attributes = maskAttributes(entity.attributes, rule?.members.get('attributes'));
  const idRule = rule?.members.get('id')?.action;
  const typeRule = rule?.members.get('type')?.action;
  if (attributes === entity.attributes && idRule === undefined && typeRule === undefined) return entity;
  const id = idRule === undefined ? entity.id : maskedValue;
  const type = typeRule === undefined ? entity.type : typeRule === 'drop' ? undefined : maskedValue;
  return { ...(type !== undefined && { type }), id, ...(attributes !== undefined && { attributes }) };
}

function maskAction(action: Action, rule: RuleNode | undefined): Action {
  if (rule?.action !== undefined) return { name: maskedValue };
  const attributes = maskAttributes(action.attributes, rule?.members.get('attributes'));
  const nameRule = rule?.members.get('name')?.action;
  if (attributes === action.attributes && nameRule === undefined) return action;
  const name = nameRule === undefined ? action.name : maskedValue;
  return attributes === undefined ? { name } : { name, attributes };
}

function maskAttributes(attributes: JsonObject | undefined, rule: RuleNode | undefined): JsonObject | undefined {
  if (attributes === undefined || rule?.action === 'drop') return undefined;
  if (rule?.action !== undefined) return Object.fromEntries(Object.keys(attributes).map((name) => [name, maskedValue]));
  return maskMembers(attributes, rule);
}

/** A token may be called as a secret is: what its claims are called counts. */
function maskTokens(tokens: TokenClaims, rule: RuleNode | undefined): TokenClaims | undefined {
  if (rule?.action === 'drop') return undefined;
  const masked = Object.entries(tokens).map(([name, claims]) => {
    const own = rule?.action === undefined ? rule?.members.get(name) : rule;
    return [name, maskAttributes(claims, own)] as const;
  });
  if (masked.every(([name, claims]) => claims === tokens[name])) return tokens;
  return Object.fromEntries(masked.filter((each): each is [string, JsonObject] => each[1] !== undefined));
}

function maskMembers(object: JsonObject, rule: RuleNode | undefined): JsonObject {
  let changed: Map<string, Json | undefined> | undefined;
  for (const name of Object.keys(object)) {
    const value = object[name]!;
    const masked = maskValue(name, value, rule?.members.get(name));
    if (masked === value) continue;
    changed ??= new Map();
    changed.set(name, masked);
  }
  if (changed === undefined) return object;
  const kept = Object.entries(object).flatMap(([name, value]) => {
    const masked = changed.has(name) ? changed.get(name) : value;
    return masked === undefined ? [] : [[name, masked] as const];
  });
  return Object.fromEntries(kept);
}

/** Undefined where the member is dropped. */
function maskValue(name: string, value: Json, rule: RuleNode | undefined): Json | undefined {
  if (rule?.action === 'drop') return undefined;
  if (rule?.action === 'mask') return maskedValue;
  if (rule?.action !== undefined) return rule.action(value);
  // `hasPassword: true` tells nothing that a policy may not depend on.
  if (value === null || typeof value === 'boolean') return value;
  if (secretName(name)) return maskedValue;
  return maskInside(value, rule);
}

function maskInside(value: Json, rule: RuleNode | undefined): Json {
  if (value === null || typeof value !== 'object') return value;
  if (!Array.isArray(value)) return maskMembers(value, rule);
  // A dropped element would move the others.
  const elements = value.map((element, i) => {
    const own = rule?.members.get(String(i));
    if (typeof own?.action === 'function') return own.action(element);
    return own?.action === undefined ? maskInside(element, own) : maskedValue;
  });
  return elements.some((element, i) => element !== value[i]) ? elements : value;
}
