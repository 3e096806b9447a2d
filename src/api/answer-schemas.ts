/**
 * What the routes of controllers answer, as JSON Schema. Their types are interfaces, which leave nothing behind for Nest's
 * scanner to read; `test/api/openapi-answers.test.ts` holds real answers against these.
 */

import { tallyFields } from '../decision-log/tally.js';
import type { ErrorCode } from '../errors.js';
import type { JsonSchema } from '../http/json-schema.js';
import { EntityBody } from './decide-request.js';

const text: JsonSchema = { type: 'string' };
const integer: JsonSchema = { type: 'integer' };
const time: JsonSchema = { type: 'string', format: 'date-time' };
const anything: JsonSchema = {};
const oneOf = (...values: string[]): JsonSchema => ({ type: 'string', enum: values });
const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items });
const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

/** Members whose name ends with `?` may be missing. */
function object(members: Record<string, JsonSchema>): JsonSchema {
  const names = Object.keys(members);
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name.replace('?', ''), members[name]])),
    required: names.filter((name) => !name.endsWith('?')),
  };
}

const page = (items: JsonSchema, more: Record<string, JsonSchema> = {}): JsonSchema =>
  object({ items: list(items), 'nextCursor?': text, ...more });

const action = object({ name: text, 'attributes?': { type: 'object' } });
const reason = object({ code: text, 'rule?': list(text), 'file?': text, 'line?': integer, 'message?': anything });
const diagnostic = object({ code: text, message: text, 'rule?': list(text), 'file?': text, 'line?': integer });
const explainedRule = { rule: list(text), effect: text, file: text, line: integer };
const computed = {
  decision: oneOf('allow', 'deny'),
  reason,
  obligations: list(anything),
  errors: list(diagnostic),
  policyVersion: text,
  engineVersion: text,
  semantics: integer,
};
const apiKey = {
  name: text,
  'owner?': text,
  scopes: list(text),
  'sets?': list(text),
  'addresses?': list(text),
  'dailyQuota?': integer,
  'expires?': time,
  created: time,
  createdBy: text,
  'revoked?': time,
  'lastUsed?': time,
  secrets: list(object({ created: time, 'expires?': time, 'lastUsed?': time })),
};
const session = { caller: text, method: text, scopes: list(text) };

export const answerSchemas: Readonly<Record<string, JsonSchema>> = {
  DecisionRecord: object({
    id: text,
    time,
    policySet: text,
    policyVersion: text,
    engineVersion: text,
    semantics: integer,
    request: object({
      subject: ref(EntityBody.name),
      action,
      resource: ref(EntityBody.name),
      'attributes?': { type: 'object' },
    }),
    'masked?': { const: true },
    clock: time,
    decision: oneOf('allow', 'deny'),
    reason,
    errors: list(diagnostic),
    obligations: list(anything),
    'search?': object({
      kind: oneOf('subject', 'resource', 'action'),
      examined: integer,
      complete: { type: 'boolean' },
      results: list(text),
    }),
    caller: text,
    authentication: text,
    via: text,
    requestId: text,
    'traceId?': text,
    durationUs: integer,
    'instance?': text,
    writer: integer,
    'sequence?': integer,
  }),
  DecisionStats: object({
    items: list(
      object({
        'time?': time,
        count: integer,
        'policySet?': text,
        'policyVersion?': text,
        'decision?': text,
        'reason?': text,
        'caller?': text,
        'other?': list(oneOf(...tallyFields)),
      }),
    ),
    total: integer,
    'uncertain?': integer,
    'complete?': { const: false },
    'countedTo?': time,
    'top?': object({ ids: list(object({ id: text, count: integer })), examined: integer, 'searchedTo?': time }),
  }),
  Explanation: object({
    summary: text,
    matching: list(
      object({
        ...explainedRule,
        roles: list(object({ definition: text, path: list(text), 'domain?': text })),
      }),
    ),
    nearMisses: list(
      object({
        ...explainedRule,
        failed: list(object({ term: text, operands: list(object({ text, value: anything })), message: text })),
      }),
    ),
    changes: list(
      object({
        ...explainedRule,
        changes: list({
          anyOf: [
            object({ kind: { const: 'request' }, path: text, 'from?': anything, to: anything }),
            object({ kind: { const: 'role' }, definition: text, name: text, role: text, 'domain?': text }),
          ],
        }),
      }),
    ),
    complete: { type: 'boolean' },
  }),
  Replay: object({
    decisionId: text,
    policySet: text,
    clock: time,
    recorded: object(computed),
    replayed: object({ ...computed, 'explanation?': ref('Explanation') }),
    same: { type: 'boolean' },
  }),
  PolicySetStatus: object({
    name: text,
    state: oneOf('active', 'stale', 'failed'),
    since: time,
    'version?': text,
    'servedSince?': time,
    'engine?': oneOf('verdict', 'casbin'),
    'description?': text,
    'folderVersion?': text,
    pinned: { type: 'boolean' },
    problems: list(
      object({
        severity: oneOf('error', 'warning'),
        code: text,
        message: text,
        file: text,
        line: integer,
        column: integer,
        'hint?': text,
      }),
    ),
    problemCount: integer,
  }),
  PolicySetVersion: object({
    version: text,
    files: list(object({ path: text, digest: text, size: integer })),
    'gitCommit?': text,
    semantics: integer,
    firstServed: time,
    lastServed: time,
  }),
  PolicyDiff: object({
    from: text,
    to: text,
    files: list(object({ path: text, change: oneOf('added', 'removed', 'changed') })),
    added: list(object({ rule: list(text), file: text, line: integer })),
    removed: list(object({ rule: list(text), file: text, line: integer })),
    reordered: { type: 'boolean' },
    'more?': object({ added: integer, removed: integer }),
  }),
  ApiKey: object(apiKey),
  NewApiKey: object({ key: text, ...apiKey }),
  AuditEvent: object({
    'id?': integer,
    time,
    type: text,
    'actor?': text,
    'method?': text,
    'address?': text,
    'policySet?': text,
    'fromVersion?': text,
    'toVersion?': text,
    'detail?': text,
    'requestId?': text,
    count: integer,
  }),
  Health: object({
    status: text,
    info: { type: 'object' },
    error: { type: 'object' },
    details: { type: 'object' },
  }),
};

export interface Answer {
  /** By content type; none for an answer without a body. */
  readonly content: Readonly<Record<string, JsonSchema>>;
  /** How the route refuses, beside what every route does. */
  readonly problems: readonly ErrorCode[];
}

const json = (schema: JsonSchema, ...problems: ErrorCode[]): Answer => ({
  content: { 'application/json': schema },
  problems,
});
const status = json(object({ status: text }));

/** By method and path, as the document has them. */
export const answers: Readonly<Record<string, Answer>> = {
  'get /v1/decisions': json(
    page(ref('DecisionRecord'), { 'searchedTo?': time, 'gaps?': list({ type: 'object' }) }),
    'invalid_request',
    'cursor_expired',
  ),
  'get /v1/decisions/{id}': json(ref('DecisionRecord'), 'decision_not_found'),
  'get /v1/decisions/stats': json(ref('DecisionStats'), 'invalid_request'),
  'get /v1/decisions/export': {
    content: { 'application/x-ndjson': text, 'text/csv': text },
    problems: ['invalid_request'],
  },
  'post /v1/decisions/{id}/replay': json(
    ref('Replay'),
    'invalid_request',
    'decision_not_found',
    'not_replayable',
    'policy_set_unavailable',
  ),
  'get /v1/policy-sets': json(object({ items: list(ref('PolicySetStatus')) })),
  'get /v1/policy-sets/{set}': json(ref('PolicySetStatus'), 'policy_set_not_found'),
  'get /v1/policy-sets/{set}/versions': json(page(ref('PolicySetVersion')), 'invalid_request', 'policy_set_not_found'),
  'get /v1/policy-sets/{set}/versions/{version}': json(ref('PolicySetVersion'), 'policy_version_not_found'),
  'get /v1/policy-sets/{set}/versions/{version}/files/{path}': {
    content: { 'text/plain': text },
    problems: ['policy_version_not_found'],
  },
  'post /v1/policy-sets/{set}/reload': json(ref('PolicySetStatus'), 'policy_set_not_found'),
  'post /v1/policy-sets/{set}/rollback': json(
    ref('PolicySetStatus'),
    'invalid_request',
    'policy_version_not_found',
    'policy_version_invalid',
  ),
  'get /v1/policy-sets/{set}/diff': json(ref('PolicyDiff'), 'invalid_request', 'policy_version_not_found'),
  'get /v1/api-keys': json(object({ items: list(ref('ApiKey')) })),
  'post /v1/api-keys': json(ref('NewApiKey'), 'invalid_request', 'api_key_exists'),
  'get /v1/api-keys/{name}': json(ref('ApiKey'), 'api_key_not_found'),
  'post /v1/api-keys/{name}/rotate': json(ref('NewApiKey'), 'invalid_request', 'api_key_not_found'),
  'delete /v1/api-keys/{name}': { content: {}, problems: ['api_key_not_found'] },
  'get /v1/audit-events': json(page(ref('AuditEvent'), { 'searchedTo?': time }), 'invalid_request'),
  'post /v1/session': json(object({ ...session, csrfToken: text, ends: time }), 'invalid_request'),
  'get /v1/session': json(object(session)),
  'delete /v1/session': { content: {}, problems: [] },
  'get /health': json(ref('Health')),
  'get /health/live': status,
  'get /health/ready': status,
  'get /metrics': { content: { 'text/plain': text }, problems: [] },
};
