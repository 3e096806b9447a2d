/** An audit event of a change names the policy set of the path, whatever the query says, and keeps the URL. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DeclaredRoute } from '../../src/http/access.js';
import { liveSets } from '../api/live-data-sets.js';
import { type Service, startService } from '../http/service.js';

let service: Service;
beforeAll(async () => {
  service = await startService({}, { policySource: 'database' });
});
afterAll(() => service.stop());

const files = Object.fromEntries(
  Object.entries(liveSets).flatMap(([path, text]) => (path.startsWith('desk/') ? [[path.slice(5), text]] : [])),
);
const other = { ...files, 'rules.csv': `${files['rules.csv']}p, editor, article, print\n` };

/** In their order: each is a success after those before it. */
const changes: readonly (readonly [route: string, type: string, body: (version: string) => object, detail?: string])[] =
  [
    ['PUT /v1/policy-sets/:set', 'policy_set_written', () => ({ files })],
    [
      'POST /v1/policy-sets/:set/changes',
      'policy_set_data_changed',
      () => ({ add: { roles: [['g', 'a', 'author']] } }),
    ],
    ['POST /v1/policy-sets/:set/reload', 'policy_set_reloaded', () => ({})],
    ['POST /v1/policy-sets/:set/rollback', 'policy_set_rolled_back', (version) => ({ version })],
    [
      'PUT /v1/policy-sets/:set/candidate',
      'policy_candidate_set',
      () => ({ files: other, mode: 'shadow' }),
      'shadow, sample 1',
    ],
    [
      'PUT /v1/policy-sets/:set/candidate',
      'policy_candidate_changed',
      () => ({ files: other, mode: 'canary', subjects: 0.5 }),
      'canary for 0.5 of the subjects, sample 1',
    ],
    ['DELETE /v1/policy-sets/:set/candidate', 'policy_candidate_ended', () => ({}), 'it was dropped'],
    ['PUT /v1/policy-sets/:set/candidate', 'policy_candidate_set', () => ({ files: other, mode: 'shadow' })],
    ['POST /v1/policy-sets/:set/candidate/promote', 'policy_candidate_promoted', () => ({}), 'it was a shadow'],
    ['POST /v1/policy-sets/:set/simulations', 'simulation_started', () => ({ candidate: { files } })],
    ['DELETE /v1/policy-sets/:set/simulations/:id', 'simulation_ended', () => ({})],
    ['DELETE /v1/policy-sets/:set', 'policy_set_deleted', () => ({})],
  ];

it('holds for every route that is audited and has a policy set in its path', async () => {
  const { declaredRoutes } = service.app.getHttpAdapter().getInstance() as unknown as {
    declaredRoutes: readonly DeclaredRoute[];
  };
  const audited = declaredRoutes.filter(({ audit, url }) => audit !== undefined && url.includes(':set'));
  const tried = new Set(changes.map(([route]) => route));
  expect([...tried].sort()).toEqual(audited.map(({ method, url }) => `${method} ${url}`).sort());
  expect(audited.filter(({ method }) => method === 'GET')).toEqual([]);
  let simulation = '';
  for (const [route, type, bodyOf, detail] of changes) {
    const [method, path] = route.split(' ') as ['PUT' | 'POST' | 'DELETE', string];
    const version = (await service.get('/v1/policy-sets/desk')).body.version;
    const url = `${path.replace(':set', 'desk').replace(':id', simulation)}?policySet=two`;
    const answer = await service.app.inject({
      ...{ method, url, headers: method === 'DELETE' ? {} : { 'content-type': 'application/json' } },
      ...(method !== 'DELETE' && { payload: JSON.stringify(bodyOf(version)) }),
    });
    expect(answer.statusCode, `${route}: ${answer.body}`).toBeLessThan(300);
    if (type === 'simulation_started') simulation = answer.json().id;
    const { items } = (await service.get(`/v1/audit-events?type=${type}&limit=1`)).body;
    expect(items[0], route).toMatchObject({
      policySet: 'desk',
      detail: expect.stringMatching(detail === undefined ? /two/ : new RegExp(`two: ${detail}$`)),
    });
    expect(items[0].detail.startsWith(`${method} ${url}`)).toBe(true);
  }
});
