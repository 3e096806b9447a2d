/** A question on the command line: `--subject user:ann --action read --resource letter:7 --attr ip=10.0.0.7`. */
import type { Command } from 'commander';
import type { SignedTokens } from '../../auth/question-tokens.js';
import { parseExactJson, pointerToInexact } from '../../core/exact-json.js';
import { walk } from '../../core/matcher/ast.js';
import { namesAllAttributes } from '../../core/matcher/entity-attributes.js';
import { faultInName } from '../../core/names.js';
import { isCombination } from '../../core/policy/combination.js';
import type { CompiledPolicySet } from '../../core/policy/compile.js';
import { expressionsOf } from '../../core/policy/expressions.js';
import { quote } from '../../core/quote.js';
import type { DecisionRequest, Entity, Json, JsonObject } from '../../core/request.js';
import { normaliseRequest } from '../../core/request.js';
import { parseRfc3339 } from '../../core/rfc3339.js';
import { UsageError } from '../exit-code.js';
import { collect } from '../options.js';
import { type RequestFile, readRequestFile } from './request-file.js';
import { readGivenTokens, withTokens } from './request-tokens.js';

export interface RequestOptions {
  readonly subject?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly attr: readonly string[];
  readonly token: readonly string[];
  readonly request?: string;
  readonly at?: string;
}

export function addRequestOptions(command: Command): Command {
  return command
    .option('--subject <[type:]id>', 'who asks')
    .option('--action <name>', 'what they want to do')
    .option('--resource <[type:]id>', 'with what')
    .option(
      '--attr <name=value>',
      'an attribute, any number of times. subject.x, resource.x, action.x say whose it is; a bare name goes to where ' +
        "the policies read it (with --url it is the request's own). A value that is JSON is read as JSON",
      collect,
      [],
    )
    .option(
      '--token <name=value>',
      'a token of the question, any number of times: of a folder its claims as a JSON object, with --url the signed token. ' +
        '"@" and a file is what the file holds, so that no token stands on the command line',
      collect,
      [],
    )
    .option('--request <file>', 'the whole request as JSON, as POST /v1/decide takes it; "-" is stdin')
    .option('--at <time>', 'the clock of the decision, RFC 3339; with --database also the version that served then');
}

/** A question with the clock and the policy set that it is asked of, where they are given. */
export interface AskedQuestion {
  /** With the claims of its tokens, unless a service is asked. */
  readonly request: DecisionRequest;
  /** Signed tokens, which a service verifies. */
  readonly tokens?: SignedTokens;
  readonly at?: string;
  readonly set?: string;
  /** How fresh the policy set must be: `atLeast` and `maxStaleness` of a file. */
  readonly demand: JsonObject;
}

/** The question that the options describe, or their file. `compiled` says where bare attributes belong. */
export async function askedQuestion(
  options: RequestOptions & { readonly url?: string; readonly set?: string },
  compiled: CompiledPolicySet | undefined,
): Promise<AskedQuestion> {
  const { at, set } = options;
  const given = { ...(at !== undefined && { at }), ...(set !== undefined && { set }) };
  if (options.request === undefined) {
    const asked = withTokens(requestOf(options, compiled), await readGivenTokens(options), options, compiled);
    return { ...asked, ...given, demand: {} };
  }
  const { request, demand, ...named } = await wholeRequest({ ...options, request: options.request });
  for (const [member, option] of [
    ['at', 'at'],
    ['policySet', 'set'],
  ] as const) {
    if (named[member] !== undefined && options[option] !== undefined)
      throw new UsageError(`${options.request} has ${member} already: --${option} does not go with it`);
  }
  const { policySet } = named;
  if (Object.keys(demand).length > 0 && options.url === undefined)
    throw new UsageError(
      `${options.request}: ${Object.keys(demand)[0]} goes with --url; a folder is read as it is now`,
    );
  if (policySet !== undefined && options.url === undefined)
    throw new UsageError(`${options.request}: policySet goes with --url; the folder is the policy set`);
  return {
    ...withTokens(withGoodNames(request), named.tokens ?? {}, options, compiled),
    demand,
    ...given,
    ...(named.at !== undefined && { at: named.at }),
    ...(policySet !== undefined && { set: policySet }),
  };
}

function wholeRequest(options: RequestOptions & { readonly request: string }): Promise<RequestFile> {
  const { subject, action, resource, attr, token } = options;
  if ([subject, action, resource].some((part) => part !== undefined) || attr.length > 0 || token.length > 0) {
    throw new UsageError(
      '--request is the whole request: --subject, --action, --resource, --attr and --token do not go with it',
    );
  }
  return readRequestFile(options.request);
}

function requestOf(options: RequestOptions, compiled: CompiledPolicySet | undefined): DecisionRequest {
  const { subject, action, resource } = options;
  if (subject === undefined || action === undefined || resource === undefined) {
    throw new UsageError('a question needs --subject, --action and --resource, or --request');
  }
  const parts: Record<AttributeOwner, JsonObject> = { subject: {}, resource: {}, action: {}, attributes: {} };
  for (const given of options.attr) {
    const { owner, path, value } = readAttribute(given, compiled);
    setAt(parts[owner], path, value);
  }
  const attributesOf = (owner: AttributeOwner) =>
    Object.keys(parts[owner]).length === 0 ? {} : { attributes: parts[owner] };
  const request = normaliseRequest({
    subject: { ...parseEntity(subject), ...attributesOf('subject') },
    action: { name: action, ...attributesOf('action') },
    resource: { ...parseEntity(resource), ...attributesOf('resource') },
    ...attributesOf('attributes'),
  });
  return withGoodNames(request);
}

/** The clock, in milliseconds since the epoch. */
export function clockOf({ at }: Pick<RequestOptions, 'at'>): number {
  if (at === undefined) return Date.now();
  const time = parseRfc3339(at);
  if (time === undefined) throw new UsageError(`--at ${at} is no time`, 'for example 2026-11-18T10:00:00Z');
  return time;
}

/**
 * `user:ann` is the user ann; only the command line splits texts like this. A colon in front means an entity without a
 * type.
 */
export function parseEntity(text: string): Entity {
  const colon = text.indexOf(':');
  if (colon < 0) return { id: text };
  return colon === 0 ? { id: text.slice(1) } : { type: text.slice(0, colon), id: text.slice(colon + 1) };
}

export type AttributeOwner = 'subject' | 'resource' | 'action' | 'attributes';

export function readAttribute(given: string, compiled: CompiledPolicySet | undefined) {
  const { path, value } = readNamedValue(given);
  const [first = '', ...rest] = path;
  const isOwner = ['subject', 'resource', 'action', 'attributes'].includes(first) && rest.length > 0;
  if (isOwner) return { owner: first as AttributeOwner, path: rest, value };
  return {
    owner: compiled === undefined ? ('attributes' as const) : ownerOf(first, compiled),
    path,
    value,
  };
}

/** `address.city=Bern`: where a value belongs, and the value. */
export function readNamedValue(given: string): { readonly path: readonly string[]; readonly value: Json } {
  const equals = given.indexOf('=');
  if (equals <= 0) throw new UsageError(`--attr ${given} is no attribute`, 'for example --attr amount=900');
  return { path: given.slice(0, equals).split('.'), value: readValue(given.slice(equals + 1)) };
}

function readValue(text: string): Json {
  let value: Json;
  try {
    value = parseExactJson(text);
  } catch {
    return text;
  }
  if (pointerToInexact(value) !== undefined)
    throw new UsageError(`${quote(text)} holds a number that is too large to be exact`);
  return value;
}

export function setAt(target: JsonObject, path: readonly string[], value: Json): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
    return;
  }
  const inner = Object.hasOwn(target, name) ? target[name] : undefined;
  const next = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {};
  Object.defineProperty(target, name, { value: next, enumerable: true, configurable: true, writable: true });
  setAt(next, rest, value);
}

/** Where the policies read an attribute of that name; one that they do not read is the request's own. */
function ownerOf(name: string, { main }: CompiledPolicySet): AttributeOwner {
  if (!isCombination(main)) return 'attributes';
  const owners = new Set<AttributeOwner>();
  for (const expression of expressionsOf(main)) {
    walk(expression, (part) => {
      if (part.kind !== 'attribute') return;
      const role = main.tokens[main.request.columns.get(part.name) ?? -1]?.role;
      const [first, second] = part.path;
      if ((namesAllAttributes(first) ? second : first) !== name) return;
      if (role === 'subject' || role === 'resource' || role === 'action') owners.add(role);
      else if (role !== 'token') owners.add('attributes');
    });
  }
  if (owners.size > 1) {
    const names = [...owners].map((owner) => `${owner}.${name}`);
    throw new UsageError(`--attr ${name}=… could be ${names.join(' or ')}`, 'say which one');
  }
  return [...owners][0] ?? 'attributes';
}

/** Refuses names that the service refuses with 400. */
function withGoodNames(request: DecisionRequest): DecisionRequest {
  const { subject, action, resource } = request;
  const names = { 'subject.id': subject.id, 'subject.type': subject.type, 'action.name': action.name } as const;
  for (const [what, name] of Object.entries({ ...names, 'resource.id': resource.id, 'resource.type': resource.type })) {
    const fault = typeof name === 'string' ? faultInName(name) : undefined;
    if (fault !== undefined) throw new UsageError(`${what} holds ${fault}`);
  }
  return request;
}
