/**
 * Uses the TypeScript client that was generated from the service's OpenAPI document: test/api/clients.test.ts compiles it
 * beside the generated types and compares what it prints. `@ts-expect-error` is a test too: the line must not compile.
 */
import createClient from 'openapi-fetch';
import type { components, paths } from './verdict.js';

type Schemas = components['schemas'];

const { VERDICT_URL, VERDICT_KEY } = process.env;
const client = createClient<paths>({
  baseUrl: VERDICT_URL ?? '',
  headers: { authorization: `Bearer ${VERDICT_KEY}` },
});

function answered<Data>({ data, error }: { data?: Data; error?: unknown }): Data {
  if (data === undefined) throw new Error(`no answer: ${JSON.stringify(error)}`);
  return data;
}

const question: Schemas['DecideRequest'] = {
  subject: { type: 'user', id: 'ann', attributes: { department: 'sales', tags: ['a', 1] } },
  action: 'read',
  resource: { type: 'doc', id: 'doc-1', attributes: { owner: { id: 'ann' } } },
  attributes: { ip: '10.0.0.7' },
};
// @ts-expect-error closed: a slip of the pen does not compile
const slip: Schemas['DecideRequest'] = { ...question, policyset: 'default' };
// @ts-expect-error closed answers have no other members either
const other = (answer: Schemas['DecisionAnswer']) => answer.allow;
void slip;
void other;

const decision: Schemas['DecisionAnswer'] = answered(await client.POST('/v1/decide', { body: question }));

const { decisions } = answered(
  await client.POST('/v1/decide/batch', {
    body: {
      defaults: { subject: question.subject, action: 'read' },
      // The last one lacks what no default has: the service answers it with a problem.
      requests: [{ resource: question.resource }, { resource: 'doc-2', explain: 'none' }, {}],
    },
  }),
);
const batch = decisions.map((each) => ('problem' in each ? each.problem.type : each.decision));

const page = answered(
  await client.GET('/v1/decisions', { params: { query: { subject: 'ann', decision: 'allow', limit: 10 } } }),
);
const record: Schemas['DecisionRecord'] = answered(
  await client.GET('/v1/decisions/{id}', { params: { path: { id: decision.decisionId } } }),
);
const stats = answered(
  await client.GET('/v1/decisions/stats', { params: { query: { by: ['decision', 'policySet'] } } }),
);

const entity = { type: 'user', id: 'ann', properties: { department: 'sales' } };
const evaluation = answered(
  await client.POST('/access/v1/evaluation', {
    body: { subject: entity, action: { name: 'read' }, resource: { type: 'doc', id: 'doc-1' } },
  }),
);
const evaluations = answered(
  await client.POST('/access/v1/evaluations', {
    body: {
      subject: entity,
      action: { name: 'read' },
      evaluations: [{ resource: { type: 'doc', id: 'doc-1' } }, { resource: { type: 'doc', id: 'doc-2' } }],
      options: { evaluations_semantic: 'execute_all' },
    },
  }),
);
const found = answered(
  await client.POST('/access/v1/search/subject', {
    body: { subject: { type: 'user' }, action: { name: 'read' }, resource: { type: 'doc', id: 'doc-1' } },
  }),
);

const exported: string = answered(
  await client.GET('/v1/decisions/export', { params: { query: { format: 'ndjson' } }, parseAs: 'text' }),
);

const refused = await client.POST('/v1/decide', { body: { ...question, resource: 'doc\u0000' } });
// Whatever the status, a refusal has this one form.
const problem: Schemas['Problem'] | undefined = refused.error;
const anonymous = await createClient<paths>({ baseUrl: VERDICT_URL ?? '' }).GET('/v1/decisions');

console.log(
  JSON.stringify({
    decision: { allowed: decision.allowed, code: decision.reason.code, rule: decision.reason.rule },
    batch,
    page: page.items.map(({ request, decision: effect }) => [request.resource.id, effect]),
    record: { attributes: record.request.subject.attributes, via: record.via },
    counts: stats.items.map(({ decision: effect, policySet, count }) => [policySet, effect, count]),
    evaluation: evaluation.decision,
    evaluations: 'evaluations' in evaluations ? evaluations.evaluations.map((each) => each.decision) : undefined,
    found: found.results.map(({ type, id }) => `${type}:${id}`),
    exported: exported.trimEnd().split('\n').length,
    problem: { type: problem?.type, status: problem?.status, faults: problem?.errors?.map(({ pointer }) => pointer) },
    anonymous: anonymous.error?.status,
  }),
);
