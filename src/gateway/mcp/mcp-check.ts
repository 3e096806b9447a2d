/**
 * Decides on a message of the Model Context Protocol. The user of the verified token and the agent that holds it must both be
 * allowed. A refusal comes as the JSON-RPC error that the agent gets; what is thrown is an error, and never an allow.
 */
import type { AccessTokens } from '../../auth/access-tokens.js';
import type { RequestLimits } from '../../core/asked/attribute-count.js';
import { pointerToRounded } from '../../core/exact-json.js';
import type { McpMapping } from '../../core/manifest/mcp-mapping.js';
import { isObject } from '../../core/matcher/values.js';
import { faultInName } from '../../core/names.js';
import type { Json, JsonObject } from '../../core/request.js';
import { VerdictError } from '../../errors.js';
import type { DecisionAnswer } from '../../pdp/decision-answer.js';
import type { FreshSets } from '../../pdp/fresh-sets.js';
import type { ListFilter } from '../../pdp/list-filter.js';
import type { Pdp } from '../../pdp/pdp.js';
import type { Asker } from '../../pdp/question.js';
import type { ServedPolicySet } from '../../policy-store/served-policy-set.js';
import { faultInAttributes } from '../mapped-attributes.js';
import { notAllowed, userReason } from '../user-reason.js';
import { MappingError } from './coaz-expressions.js';
import { type McpQuestion, mappedQuestions } from './coaz-mapping.js';
import type { McpAnswer } from './mcp-answer.js';
import { type ItemsOfList, itemsOf, type McpMessage, passesUndecided, targetOf } from './mcp-methods.js';

export interface McpServices {
  readonly pdp: Pdp;
  readonly listFilter: ListFilter;
  readonly freshSets: FreshSets;
  /** Undefined if no issuer is configured: then nobody can be named. */
  readonly userTokens: AccessTokens | undefined;
  readonly limits: RequestLimits;
}

export interface McpCall {
  readonly asker: Asker;
  readonly set: ServedPolicySet;
  readonly message: McpMessage;
  readonly token: string | undefined;
  /** What the server declares for the tool that is called. */
  readonly mapping: Json | undefined;
  /** The server's answer to a list, to be filtered. */
  readonly result: JsonObject | undefined;
}

const codes = { denied: -32001, mapping: -32602 } as const;

/** Who asks, by the token. */
interface Principals {
  readonly user: string;
  readonly agent: string | undefined;
  readonly claims: JsonObject;
  /** The resource identifier of the server. @throws MappingError */
  readonly server: () => string;
}

/** @throws VerdictError when it cannot be decided on now */
export async function checkMessage(services: McpServices, call: McpCall): Promise<McpAnswer> {
  const { message } = call;
  if (passesUndecided(message)) return { allowed: true, passed: true };
  const { maxStaleness } = call.set.compiled.manifest.gateway;
  const set = await services.freshSets.find(call.asker.grants.policySets('decide'), call.set.name, { maxStaleness });
  const mapping = set.compiled.manifest.gateway.mcp;
  const found = await principalsOf(call.token, services.userTokens, mapping);
  if (found === undefined) return unauthenticated;
  if (mapping.agent !== undefined && found.agent === undefined) {
    return refusal(message, codes.denied, `The token names no agent: it has no ${mapping.agent.join(', no ')}.`);
  }
  try {
    const questions = questionsOf(call, found, services.limits);
    if (questions === undefined) return refusal(message, codes.denied, `The method ${message.method} is not known.`);
    const list = itemsOf(message.method);
    if (call.result === undefined || list === undefined)
      return await decideAll(services, call, set, questions, maxStaleness);
    return await filterList(services, call, set, { questions, list, found });
  } catch (error) {
    if (error instanceof MappingError) return refusal(message, codes.mapping, `COAZ mapping error: ${error.message}`);
    // A question that does not fit the schema.
    if (error instanceof VerdictError && error.code === 'invalid_request')
      return refusal(message, codes.denied, notAllowed);
    throw error;
  }
}

async function decideAll(
  { pdp }: McpServices,
  { asker, message }: McpCall,
  set: ServedPolicySet,
  questions: readonly McpQuestion[],
  maxStaleness: string | undefined,
): Promise<McpAnswer> {
  const decisions: DecisionAnswer[] = [];
  for (const question of questions) {
    const decision = await pdp.decide({ ...question, policySet: set.name, maxStaleness }, asker);
    decisions.push(decision);
    if (!decision.allowed) break;
  }
  const last = decisions.at(-1)!;
  const about = {
    policySet: set.name,
    policyVersion: last.policyVersion,
    decisionIds: decisions.map(({ decisionId }) => decisionId),
  };
  if (!last.allowed) return { ...refusal(message, codes.denied, userReason(last.reason)), ...about };
  return { allowed: true, ...about, obligations: decisions.flatMap(({ obligations }) => obligations) };
}

async function filterList(
  { listFilter, limits }: McpServices,
  { message, result, asker }: McpCall,
  set: ServedPolicySet,
  {
    questions,
    list,
    found,
  }: { readonly questions: readonly McpQuestion[]; readonly list: ItemsOfList; readonly found: Principals },
): Promise<McpAnswer> {
  const given = result![list.member];
  // What has no name cannot be asked about.
  const asked = (Array.isArray(given) ? given : []).flatMap((item) => {
    const name = isObject(item) ? item[list.name] : undefined;
    if (!isObject(item) || typeof name !== 'string') return [];
    const questions = questionsOfItem(item, name, list, found, limits);
    return questions === undefined ? [] : [{ item, name, questions }];
  });
  const filtered = await listFilter.filter(set, questions as [McpQuestion, ...McpQuestion[]], asked, asker);
  const about = { policySet: set.name, policyVersion: set.version, decisionIds: [filtered.decisionId] };
  if (filtered.denial !== undefined)
    return { ...refusal(message, codes.denied, userReason(filtered.denial.reason)), ...about };
  const kept = asked.flatMap(({ item }, index) => (filtered.isKept[index] ? [item] : []));
  return { allowed: true, ...about, result: { ...result, [list.member]: kept } };
}

/** None for one that can be decided on only by the arguments of a call: that is when it is called. Undefined for what has no name that a question can hold. */
function questionsOfItem(
  item: JsonObject,
  name: string,
  list: ItemsOfList,
  found: Principals,
  limits: RequestLimits,
): readonly McpQuestion[] | undefined {
  const declared = list.type === 'tool' ? declaredMapping(item) : undefined;
  try {
    if (declared !== undefined) {
      const inputs = { params: { name }, token: found.claims };
      return forBoth(mappedQuestions(declared, inputs, found.user), found, limits);
    }
    const { action, type } = list;
    return forBoth([questionAbout(action, { type, id: name, attributes: {} }, found)], found, limits);
  } catch (error) {
    if (error instanceof MappingError) return declared === undefined ? undefined : [];
    throw error;
  }
}

/** Undefined for a method that nobody knows. @throws MappingError */
function questionsOf(
  { message, mapping }: McpCall,
  found: Principals,
  limits: RequestLimits,
): readonly McpQuestion[] | undefined {
  if (mapping !== undefined && message.method === 'tools/call') {
    const inputs = { params: message.params, token: found.claims };
    return forBoth(mappedQuestions(mapping, inputs, found.user), found, limits);
  }
  const target = targetOf(message, found.server);
  return target === undefined ? undefined : forBoth([questionAbout(message.method, target, found)], found, limits);
}

function questionAbout(
  action: string,
  { type, id, attributes }: { readonly type: string; readonly id: string; readonly attributes: JsonObject },
  { user }: Principals,
): McpQuestion {
  return { subject: { type: 'identity', id: user }, action: { name: action }, resource: { type, id }, attributes };
}

/** Each question of the user, and again of the agent. Who the agent is stands in `agent`, whatever a mapping says. */
function forBoth(
  questions: readonly McpQuestion[],
  { agent }: Principals,
  limits: RequestLimits,
): readonly McpQuestion[] {
  return questions.flatMap((question) => {
    const ofUser = agent === undefined ? question : { ...question, attributes: { ...question.attributes, agent } };
    refuseUnaskable(ofUser, limits);
    return agent === undefined ? [ofUser] : [ofUser, { ...ofUser, subject: { type: 'agent', id: agent } }];
  });
}

/** @throws MappingError for what no question can hold */
function refuseUnaskable(question: McpQuestion, limits: RequestLimits): void {
  const { subject, action, resource, attributes } = question;
  for (const [what, name] of [
    ['subject.type', subject.type],
    ['subject.id', subject.id],
    ['action.name', action.name],
    ['resource.type', resource.type],
    ['resource.id', resource.id],
  ] as const) {
    if (name === undefined) continue;
    if (name === '' || name.length > limits.idLength) throw new MappingError(`${what} is empty or too long`);
    const fault = faultInName(name);
    if (fault !== undefined) throw new MappingError(`${what} holds ${fault}`);
  }
  const fault = faultInAttributes(question, limits);
  if (fault !== undefined) throw new MappingError(`what the message is mapped to ${fault.detail}`);
  for (const each of [subject.attributes, action.attributes, resource.attributes, attributes]) {
    if (each !== undefined && pointerToRounded(each) !== undefined) {
      throw new MappingError('a number is too large to be exact');
    }
  }
}

/** What a tool declares in its `inputSchema`. */
export function declaredMapping({ inputSchema }: JsonObject): Json | undefined {
  return isObject(inputSchema) ? inputSchema['x-authzen-mapping'] : undefined;
}

/** Undefined for a token that does not hold, or names nobody. */
async function principalsOf(
  token: string | undefined,
  tokens: AccessTokens | undefined,
  { subject, agent, server }: McpMapping,
): Promise<Principals | undefined> {
  if (token === undefined || tokens === undefined) return undefined;
  const caller = await tokens.callerOf(token, Date.now());
  if (typeof caller === 'string' || caller.claims === undefined) return undefined;
  const claims = caller.claims as JsonObject;
  const user = textClaim(claims, [subject]);
  if (user === undefined) return undefined;
  return {
    user,
    agent: agent === undefined ? undefined : textClaim(claims, agent),
    claims,
    server: () => server ?? audienceOf(claims),
  };
}

function textClaim(claims: JsonObject, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    if (typeof value === 'string' && value !== '') return value;
  }
  return undefined;
}

function audienceOf({ aud }: JsonObject): string {
  const only = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud;
  if (typeof only === 'string') return only;
  throw new MappingError('the token is for several servers, and gateway.mcp.server does not say which this one is');
}

/** A server answers 401 then, with the challenge (MCP, section "Authorization"). */
const unauthenticated: McpAnswer = Object.freeze({
  allowed: false,
  status: 401,
  challenge: 'Bearer error="invalid_token"',
});

function refusal({ id = null }: McpMessage, code: number, message: string): McpAnswer {
  return { allowed: false, error: { jsonrpc: '2.0', id, error: { code, message } } };
}
