/** The types of a decision request, shared by the APIs, the engine and the decision log. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

/** A subject or a resource. `type` is missing if the caller sent a plain string. */
export interface Entity {
  readonly type?: string;
  readonly id: string;
  readonly attributes?: JsonObject;
}

export interface Action {
  readonly name: string;
  readonly attributes?: JsonObject;
}

/**
 * One question in its normal form, as the engine evaluates it and the decision log records it: plain strings have
 * become objects, tokens the claims in them, nothing else was added. Without tokens it is also a valid request body, so a
 * recorded request can be asked again.
 */
export interface DecisionRequest {
  readonly subject: Entity;
  readonly action: Action;
  readonly resource: Entity;
  readonly attributes?: JsonObject;
  readonly tokens?: TokenClaims;
}

/** The claims of verified tokens by the names that the manifest gives them: never the tokens themselves. */
export interface TokenClaims {
  readonly [name: string]: JsonObject;
}

/** The forms a caller may use: a string stands for the id, or for the action's name. */
export interface DecisionRequestInput {
  readonly subject: string | Entity;
  readonly action: string | Action;
  readonly resource: string | Entity;
  readonly attributes?: JsonObject;
  /** The program that embeds the engine has verified the tokens, and gives the claims that the set reads. */
  readonly tokens?: TokenClaims;
}

/**
 * Brings a request into its normal form. Members it does not know (`policySet`, `explain`) are left out. A member that
 * a JavaScript caller left out stays missing: rules that read it err.
 *
 *     normaliseRequest({ subject: 'alice', action: 'read', resource: { type: 'doc', id: '1' } })
 *     // { subject: { id: 'alice' }, action: { name: 'read' }, resource: { type: 'doc', id: '1' } }
 */
export function normaliseRequest(input: DecisionRequestInput): DecisionRequest {
  return withClaims(normaliseQuestion(input), input.tokens);
}

/** A request without its tokens, whose claims are not known until they are verified. */
export type QuestionInput = Omit<DecisionRequestInput, 'tokens'>;

/** As `normaliseRequest`; tokens are left out. */
export function normaliseQuestion(input: QuestionInput): DecisionRequest {
  const subject = normaliseEntity(input.subject);
  const action = normaliseAction(input.action);
  const resource = normaliseEntity(input.resource);
  const { attributes } = input;
  return attributes === undefined ? { subject, action, resource } : { subject, action, resource, attributes };
}

/** The request with the claims of its tokens. */
export function withClaims(request: DecisionRequest, tokens: TokenClaims | undefined): DecisionRequest {
  return tokens === undefined ? request : { ...request, tokens };
}

const nothing = Object.freeze({}) as Entity & Action;

function normaliseEntity(entity: string | Entity): Entity {
  if (typeof entity === 'string') return { id: entity };
  const { type, id, attributes } = entity ?? nothing;
  if (type === undefined) return attributes === undefined ? { id } : { id, attributes };
  return attributes === undefined ? { type, id } : { type, id, attributes };
}

function normaliseAction(action: string | Action): Action {
  if (typeof action === 'string') return { name: action };
  const { name, attributes } = action ?? nothing;
  return attributes === undefined ? { name } : { name, attributes };
}
