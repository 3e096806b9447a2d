/** What each method of the Model Context Protocol asks for: the default mappings of COAZ's binding (section "Default Mappings"). */
import { isObject } from '../../core/matcher/values.js';
import type { Json, JsonObject } from '../../core/request.js';
import { MappingError } from './coaz-expressions.js';

/** A JSON-RPC 2.0 request or notification. */
export interface McpMessage {
  readonly method: string;
  readonly params: JsonObject;
  /** Undefined for a notification. */
  readonly id: string | number | null | undefined;
}

export interface McpTarget {
  readonly type: string;
  readonly id: string;
  /** What else the decision can depend on. */
  readonly attributes: JsonObject;
}

type Target = (params: JsonObject, server: () => string) => McpTarget;

const ofServer =
  (more: (params: JsonObject) => { [name: string]: Json | undefined } = () => ({})): Target =>
  (params, server) => ({ type: 'mcp_server', id: server(), attributes: present(more(params)) });

const one =
  (type: string, member: string): Target =>
  (params) => ({ type, id: textIn(params, member), attributes: argumentsIn(params) });

const targets: ReadonlyMap<string, Target> = new Map([
  ['initialize', ofServer(({ protocolVersion }) => ({ protocol_version: protocolVersion }))],
  ['tools/list', ofServer()],
  ['tools/call', one('tool', 'name')],
  ['resources/list', ofServer()],
  ['resources/read', one('resource', 'uri')],
  ['resources/subscribe', one('resource', 'uri')],
  ['resources/unsubscribe', one('resource', 'uri')],
  ['prompts/list', ofServer()],
  ['prompts/get', one('prompt', 'name')],
  ['completion/complete', completed],
  ['logging/setLevel', ofServer(({ level }) => ({ level }))],
  ['tasks/get', one('task', 'taskId')],
  ['tasks/result', one('task', 'taskId')],
  ['tasks/cancel', one('task', 'taskId')],
  ['tasks/list', ofServer()],
]);

function present(members: { readonly [name: string]: Json | undefined }): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as JsonObject;
}

/** What a method asks for; undefined for one that nobody knows, which is denied. @throws MappingError */
export function targetOf({ method, params }: McpMessage, server: () => string): McpTarget | undefined {
  return targets.get(method)?.(params, server);
}

/** What passes without a decision: `ping`, and notifications, which carry no `id`. */
export function passesUndecided({ method, id }: McpMessage): boolean {
  return method === 'ping' || (id === undefined && method.startsWith('notifications/'));
}

/** The lists that answers hold: where their items are, how one is named, and what one asks for to use it. */
const lists: ReadonlyMap<string, ItemsOfList> = new Map([
  ['tools/list', { member: 'tools', name: 'name', action: 'tools/call', type: 'tool' }],
  ['resources/list', { member: 'resources', name: 'uri', action: 'resources/read', type: 'resource' }],
  ['prompts/list', { member: 'prompts', name: 'name', action: 'prompts/get', type: 'prompt' }],
  ['tasks/list', { member: 'tasks', name: 'taskId', action: 'tasks/get', type: 'task' }],
]);

export interface ItemsOfList {
  readonly member: string;
  readonly name: string;
  readonly action: string;
  readonly type: string;
}

export function itemsOf(method: string): ItemsOfList | undefined {
  return lists.get(method);
}

function completed(params: JsonObject): McpTarget {
  const { ref } = params;
  if (!isObject(ref)) throw new MappingError('params.ref is no object');
  const isPrompt = ref.type === 'ref/prompt';
  return { type: isPrompt ? 'prompt' : 'resource', id: textIn(ref, isPrompt ? 'name' : 'uri'), attributes: {} };
}

/** Arguments are attributes of the question, so that rules can depend on them and masks can hide them. */
function argumentsIn({ arguments: given }: JsonObject): JsonObject {
  return given === undefined ? {} : { arguments: given };
}

function textIn(params: JsonObject, name: string): string {
  const value: Json | undefined = params[name];
  if (typeof value !== 'string')
    throw new MappingError(`params.${name} is ${value === undefined ? 'missing' : 'no text'}`);
  return value;
}
