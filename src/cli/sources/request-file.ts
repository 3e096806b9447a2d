/** A whole question in a file, as `POST /v1/decide` takes it. Unknown members are refused, as they are there. */
import { readFile } from 'node:fs/promises';
import { text as readStream } from 'node:stream/consumers';
import { parseExactJson, pointerToInexact } from '../../core/exact-json.js';
import { quote } from '../../core/quote.js';
import {
  type DecisionRequest,
  type Json,
  type JsonObject,
  normaliseQuestion,
  type QuestionInput,
} from '../../core/request.js';
import { UsageError } from '../exit-code.js';

export interface RequestFile {
  readonly request: DecisionRequest;
  readonly at?: string;
  readonly policySet?: string;
  /** Claims by token, or the tokens themselves, as the place that is asked wants them. */
  readonly tokens?: JsonObject;
  /** `atLeast` and `maxStaleness`, which only a service can hold to; it checks them. */
  readonly demand: JsonObject;
}

/** @throws UsageError if the file cannot be read, or does not hold a request as JSON; `-` is standard input. */
export async function readRequestFile(file: string): Promise<RequestFile> {
  const body = file === '-' ? await readStream(process.stdin) : await readFile(file, 'utf8').catch(cannotRead(file));
  let value: Json;
  try {
    value = parseExactJson(body);
  } catch (error) {
    throw new UsageError(`${file} is no JSON: ${(error as Error).message}`);
  }
  const pointer = pointerToInexact(value);
  if (pointer !== undefined) throw new UsageError(`${file}: ${pointer} is a number that is too large to be exact`);
  const fault = faultInRequest(value);
  if (fault !== undefined) throw new UsageError(`${file} is no request: ${fault}`);
  // Sound: every member was looked at, but for the values of attributes, which may be anything.
  const { at, policySet, atLeast, maxStaleness, tokens, ...input } = value as unknown as QuestionInput & RequestMembers;
  return {
    request: normaliseQuestion(input),
    demand: { ...(atLeast !== undefined && { atLeast }), ...(maxStaleness !== undefined && { maxStaleness }) },
    ...(at !== undefined && { at }),
    ...(policySet !== undefined && { policySet }),
    ...(tokens !== undefined && { tokens }),
  };
}

interface RequestMembers {
  readonly at?: string;
  readonly policySet?: string;
  readonly tokens?: JsonObject;
  readonly atLeast?: Json;
  readonly maxStaleness?: Json;
}

type Kind = 'text' | 'object';
type Members = Readonly<Record<string, Kind>>;

const entityMembers: Members = { type: 'text', id: 'text', attributes: 'object' };
const actionMembers: Members = { name: 'text', attributes: 'object' };
const otherMembers: Members = { attributes: 'object', tokens: 'object', at: 'text', policySet: 'text' };
const parts = { subject: entityMembers, action: actionMembers, resource: entityMembers } as const;

function faultInRequest(value: Json): string | undefined {
  if (!isObject(value)) return 'it must be an object';
  for (const [name, members] of Object.entries(parts)) {
    const part = Object.hasOwn(value, name) ? value[name] : undefined;
    if (part === undefined) return 'it must have subject, action and resource';
    if (typeof part === 'string') continue;
    if (!isObject(part)) return `${name} must be a string or an object`;
    const own = name === 'action' ? 'name' : 'id';
    if (!Object.hasOwn(part, own)) return `${name}.${own} is missing`;
    const fault = faultInMembers(part, members, `${name}.`);
    if (fault !== undefined) return fault;
  }
  const rest = Object.fromEntries(
    Object.entries(value).filter(
      ([name]) => !Object.hasOwn(parts, name) && name !== 'atLeast' && name !== 'maxStaleness',
    ),
  );
  return faultInMembers(rest, otherMembers, '');
}

function faultInMembers(value: Readonly<Record<string, Json>>, members: Members, before: string): string | undefined {
  for (const [name, member] of Object.entries(value)) {
    const kind = Object.hasOwn(members, name) ? members[name] : undefined;
    if (kind === undefined) return `${before}${quote(name)} would be passed over`;
    if (kind === 'text' ? typeof member !== 'string' : !isObject(member))
      return `${before}${name} must be ${kind === 'text' ? 'a string' : 'an object'}`;
  }
  return undefined;
}

function isObject(value: Json | undefined): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function cannotRead(file: string) {
  return (error: NodeJS.ErrnoException): never => {
    throw new UsageError(`${file} cannot be read: ${error.code ?? error.message}`);
  };
}
