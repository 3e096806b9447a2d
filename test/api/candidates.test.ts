/** The candidate of a policy set on SQLite: shadow and canary, gates, promotion, what is kept and who may see it. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AuditLog } from '../../src/audit/audit-log.js';
import { PolicyArchive } from '../../src/policy-store/archive/policy-archive.js';
import { isInShare } from '../../src/policy-store/candidates/canary-share.js';
import { SqliteCandidateStore } from '../../src/policy-store/candidates/sqlite/sqlite-candidate-store.js';
import { DatabaseSource } from '../../src/policy-store/database/database-source.js';
import { type PolicyFiles, type Service, startService, writePolicies } from '../http/service.js';
import { idModel } from '../models.js';
import { setOf as bundled, bundleFolder, publicationOf } from '../policy-store/bundle/published.js';
import { newKey } from '../policy-store/bundle/signing-keys.js';
import { temporaryDirectory } from '../policy-store/folders.js';
import { startKeyedService } from '../security/keyed-service.js';
import { liveSets } from './live-data-sets.js';

const base = { 'model.conf': idModel, 'rules.csv': 'p, ann, doc, read\np, bob, doc, read\n' };
/** Ann loses, carl gains. */
const other = { 'model.conf': idModel, 'rules.csv': 'p, bob, doc, read\np, carl, doc, read\n' };
const open = { maxGained: 1, maxLost: 1, maxErrors: 1 };

let service: Service;
afterEach(() => service.stop().catch(() => undefined));

const start = async (files: PolicyFiles = setOf(base), settings: Parameters<typeof startService>[1] = {}) => {
  service = await startService(files, settings);
};
function setOf(files: PolicyFiles, name = 'default'): PolicyFiles {
  return Object.fromEntries(Object.entries(files).map(([path, text]) => [`${name}/${path}`, text]));
}
const send = async (method: 'PUT' | 'POST' | 'DELETE' | 'GET', path: string, body?: unknown) => {
  const answer = await service.app.inject({
    method,
    url: `/v1/policy-sets/default${path === '' ? '' : `/${path}`}`,
    headers: method === 'PUT' || method === 'POST' ? { 'content-type': 'application/json' } : {},
    ...(body !== undefined && { payload: JSON.stringify(body) }),
  });
  return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() };
};
const put = (body: unknown) => send('PUT', 'candidate', body);
const decide = async (subject: string, more: object = {}) =>
  (await service.post('/v1/decide', { subject, action: 'read', resource: 'doc', ...more })).body;

/** Resolves with the candidate when it is as wanted. */
// biome-ignore lint/suspicious/noExplicitAny: each test knows the body that it asked for
const until = (isWanted: (body: any) => boolean): Promise<any> =>
  vi.waitFor(
    async () => {
      const { body } = await send('GET', 'candidate');
      if (!isWanted(body)) throw new Error(`the candidate is still ${JSON.stringify({ ...body, differences: [] })}`);
      return body;
    },
    { timeout: 20_000, interval: 20 },
  );
const compared = (n: number) => until(({ counts }) => counts.compared === n);

describe('a shadow', () => {
  it('decides after the answer has left: answers do not change, differences are counted and kept', async () => {
    await start();
    const set = await put({ files: other, mode: 'shadow', gates: open });
    expect(set).toMatchObject({
      status: 200,
      body: {
        policySet: 'default',
        mode: 'shadow',
        sample: 1,
        state: 'running',
        counts: { compared: 0 },
        differences: [],
      },
    });
    const active = (await service.get('/v1/policy-sets/default')).body.version;
    expect(set.body.activeVersion).toBe(active);
    for (const [subject, allowed] of [
      ['ann', true],
      ['bob', true],
      ['carl', false],
      ['dan', false],
    ] as const) {
      const answer = await decide(subject);
      expect(answer).toMatchObject({ allowed, policyVersion: active });
      expect(answer).not.toHaveProperty('candidate');
    }
    const found = await compared(4);
    expect(found.counts).toMatchObject({ compared: 4, gained: 1, lost: 1, errors: 0, skipped: 0, answered: 0 });
    expect(found.differences).toMatchObject([
      {
        kind: 'gained',
        request: { subject: { id: 'carl' }, action: { name: 'read' }, resource: { id: 'doc' } },
        active: { policyVersion: active, decision: 'deny', reason: { code: 'no_matching_rule' } },
        candidate: { policyVersion: set.body.version, decision: 'allow', reason: { code: 'rule_allowed', line: 2 } },
      },
      { kind: 'lost', request: { subject: { id: 'ann' } } },
    ]);
    const metrics = (await service.get('/metrics')).body;
    expect(metrics).toContain('verdict_candidate_differences_total{policy_set="default",result="gained"} 1');
    expect(metrics).toContain('verdict_candidate_comparisons_total{policy_set="default",result="compared"} 4');
    expect(metrics).toContain('verdict_candidate_running{policy_set="default",mode="shadow"} 1');
  });

  it('that errs in every rule, or takes more steps than it may, changes no answer, and is held', async () => {
    await start();
    const erring = { ...base, 'model.conf': idModel.replace('m = ', 'm = r.sub.age > 18 && ') };
    const pattern = 'ab'.repeat(500);
    const looping = {
      'model.conf': idModel.replace('r.obj == p.obj', 'regexMatch(r.obj, p.obj)'),
      'rules.csv': Array.from({ length: 500 }, (_, n) => `p, ann, (${pattern}|x)*${n}, read`).join('\n'),
    };
    const long = 'ab'.repeat(400);
    for (const [files, code] of [
      [erring, 'missing_attribute'],
      [looping, 'step_budget_exceeded'],
    ] as const) {
      const set = await put({ files, mode: 'shadow', gates: { maxGained: 1, maxLost: 1, maxErrors: 0 } });
      expect(set.status, JSON.stringify(set.body)).toBe(200);
      expect(await decide('ann')).toMatchObject({ allowed: true, errors: [] });
      expect(await decide('ann', { resource: long })).toMatchObject({ allowed: false, errors: [] });
      const held = await until((body) => body.state === 'held');
      expect(held).toMatchObject({ reason: 'errors', detail: expect.stringContaining('a share of 0 is allowed') });
      const erred = held.differences.find(({ kind }: { kind: string }) => kind === 'errors');
      expect(erred.candidate.errors[0].code).toBe(code);
      expect(await decide('ann')).toMatchObject({ allowed: true });
      expect(await send('POST', 'candidate/promote')).toMatchObject({
        status: 409,
        body: { detail: expect.stringContaining('held') },
      });
    }
    const { items } = (await service.get('/v1/audit-events?policySet=default')).body;
    const types = items.map(({ type }: { type: string }) => type).filter((type: string) => /candidate/.test(type));
    expect(types).toEqual(['held', 'changed', 'held', 'set'].map((step) => `policy_candidate_${step}`));
    const held = items.find(({ type }: { type: string }) => type === 'policy_candidate_held');
    expect(held).toMatchObject({
      actor: 'verdict',
      detail: expect.stringMatching(/^errors: \d of \d decisions of the candidate err/),
    });
    expect((await service.get('/metrics')).body).toContain(
      'verdict_candidate_running{policy_set="default",mode="shadow"} 0',
    );
  });

  it('cannot be rolled back to: it never served', async () => {
    await start();
    const { body } = await put({ files: other, mode: 'shadow', gates: open });
    const refused = { status: 404, body: { type: 'urn:verdict:problem:policy_version_not_found' } };
    expect(await send('POST', 'rollback', { version: body.version })).toMatchObject(refused);
    await send('DELETE', 'candidate');
    expect(await send('POST', 'rollback', { version: body.version })).toMatchObject(refused);
    expect(await send('POST', 'rollback', { version: body.activeVersion })).toMatchObject({ status: 200 });
  });

  it('compares a sample', async () => {
    await start();
    await put({ files: other, mode: 'shadow', sample: 0, gates: open });
    for (let n = 0; n < 20; n++) await decide('ann');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await send('GET', 'candidate')).body.counts).toMatchObject({ compared: 0, skipped: 0 });
  });

  it('counts other obligations, and keeps requests masked by the rules of both versions', async () => {
    const manifest = (path: string) => `decisionLog: { mask: [/subject/attributes/${path}] }\n`;
    const model = idModel.replace('p = sub, obj, act', 'p = sub, obj, act, obligations');
    const set = {
      'model.conf': model,
      'rules.csv': `p, ann, doc, read, "[{""id"": ""log""}]"\n`,
      'policy-set.yaml': manifest('ssn'),
    };
    await start(setOf(set));
    const tried = { ...set, 'rules.csv': set['rules.csv'].replace('log', 'tell'), 'policy-set.yaml': manifest('age') };
    expect(await put({ files: tried, mode: 'shadow', gates: open })).toMatchObject({ status: 200 });
    await service.post('/v1/decide', {
      ...{
        subject: { id: 'ann', attributes: { ssn: '1', age: 7, name: 'A', password: 'x' } },
        action: 'read',
        resource: 'doc',
      },
    });
    const found = await compared(1);
    expect(found.counts).toMatchObject({ obligations: 1, gained: 0, lost: 0 });
    const attributes = { ssn: '[masked]', age: '[masked]', name: 'A', password: '[masked]' };
    expect(found.differences).toMatchObject([{ kind: 'obligations', request: { subject: { attributes } } }]);
  });
});

describe('a canary', () => {
  const subjects = Array.from({ length: 400 }, (_, n) => `subject-${n}`);
  const everybody = { 'model.conf': idModel.replace('r.sub == p.sub && ', ''), 'rules.csv': 'p, x, doc, read\n' };

  it('answers for its share of the subjects, and answers and records name it', async () => {
    await start();
    const active = (await service.get('/v1/policy-sets/default')).body.version;
    const { body: set } = await put({ files: everybody, mode: 'canary', subjects: 0.25, gates: open });
    expect(set).toMatchObject({ mode: 'canary', subjects: 0.25, activeVersion: active });
    const answers = new Map<
      string,
      { candidate?: string; policyVersion: string; allowed: boolean; decisionId: string }
    >();
    for (const subject of subjects) answers.set(subject, await decide(subject));
    const inside = subjects.filter((subject) => answers.get(subject)!.candidate === 'canary');
    expect(inside).toEqual(subjects.filter((id) => isInShare('default', undefined, id, 0.25)));
    for (const [subject, { allowed, policyVersion }] of answers) {
      expect([allowed, policyVersion]).toEqual(inside.includes(subject) ? [true, set.version] : [false, active]);
    }
    const id = answers.get(inside[0]!)!.decisionId;
    const record = (await service.get(`/v1/decisions/${id}`)).body;
    expect(record).toMatchObject({ candidate: 'canary', policyVersion: set.version, decision: 'allow' });
    expect((await service.post(`/v1/decisions/${id}/replay`, {})).body).toMatchObject({ same: true });
    const found = (await service.get(`/v1/decisions?filter=${encodeURIComponent("candidate == 'canary'")}&limit=1000`))
      .body;
    expect(found.items).toHaveLength(inside.length);
    const csv = (await service.get('/v1/decisions/export?format=csv')).body as string;
    expect(csv.split('\r\n').filter((line) => line.includes(',canary,'))).toHaveLength(inside.length);
    const counted = await compared(inside.length);
    expect(counted.counts).toMatchObject({ answered: inside.length, gained: inside.length, lost: 0 });
  });

  it('answers batches, AuthZEN and gateways alike: one version for each subject', async () => {
    const gateway = { 'policy-set.yaml': 'gateway: { identity: { header: X-User, proxies: [anonymous] } }\n' };
    await start(setOf({ ...base, ...gateway }));
    await put({ files: { ...everybody, ...gateway }, mode: 'canary', subjects: 0.5, gates: open });
    const asked = subjects.slice(0, 50);
    const expected = asked.map((id) => (isInShare('default', undefined, id, 0.5) ? 'canary' : undefined));
    expect(new Set(expected).size).toBe(2);
    const requests = asked.map((subject) => ({ subject, action: 'read', resource: 'doc' }));
    const { decisions } = (await service.post('/v1/decide/batch', { requests })).body;
    expect(decisions.map(({ candidate }: { candidate?: string }) => candidate)).toEqual(expected);
    const typed = asked.map((id) => (isInShare('default', 'user', id, 0.5) ? 'canary' : undefined));
    const evaluations = asked.map((id) => ({ subject: { type: 'user', id } }));
    const authzen = { action: { name: 'read' }, resource: { type: 'thing', id: 'doc' }, evaluations };
    const answers = (await service.post('/access/v1/evaluations', authzen)).body.evaluations;
    expect(answers.map(({ context }: { context: { candidate?: string } }) => context.candidate)).toEqual(typed);
    const at = typed.indexOf('canary');
    const one = { ...authzen, evaluations: undefined, ...evaluations[at] };
    expect((await service.post('/access/v1/evaluation', one)).body).toMatchObject({
      decision: true,
      context: { candidate: 'canary' },
    });
    for (const [n, user] of asked.slice(0, 10).entries()) {
      const headers = {
        'x-forwarded-method': 'GET',
        'x-forwarded-uri': '/x',
        'x-forwarded-host': 'shop.example',
        'x-user': user,
      };
      const forwarded = await service.get('/v1/gateway/forward-auth', headers);
      const record = await service.log.find(String(forwarded.headers['x-verdict-decision-id']));
      expect(record?.candidate).toBe(typed[n]);
    }
  });

  it('answers a subject whose type only the entities say as the one whose type is said', async () => {
    const entities = { 'entities.yaml': subjects.map((id) => `- { type: user, id: ${id} }`).join('\n') };
    await start(setOf({ ...base, ...entities }));
    await put({ files: { ...everybody, ...entities }, mode: 'canary', subjects: 0.5, gates: open });
    for (const id of subjects.slice(0, 40)) {
      const both = [
        await decide(id),
        (await service.post('/v1/decide', { subject: { type: 'user', id }, action: 'read', resource: 'doc' })).body,
      ];
      expect(both[0].candidate).toBe(both[1].candidate);
    }
  });

  it('leaves searches, analyses and whoever demands a revision to the active version', async () => {
    await start({}, { policySource: 'database' });
    expect((await send('PUT', '', { files: base })).status).toBe(200);
    await put({ files: everybody, mode: 'canary', subjects: 1, gates: open });
    expect(await decide('dan')).toMatchObject({ allowed: true, candidate: 'canary' });
    const demanding = await decide('dan', { atLeast: 1 });
    expect(demanding).toMatchObject({ allowed: false, revision: 1 });
    expect(demanding.candidate).toBeUndefined();
    expect(await decide('dan', { atLeast: { other: 1 } })).toMatchObject({ status: 400 });
    const who = (await send('POST', 'who-can', { action: 'read', resource: 'doc' })).body;
    expect(who).toMatchObject({ revision: 1 });
    expect(JSON.stringify(who.permissions)).not.toContain('"x"');
    const search = (
      await service.post('/access/v1/search/subject', {
        subject: { type: 'user' },
        action: { name: 'read' },
        resource: { type: 'thing', id: 'doc' },
      })
    ).body;
    expect(search.results.map(({ id }: { id: string }) => id).sort()).toEqual(['ann', 'bob']);
  });

  it('is withdrawn by its gates: all are answered by the active version again', async () => {
    await start();
    await put({ files: everybody, mode: 'canary', subjects: 1, gates: { maxGained: 0.1, minCompared: 20 } });
    for (const subject of subjects.slice(0, 30)) await decide(subject);
    const withdrawn = await until((body) => body.state === 'withdrawn');
    expect(withdrawn).toMatchObject({ reason: 'gained', detail: expect.stringMatching(/^\d+ of \d+ compared/) });
    expect((await decide('dan')).candidate).toBeUndefined();
    const { items } = (await service.get('/v1/audit-events?type=policy_candidate_withdrawn')).body;
    expect(items).toMatchObject([{ policySet: 'default', detail: expect.stringMatching(/^gained: /) }]);
  });

  it('is withdrawn by its gate of latency', async () => {
    await start();
    await put({
      files: everybody,
      mode: 'canary',
      subjects: 1,
      gates: { ...open, maxLatencyMs: 0.001, minCompared: 5 },
    });
    for (const subject of subjects.slice(0, 10)) await decide(subject);
    expect(await until((body) => body.state === 'withdrawn')).toMatchObject({ reason: 'latency' });
  });

  it('is compared within a bound of steps: where the active version would need more, nothing is said of it', async () => {
    const looping = {
      'model.conf': idModel.replace('r.obj == p.obj', 'regexMatch(r.obj, p.obj)'),
      'rules.csv': Array.from({ length: 500 }, (_, n) => `p, ann, (${'ab'.repeat(500)}|x)*${n}, read`).join('\n'),
    };
    await start(setOf(looping));
    const gates = { ...open, maxLatencyMs: 10_000 };
    expect((await put({ files: base, mode: 'canary', subjects: 1, gates })).status).toBe(200);
    expect(await decide('ann', { resource: 'ab'.repeat(400) })).toMatchObject({ candidate: 'canary' });
    const { counts } = await until(({ counts }) => counts.skipped === 1);
    expect(counts).toMatchObject({ answered: 1, compared: 0, gained: 0, lost: 0, errors: 0 });
    // What takes few steps is compared.
    await decide('bob', { action: 'write' });
    await compared(1);
  });

  it('is not blamed for the time of an explanation', async () => {
    await start();
    const gates = { ...open, maxLatencyMs: 0.001, minCompared: 1 };
    expect((await put({ files: other, mode: 'canary', subjects: 1, gates })).status).toBe(200);
    await decide('ann', { explain: 'full' });
    expect(await compared(1)).toMatchObject({ state: 'running', counts: { slow: 0 } });
    await decide('ann');
    expect(await until(({ state }) => state === 'withdrawn')).toMatchObject({ reason: 'latency' });
  });

  it('is withdrawn by its errors and its time, also where next to nothing is compared', async () => {
    await start();
    const erring = { ...base, 'model.conf': idModel.replace('m = ', 'm = r.sub.age > 18 && ') };
    const gates = { ...open, maxErrors: 0.1, minCompared: 20 };
    for (const [asked, reason] of [
      [{ files: erring, gates }, 'errors'],
      [{ files: everybody, gates: { ...gates, maxLatencyMs: 0.001 } }, 'latency'],
    ] as const) {
      const set = await put({ ...asked, mode: 'canary', subjects: 1, sample: 1e-9 });
      expect(set.status, JSON.stringify(set.body)).toBe(200);
      for (let n = 0; n < 30; n++) await decide('ann');
      const withdrawn = await until((body) => body.state === 'withdrawn');
      expect(withdrawn).toMatchObject({ reason, counts: { compared: 0, gained: 0, lost: 0 } });
    }
    expect((await decide('ann')).candidate).toBeUndefined();
  });

  it('is not blamed for errors that the active version has, too', async () => {
    const erring = { ...base, 'model.conf': idModel.replace('m = ', 'm = r.sub.age > 18 && ') };
    await start(setOf(erring));
    const files = { ...erring, 'rules.csv': `${base['rules.csv']}p, carl, doc, read\n` };
    const gates = { maxGained: 0, maxLost: 0, maxErrors: 0 };
    await put({ files, mode: 'canary', subjects: 1, gates });
    expect(await decide('ann')).toMatchObject({ candidate: 'canary', errors: [{ code: 'missing_attribute' }] });
    const found = await compared(1);
    expect(found).toMatchObject({ state: 'running', counts: { errors: 0, answered: 1 } });
  });

  it('lets the active version answer what its schema would reject, and is withdrawn for it', async () => {
    await start();
    const schema =
      'subject:\n  user:\n    type: object\n    properties: { age: { type: integer } }\n    required: [age]\n';
    const files = { ...base, 'policy-set.yaml': 'schema: { requests: reject }\n', 'schema.yaml': schema };
    const gates = { ...open, maxErrors: 0.5, minCompared: 2 };
    const set = await put({ files, mode: 'canary', subjects: 1, gates });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    const active = set.body.activeVersion;
    const ask = async (id: string, attributes: object) =>
      await decide('', { subject: { type: 'user', id, attributes } });
    expect(await ask('ann', { age: 7 })).toMatchObject({ allowed: true, candidate: 'canary' });
    const answer = await ask('ann', {});
    expect(answer).toMatchObject({ allowed: true, policyVersion: active, errors: [] });
    expect(answer).not.toHaveProperty('candidate');
    const record = (await service.get(`/v1/decisions/${answer.decisionId}`)).body;
    expect(record).toMatchObject({ policyVersion: active, decision: 'allow' });
    expect(record).not.toHaveProperty('candidate');
    const { decisions } = (
      await service.post('/v1/decide/batch', {
        requests: [{ subject: { type: 'user', id: 'bob' }, action: 'read', resource: 'doc' }],
      })
    ).body;
    expect(decisions).toMatchObject([{ allowed: true, policyVersion: active }]);
    const withdrawn = await until((body) => body.state === 'withdrawn');
    expect(withdrawn).toMatchObject({ reason: 'errors', counts: { errors: 2, lost: 2, answered: 1 } });
    expect(withdrawn.detail).toMatch(/^2 of 3 decisions of the candidate err/);
    const kinds = withdrawn.differences.map(({ kind }: { kind: string }) => kind);
    expect(kinds.sort()).toEqual(['errors', 'errors', 'lost', 'lost']);
    // What both reject is refused as ever.
    await service.stop();
    await start(setOf(files));
    await put({ files: { ...files, 'rules.csv': 'p, bob, doc, read\n' }, mode: 'canary', subjects: 1, gates: open });
    expect(await ask('ann', {})).toMatchObject({ status: 400, type: 'urn:verdict:problem:invalid_request' });
    expect((await send('GET', 'candidate')).body.counts).toMatchObject({ errors: 0, answered: 0 });
  });

  it('is withdrawn when another version serves, at once for requests', async () => {
    await start();
    await put({ files: everybody, mode: 'canary', subjects: 1, gates: open });
    expect(await decide('dan')).toMatchObject({ allowed: true });
    writePolicies(join(service.directory, 'policies'), setOf({ ...base, 'rules.csv': 'p, eve, doc, read\n' }));
    expect((await send('POST', 'reload')).status).toBe(200);
    expect(await decide('dan')).toMatchObject({ allowed: false });
    expect(await until((body) => body.state === 'withdrawn')).toMatchObject({ reason: 'active_version_changed' });
    expect(await send('POST', 'candidate/promote')).toMatchObject({ status: 409 });
  });

  it('ends with its set, also where one of the same name and files is written at once', async () => {
    await start({}, { policySource: 'database' });
    await send('PUT', '', { files: base });
    await put({ files: everybody, mode: 'canary', subjects: 1, gates: open });
    expect((await send('DELETE', '')).status).toBe(204);
    expect((await send('PUT', '', { files: base })).status).toBe(200);
    await vi.waitFor(async () => expect((await send('GET', 'candidate')).status).toBe(404), 20_000);
    expect(await decide('dan')).toMatchObject({ allowed: false });
    const { items } = (await service.get('/v1/audit-events?type=policy_candidate_ended')).body;
    expect(items).toMatchObject([{ detail: 'the policy set was removed' }]);
  });

  it('goes on after a restart, with its counts, and ends when it is dropped', async () => {
    const databaseUrl = `sqlite:${join(temporaryDirectory(), 'verdict.sqlite')}`;
    await start(setOf(base), { databaseUrl });
    await put({ files: everybody, mode: 'canary', subjects: 1, gates: open });
    await decide('dan');
    await compared(1);
    await service.stop();
    // Nobody waits for a candidate that is being loaded.
    let load!: () => void;
    const read = SqliteCandidateStore.prototype.files;
    const files = vi.spyOn(SqliteCandidateStore.prototype, 'files').mockImplementation(async function (
      this: SqliteCandidateStore,
      id,
    ) {
      await new Promise<void>((resolve) => {
        load = resolve;
      });
      return read.call(this, id);
    });
    await start(setOf(base), { databaseUrl });
    files.mockRestore();
    const active = await decide('dan');
    expect(active).toMatchObject({ allowed: false });
    expect(active).not.toHaveProperty('candidate');
    load();
    await vi.waitFor(async () => expect(await decide('bob')).toMatchObject({ candidate: 'canary' }), {
      timeout: 20_000,
    });
    expect(await decide('dan')).toMatchObject({ allowed: true, candidate: 'canary' });
    expect((await until(({ counts }) => counts.gained === 2)).counts).toMatchObject({ gained: 2, lost: 0 });
    expect((await send('DELETE', 'candidate')).status).toBe(204);
    expect(await decide('dan')).toMatchObject({ allowed: false });
    expect(await send('GET', 'candidate')).toMatchObject({
      status: 404,
      body: { type: 'urn:verdict:problem:candidate_not_found' },
    });
    const { items } = (await service.get('/v1/audit-events?type=policy_candidate_ended')).body;
    expect(items).toMatchObject([{ detail: 'DELETE /v1/policy-sets/default/candidate: it was dropped' }]);
  });

  it('follows live data, and replays on them', async () => {
    await start(liveSets);
    const url = '/v1/policy-sets/desk/candidate';
    const files = Object.fromEntries(
      Object.entries(liveSets).flatMap(([path, text]) => (path.startsWith('desk/') ? [[path.slice(5), text]] : [])),
    );
    const tried = { ...files, 'rules.csv': `${files['rules.csv']}p, editor, article, print\n` };
    const payload = JSON.stringify({ files: tried, mode: 'canary', subjects: 1, gates: open });
    const set = await service.app.inject({
      method: 'PUT',
      url,
      payload,
      headers: { 'content-type': 'application/json' },
    });
    expect(set.statusCode, set.body).toBe(200);
    const ask = async () =>
      (
        await service.post('/v1/decide', {
          subject: { type: 'user', id: 'ana' },
          action: 'print',
          resource: 'article',
          policySet: 'desk',
        })
      ).body;
    expect(await ask()).toMatchObject({ allowed: false, candidate: 'canary' });
    const change = (body: object) => service.post('/v1/policy-sets/desk/changes', body);
    expect((await change({ add: { roles: [['g', 'user:ana', 'editor']] } })).status).toBe(200);
    await vi.waitFor(async () => expect(await ask()).toMatchObject({ allowed: true, candidate: 'canary' }), 20_000);
    const { decisionId } = await ask();
    expect((await service.post(`/v1/decisions/${decisionId}/replay`, {})).body).toMatchObject({ same: true });
    // A candidate of another set is being loaded, and does not end.
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const { files: filesOf } = SqliteCandidateStore.prototype;
    const loading = new Promise<void>((resolve) => {
      vi.spyOn(SqliteCandidateStore.prototype, 'files').mockImplementationOnce(async function (
        this: SqliteCandidateStore,
        ...args
      ) {
        resolve();
        await ended;
        return filesOf.apply(this, args);
      });
    });
    const another = service.app.inject({
      ...{ method: 'PUT', url: url.replace('desk', 'shop'), payload },
      headers: { 'content-type': 'application/json' },
    });
    await loading;
    expect((await change({ remove: { roles: [['g', 'user:ana', 'editor']] } })).status).toBe(200);
    // What was taken away is not granted once more, whoever answers; and the canary answers again.
    expect(await ask()).toMatchObject({ allowed: false });
    await vi.waitFor(async () => expect(await ask()).toMatchObject({ allowed: false, candidate: 'canary' }), 20_000);
    end();
    expect((await another).statusCode).toBe(200);
  });
});

describe('promotion', () => {
  /** Does something while a promotion is on its way: when the files of the candidate are put into the archive. */
  function meanwhile<Result>(work: () => Promise<Result>): Promise<Result> {
    const archive = service.app.get(PolicyArchive);
    const { keep } = archive;
    return new Promise((resolve, reject) => {
      vi.spyOn(archive, 'keep').mockImplementationOnce(async (...args) => {
        await work().then(resolve, reject);
        return keep.apply(archive, args);
      });
    });
  }

  it('pins over a directory until the folder changes', async () => {
    await start();
    const { body: set } = await put({ files: other, mode: 'shadow', gates: open });
    const promoted = await send('POST', 'candidate/promote');
    expect(promoted).toMatchObject({ status: 200, body: { version: set.version, pinned: true, state: 'active' } });
    expect(await decide('carl')).toMatchObject({ allowed: true, policyVersion: set.version });
    expect((await decide('carl')).candidate).toBeUndefined();
    expect((await send('GET', 'candidate')).status).toBe(404);
    const versions = (await send('GET', 'versions')).body.items.map(({ version }: { version: string }) => version);
    expect(versions).toContain(set.version);
    const { items } = (await service.get('/v1/audit-events?type=policy_candidate_promoted')).body;
    expect(items).toMatchObject([
      {
        fromVersion: set.activeVersion,
        toVersion: set.version,
        detail: expect.stringMatching(/^POST .*\/candidate\/promote: it was a shadow$/),
      },
    ]);
    writePolicies(join(service.directory, 'policies'), setOf({ ...base, 'rules.csv': 'p, eve, doc, read\n' }));
    await send('POST', 'reload');
    expect((await send('GET', '')).body).toMatchObject({ pinned: false });
    expect(await decide('eve')).toMatchObject({ allowed: true });
  });

  it('writes a new revision where the database is the source, tests included', async () => {
    await start({}, { policySource: 'database' });
    await send('PUT', '', { files: base });
    const test =
      'subjects: [carl]\nresources: [doc]\ntests:\n  - name: carl reads\n    subject: carl\n    action: read\n    resource: doc\n    expect: allow\n';
    const set = await put({ files: { ...other, 'tests/a.yaml': test }, mode: 'canary', subjects: 0.5, gates: open });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    expect((await send('POST', 'candidate/promote')).body).toMatchObject({
      revision: 2,
      version: set.body.version,
      pinned: false,
    });
    expect((await send('GET', 'files')).body.files).toHaveProperty(['tests/a.yaml'], test);
    expect(await decide('carl')).toMatchObject({ allowed: true, revision: 2 });
    // An earlier version is pinned, as by a rollback.
    const back = await put({ version: set.body.activeVersion, mode: 'shadow', gates: open });
    expect(back, JSON.stringify(back.body)).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/files/tests~1a.yaml' }] },
    });
    await send('PUT', '', { files: other });
    const { items } = (await send('GET', 'versions')).body;
    expect(items.length).toBe(2);
  });

  it('keeps what a canary answered with as what served: from when it began until it ended', async () => {
    await start({}, { policySource: 'database' });
    await send('PUT', '', { files: base });
    const version = (await send('GET', '')).body.version;
    await service.app.inject({
      ...{ method: 'PUT', url: '/v1/policy-sets/default', payload: JSON.stringify({ files: other }) },
      headers: { 'content-type': 'application/json', 'if-match': '*' },
    });
    const archive = service.app.get(PolicyArchive);
    const lastServed = async () => Date.parse((await archive.version('default', version))!.lastServed);
    const later = async (than: number) => {
      while (Date.now() <= than) await new Promise((resolve) => setImmediate(resolve));
      return Date.now();
    };
    const begin = await later(await lastServed());
    await put({ version, mode: 'canary', subjects: 1, gates: open });
    expect(await lastServed()).toBeGreaterThanOrEqual(begin);
    const end = await later(await lastServed());
    await send('DELETE', 'candidate');
    await vi.waitFor(async () => expect(await lastServed()).toBeGreaterThanOrEqual(end), 20_000);
  });

  it('pins an earlier version', async () => {
    await start({}, { policySource: 'database' });
    await send('PUT', '', { files: base });
    const first = (await send('GET', '')).body.version;
    await service.app.inject({
      ...{ method: 'PUT', url: '/v1/policy-sets/default', payload: JSON.stringify({ files: other }) },
      headers: { 'content-type': 'application/json', 'if-match': '*' },
    });
    expect(await decide('ann')).toMatchObject({ allowed: false, revision: 2 });
    expect(await put({ version: first, mode: 'canary', subjects: 1, gates: open })).toMatchObject({ status: 200 });
    expect(await decide('ann')).toMatchObject({ allowed: true, policyVersion: first });
    expect((await send('POST', 'candidate/promote')).body).toMatchObject({ version: first, revision: 3, pinned: true });
  });

  it('is that of one caller, whom nobody interrupts', async () => {
    await start();
    const { body: set } = await put({ files: other, mode: 'shadow', gates: open });
    const met = meanwhile(async () => ({
      state: (await send('GET', 'candidate')).body.state,
      promoted: await send('POST', 'candidate/promote'),
      dropped: await send('DELETE', 'candidate'),
      put: await put({ files: other, mode: 'canary', subjects: 1 }),
    }));
    expect(await send('POST', 'candidate/promote')).toMatchObject({ status: 200, body: { version: set.version } });
    expect(await met).toMatchObject({
      state: 'promoting',
      promoted: { status: 409, body: { type: 'urn:verdict:problem:candidate_not_running' } },
      dropped: { status: 409, body: { type: 'urn:verdict:problem:conflict' } },
      put: { status: 409, body: { type: 'urn:verdict:problem:conflict' } },
    });
    expect((await send('GET', 'candidate')).status).toBe(404);
    const { items } = (await service.get('/v1/audit-events?type=policy_candidate_promoted')).body;
    expect(items).toHaveLength(1);
  });

  it('does not go over a version that came meanwhile, whatever the source', async () => {
    const hotfix = { ...base, 'rules.csv': 'p, eve, doc, read\n' };
    await start();
    await put({ files: other, mode: 'shadow', gates: open });
    const came = meanwhile(async () => {
      writePolicies(join(service.directory, 'policies'), setOf(hotfix));
      await send('POST', 'reload');
    });
    expect(await send('POST', 'candidate/promote')).toMatchObject({ status: 409 });
    await came;
    expect((await send('GET', '')).body).toMatchObject({ pinned: false });
    expect(await decide('eve')).toMatchObject({ allowed: true });
    expect((await until(({ state }) => state !== 'running')).reason).toBe('active_version_changed');
    await service.stop();

    const folder = bundleFolder();
    await folder.publisher().push([publicationOf(bundled('ann', 'default'))]);
    await start({}, { policySource: 'bundle', bundleUrl: pathToFileURL(folder.path).href, bundlePoll: '1h' });
    await put({ files: other, mode: 'shadow', gates: open });
    const published = meanwhile(async () => {
      await folder.publisher().push([publicationOf(bundled('eve', 'default'))]);
      await send('POST', 'reload');
    });
    expect(await send('POST', 'candidate/promote')).toMatchObject({ status: 409 });
    await published;
    expect((await send('GET', '')).body).toMatchObject({ pinned: false });
    expect(await decide('eve', { resource: 'data' })).toMatchObject({ allowed: true });
    await service.stop();

    await start({}, { policySource: 'database' });
    await send('PUT', '', { files: base });
    const first = (await send('GET', '')).body.version;
    const write = (files: object) =>
      service.app.inject({
        ...{ method: 'PUT', url: '/v1/policy-sets/default', payload: JSON.stringify({ files }) },
        headers: { 'content-type': 'application/json', 'if-match': '*' },
      });
    await write({ ...base, 'rules.csv': 'p, dan, doc, read\n' });
    await put({ version: first, mode: 'shadow', gates: open });
    const { rollback } = DatabaseSource.prototype;
    vi.spyOn(DatabaseSource.prototype, 'rollback').mockImplementationOnce(async function (
      this: DatabaseSource,
      ...args
    ) {
      // Another replica writes, and this one has not heard of it.
      args[3]!.require();
      await write(hotfix);
      return rollback.apply(this, [args[0], args[1], args[2], { ...args[3]!, require: () => undefined }]);
    });
    expect(await send('POST', 'candidate/promote')).toMatchObject({ status: 412 });
    expect(await decide('eve')).toMatchObject({ allowed: true, revision: 3 });
  });

  it('pins over a bundle until another one is published', async () => {
    const folder = bundleFolder();
    await folder.publisher().push([publicationOf(bundled('ann', 'default'))]);
    await start({}, { policySource: 'bundle', bundleUrl: pathToFileURL(folder.path).href, bundlePoll: '1s' });
    const files = { 'model.conf': idModel, 'rules.csv': 'p, carl, doc, read\n' };
    const { body: set } = await put({ files, mode: 'canary', subjects: 0.5, gates: open });
    expect((await send('POST', 'candidate/promote')).body).toMatchObject({ version: set.version, pinned: true });
    expect(await decide('carl')).toMatchObject({ allowed: true, policyVersion: set.version });
    await folder.publisher().push([publicationOf(bundled('eve', 'default'))]);
    await send('POST', 'reload');
    expect((await send('GET', '')).body).toMatchObject({ pinned: false });
    expect(await decide('carl')).toMatchObject({ allowed: false });
  });
});

describe('what must be signed', () => {
  it('is a kept bundle alone: files that are sent are refused, an earlier bundle is tried and pinned', async () => {
    const { publicPem, signing } = await newKey();
    const folder = bundleFolder({ signing });
    const bundleKeys = join(temporaryDirectory(), 'keys.pem');
    writeFileSync(bundleKeys, publicPem);
    await folder.publisher().push([publicationOf(bundled('ann', 'default'))]);
    const spoolDir = temporaryDirectory();
    await start(
      {},
      { policySource: 'bundle', bundleUrl: pathToFileURL(folder.path).href, bundleKeys, bundlePoll: '1s', spoolDir },
    );
    const first = (await send('GET', '')).body.version;
    await folder.publisher().push([publicationOf(bundled('eve', 'default'))]);
    await send('POST', 'reload');
    const refused = await put({ files: other, mode: 'canary', subjects: 1 });
    expect(refused).toMatchObject({ status: 400, body: { type: 'urn:verdict:problem:bundle_refused' } });
    const set = await put({ version: first, mode: 'canary', subjects: 1, gates: open });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    const asked = { action: 'read', resource: 'data' };
    expect(await decide('ann', asked)).toMatchObject({ allowed: true, candidate: 'canary', policyVersion: first });
    expect((await send('POST', 'candidate/promote')).body).toMatchObject({ version: first, pinned: true });
  });

  it('are files in a database, too', async () => {
    const { publicPem } = await newKey();
    const bundleKeys = join(temporaryDirectory(), 'keys.pem');
    writeFileSync(bundleKeys, publicPem);
    const databaseUrl = `sqlite:${join(temporaryDirectory(), 'verdict.sqlite')}`;
    await start({}, { policySource: 'database', databaseUrl });
    await send('PUT', '', { files: base });
    await service.stop();
    await start({}, { policySource: 'database', databaseUrl, bundleKeys });
    const refused = await put({ files: other, mode: 'shadow' });
    expect(refused).toMatchObject({ status: 400, body: { type: 'urn:verdict:problem:bundle_refused' } });
  });
});

describe('with a key of encryption', () => {
  it('differences are shown, and not written to the database', async () => {
    const folder = temporaryDirectory();
    const databaseUrl = `sqlite:${join(folder, 'verdict.sqlite')}`;
    await start(setOf(base), { databaseUrl, encryptionKey: randomBytes(32).toString('base64') });
    await put({ files: other, mode: 'shadow', gates: open });
    await decide('bob');
    await decide('ann');
    const found = await compared(2);
    expect(found.differences).toMatchObject([{ kind: 'lost', request: { subject: { id: 'ann' } } }]);
    await service.stop();
    const kept = await SqliteCandidateStore.open(join(folder, 'verdict.sqlite'));
    const [candidate] = await kept.all();
    expect(await kept.differences(candidate!)).toEqual([]);
    expect((await kept.count(candidate!, new Map())).get('lost')).toBe(1);
    await kept.close();
  });
});

describe('what is asked for wrongly', () => {
  const wrong: readonly (readonly [string, unknown, number, string])[] = [
    ['no body', {}, 400, '/mode'],
    ['neither version nor files', { mode: 'shadow' }, 400, ''],
    ['both', { mode: 'shadow', files: other, version: `sha256:${'0'.repeat(64)}` }, 400, ''],
    ['another mode', { mode: 'green', files: other }, 400, '/mode'],
    ['a canary without a share', { mode: 'canary', files: other }, 400, '/subjects'],
    ['a shadow with one', { mode: 'shadow', subjects: 0.1, files: other }, 400, '/subjects'],
    ['a share beyond 1', { mode: 'canary', subjects: 1.1, files: other }, 400, '/subjects'],
    ['a canary of which nothing is compared', { mode: 'canary', subjects: 1, sample: 0, files: other }, 400, '/sample'],
    ['a sample below 0', { mode: 'shadow', sample: -0.1, files: other }, 400, '/sample'],
    ['a gate that there is not', { mode: 'shadow', files: other, gates: { gains: 0 } }, 400, '/gates/gains'],
    ['a gate that is no number', { mode: 'shadow', files: other, gates: { maxLost: '0' } }, 400, '/gates/maxLost'],
    ['a version in another form', { mode: 'shadow', version: 'v1' }, 400, '/version'],
    ['a version that never served', { mode: 'shadow', version: `sha256:${'0'.repeat(64)}` }, 404, ''],
    [
      'a rule that is too short',
      { mode: 'shadow', files: { ...other, 'rules.csv': 'p, a\n' } },
      400,
      '/files/rules.csv',
    ],
    ['a file outside of the set', { mode: 'shadow', files: { ...other, '../x.csv': 'p' } }, 400, '/files/..~1x.csv'],
    ['what serves already', { mode: 'shadow', files: base }, 409, ''],
    [
      'files of which a test fails',
      {
        mode: 'shadow',
        files: {
          ...other,
          'tests/a.yaml':
            'subjects: [ann]\nresources: [doc]\ntests:\n  - { name: a, subject: ann, action: read, resource: doc, expect: allow }\n',
        },
      },
      400,
      '/files/tests~1a.yaml',
    ],
  ];
  it('is refused with its place, and leaves no candidate', async () => {
    await start();
    for (const [name, body, status, pointer] of wrong) {
      const answer = await put(body);
      expect(answer.status, `${name}: ${JSON.stringify(answer.body)}`).toBe(status);
      if (pointer !== '') expect(answer.body.errors[0].pointer, name).toBe(pointer);
    }
    expect((await send('GET', 'candidate')).status).toBe(404);
    expect((await send('DELETE', 'candidate')).status).toBe(404);
    expect((await send('POST', 'candidate/promote')).status).toBe(404);
    for (const method of ['GET', 'DELETE', 'PUT'] as const) {
      const url = '/v1/policy-sets/none/candidate';
      const body =
        method === 'PUT'
          ? {
              payload: JSON.stringify({ mode: 'shadow', files: other }),
              headers: { 'content-type': 'application/json' },
            }
          : {};
      expect((await service.app.inject({ method, url, ...body })).statusCode, method).toBe(404);
    }
  });
});

describe('scopes', () => {
  it('lets policies:write set and end, policies:read look, and decisions:read see the differences', async () => {
    const keyed = await startKeyedService({
      writer: 'scopes: ["policies:write"]',
      reader: 'scopes: ["policies:read:invoices"]',
      auditor: 'scopes: ["policies:read:invoices", "decisions:read:invoices"]',
      other: 'scopes: ["policies:read:salaries", "policies:write:salaries"]',
    });
    service = keyed.service;
    const url = '/v1/policy-sets/invoices/candidate';
    const body = { files: other, mode: 'shadow' };
    const as = async (who: string, method: string, path = url, sent?: object) =>
      await keyed.as(who, method as 'GET', path, sent, sent && { 'content-type': 'application/json' });
    expect((await as('reader', 'PUT', url, body)).statusCode).toBe(403);
    expect((await as('other', 'PUT', url, body)).statusCode).toBe(404);
    const set = await as('writer', 'PUT', url, body);
    expect(set.statusCode, set.body).toBe(200);
    expect(set.json()).not.toHaveProperty('differences');
    expect((await as('writer', 'GET')).statusCode).toBe(403);
    expect((await as('reader', 'GET')).json()).not.toHaveProperty('differences');
    expect((await as('auditor', 'GET')).json()).toHaveProperty('differences', []);
    expect((await as('other', 'GET')).statusCode).toBe(404);
    const { items } = await service.app.get(AuditLog).search({ type: 'decisions_read' });
    expect(items).toMatchObject([{ actor: 'auditor', policySet: 'invoices', detail: `GET ${url}` }]);
    expect((await as('reader', 'POST', `${url}/promote`, {})).statusCode).toBe(403);
    expect((await as('reader', 'DELETE')).statusCode).toBe(403);
    expect((await as('writer', 'DELETE')).statusCode).toBe(204);
  });
});
