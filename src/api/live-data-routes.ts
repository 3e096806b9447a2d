/**
 * Changes of live data. A route of Fastify's own, since a change may be larger than the bodies that controllers take.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Integer, Text } from '../answers/members.js';
import { isObject } from '../core/matcher/values.js';
import type { DataChange } from '../core/policy/data-change.js';
import type { Json, JsonObject } from '../core/request.js';
import { type FieldError, VerdictError } from '../errors.js';
import type { HttpLimits } from '../http/http-limits.js';
import type { Operation, OperationHeader } from '../http/operation.js';
import type { LiveDataWriting } from '../policy-store/data/live-data-writing.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { defaultSourceLimits } from '../policy-store/source-limits.js';
import { Turns } from '../turns/turns.js';
import { expectedOf, ifMatchHeader } from './if-match.js';
import { DataChangeRequest, nameBytes } from './live-data.requests.js';

class ChangedData {
  @Text()
  readonly set!: string;

  @Text({ description: 'The version of the set with the change.' })
  readonly version!: string;

  @Integer({ description: 'The revision to demand (`atLeast`) of an answer that must know this change.' })
  readonly revision!: number;

  @Integer({ description: 'How many role links and entities are new: those that were there already are not counted.' })
  readonly added!: number;

  @Integer({ description: 'How many role links and entities are gone.' })
  readonly removed!: number;
}

const keyHeader: OperationHeader = {
  name: 'Idempotency-Key',
  description:
    'A text of the caller. The same change under the same key is made once within a day, and answered again as it was.',
  pattern: '^[!-~]{1,128}$',
};

const operation: Operation = {
  id: 'changePolicySetData',
  tag: 'live data',
  summary: 'Add and remove role links and entities of a policy set, all of them or none',
  body: DataChangeRequest,
  headers: [ifMatchHeader, keyHeader],
  examples: {
    promotion: {
      summary: 'Ana becomes an editor instead of an author',
      value: { add: { roles: [['g', 'user:ana', 'editor']] }, remove: { roles: [['g', 'user:ana', 'author']] } },
    },
    attributes: {
      summary: 'Other attributes for Ben: the entity is removed and added in one change',
      value: {
        add: { entities: [{ type: 'user', id: 'ben', attributes: { level: 2 } }] },
        remove: { entities: [{ type: 'user', id: 'ben' }] },
      },
    },
  },
  answers: { 200: { description: 'It is in force here, and on all replicas within a second.', json: ChangedData } },
  refusals: [
    'invalid_request',
    'policy_set_not_found',
    'not_live_data',
    'conflict',
    'defined_in_files',
    'idempotency_key_reused',
    'precondition_failed',
    'payload_too_large',
    'policy_writes_in_progress',
    'policy_set_unavailable',
  ],
};

/** Levels of a change above the attributes of an entity: change, `add`, `entities`, entity. */
const levelsAboveAttributes = 4;
/** Most values of a change. It bounds the memory that a body takes: a role link of four columns has five. */
const mostValues = 1_000_000;
/** Most bytes of an entity or a role link, as it is sent. It bounds what a page of a list takes. */
const entryBytes = 64 * 1024;

export function registerLiveDataRoutes(
  fastify: FastifyInstance,
  store: PolicyStore,
  data: LiveDataWriting,
  { attributeDepth }: HttpLimits,
): void {
  fastify.post<{ Body: Json; Params: { readonly set: string } }>(
    '/v1/policy-sets/:set/changes',
    {
      config: {
        access: 'data:write',
        audit: 'policy_set_data_changed',
        operation,
        lists: { depth: levelsAboveAttributes + attributeDepth, values: mostValues, elementBytes: entryBytes },
      },
      bodyLimit: defaultSourceLimits.maxBytes,
    },
    async (request, reply) => {
      const { set } = request.params;
      const [expected, key] = [expectedOf(request), keyOf(request)];
      if (!isObject(request.body)) throw invalid('the body must be an object');
      await refuseLongNames(request.body);
      const from = store.statuses().find(({ name }) => name === set)?.version;
      // The members are not checked here: what reads the change refuses each fault with its place.
      const change = request.body as DataChange;
      const written = await data.change(set, change, { by: request.caller.name, expected, key });
      request.servedVersions = { ...(from !== undefined && { fromVersion: from }), toVersion: written.version };
      return reply.header('etag', `"${written.revision}"`).send(written);
    },
  );
}

/** @throws VerdictError `invalid_request` */
function keyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  // Node joins what is sent twice by a comma and a blank.
  if (key === undefined || (typeof key === 'string' && /^[!-~]{1,128}$/.test(key))) return key;
  throw invalid('Idempotency-Key must be one text of 1 to 128 printable ASCII characters without blanks');
}

/** Most faults that are listed. */
const mostFaults = 20;

/**
 * Looks at the length of names alone, in turns.
 *
 * @throws VerdictError `invalid_request`
 */
async function refuseLongNames(change: JsonObject): Promise<void> {
  const faults: FieldError[] = [];
  const turns = new Turns();
  for (const part of ['add', 'remove'] as const) {
    for (const list of ['roles', 'entities'] as const) {
      const items = memberOf(change[part], list);
      if (!Array.isArray(items)) continue;
      for (const [at, item] of items.entries()) {
        if (turns.isOver) await turns.next();
        const names = list === 'roles' ? item : [memberOf(item, 'type'), memberOf(item, 'id')];
        if (bytesOf(names) <= nameBytes || faults.length === mostFaults) continue;
        const what = list === 'roles' ? 'the columns of a link have' : 'type and id of an entity have';
        const detail = `${what} no more than ${nameBytes} bytes together`;
        faults.push({ pointer: `/${part}/${list}/${at}`, detail });
      }
    }
  }
  if (faults.length > 0) throw invalid(faults[0]!.detail, faults);
}

/** Bytes of the texts in a list. */
function bytesOf(list: unknown): number {
  if (!Array.isArray(list)) return 0;
  return list.reduce((sum: number, text) => sum + (typeof text === 'string' ? Buffer.byteLength(text) : 0), 0);
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function invalid(detail: string, errors: readonly FieldError[] = [{ pointer: '', detail }]): VerdictError {
  return new VerdictError('invalid_request', `The request is not valid: ${detail}.`, { errors });
}
