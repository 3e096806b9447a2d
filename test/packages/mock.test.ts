/** MockVerdict beside the built service: the same policies, the same answers, under the same versions. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VerdictClient, type VerdictError } from '../../packages/client/src/client.js';
import { MockVerdict } from '../../packages/client/src/mock.js';
import { liveSets } from '../api/live-data-sets.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { writePolicies } from '../http/service.js';
import { idModel } from '../models.js';

const policies = fileURLToPath(new URL('../../policies/', import.meta.url));
const sets = readdirSync(policies, { withFileTypes: true }).filter((entry) => entry.isDirectory());
const files = Object.fromEntries(
  sets.flatMap(({ name }) =>
    readdirSync(join(policies, name), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => [`${name}/${entry.name}`, readFileSync(join(policies, name, entry.name), 'utf8')]),
  ),
);

/** An object of that many levels. */
function nested(levels: number): object {
  return levels === 1 ? {} : { inner: nested(levels - 1) };
}

/** What is asked of each of the bundled sets: some of it allowed, some denied, some wrong. */
const asked = [
  { policySet: 'default', subject: 'dana', action: 'read', resource: 'L-2231' },
  { policySet: 'default', subject: 'dana', action: 'write', resource: { type: 'prescription', id: 'new' } },
  { policySet: 'invoices', subject: 'greta', action: 'approve', resource: 'INV-1044' },
  { policySet: 'invoices', subject: 'greta', action: 'approve', resource: 'INV-1044', explain: 'none' as const },
  {
    policySet: 'invoices',
    subject: 'nobody',
    action: 'approve',
    resource: { type: 'invoice', id: 'X', attributes: { amount: 'x' } },
  },
  { policySet: 'workspaces', subject: 'ines', action: 'read', resource: 'doc', attributes: { tenant: 'acme' } },
  { policySet: 'workspaces', subject: 'ines', action: 'read', resource: 'doc' },
  { policySet: 'api-gateway', subject: 'ines', action: 'GET', resource: '/v1/orders/7' },
  { policySet: 'deployments', subject: 'ines', action: 'deploy', resource: 'shop' },
  { policySet: 'nowhere', subject: 'ines', action: 'read', resource: 'doc' },
  { subject: 'dana', action: 'read', resource: 'L-2231' },
  { subject: 'dana', action: 'read' },
  { subject: 'dana', action: 'read', resource: 'x', colour: 'red' },
  ...[
    { subject: { id: 'dana', role: 'admin' } },
    { subject: { type: 'user' } },
    { subject: { type: 'user', id: 7 } },
    { subject: 'da\u0007na' },
    { subject: 'd'.repeat(1_025) },
    { resource: { id: '🙂'.repeat(1_024) } },
    { action: { name: 'read', attributes: [] } },
    { attributes: 'none' },
    { attributes: nested(16) },
    { attributes: nested(17) },
    { attributes: Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`a${at}`, at])) },
    { at: 'yesterday' },
    { at: '2026-02-30T00:00:00Z' },
    { at: '2026-03-03 10:00:00z' },
    { explain: 'all' },
    { maxStaleness: '0' },
    { maxStaleness: '1 s' },
    { atLeast: 0 },
    { atLeast: 1.5 },
    { atLeast: { default: '1' } },
    { atLeast: 1 },
    { atLeast: { nowhere: 1 } },
    { atLeast: { default: 1 } },
    { policySet: 'desk', atLeast: 9 },
    { policySet: 'desk', atLeast: { default: 9 } },
    { policySet: '' },
  ].map((part) => ({ subject: 'dana', action: 'read', resource: 'L-2231', ...part })),
];

const folder = mkdtempSync(join(tmpdir(), 'verdict-mock-'));
let service: BuiltService;
let verdict: VerdictClient;
beforeAll(async () => {
  service = await startBuiltService({ ...files, ...liveSets }, {}, ['decide', 'data:write', 'explain']);
  verdict = new VerdictClient({ baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000 });
  writePolicies(folder, liveSets);
  cpSync(policies, folder, { recursive: true });
});
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** An answer without what differs from call to call, or the code of the refusal. */
const told = (answer: Promise<object>) =>
  answer.then(
    (decision) => ({ ...decision, decisionId: '' }),
    (error: VerdictError & { code?: string }) => error.code,
  );

describe('MockVerdict', () => {
  it.each(asked)('decides as the service does: $policySet $subject $action $resource', async (question) => {
    const mock = MockVerdict.load(folder);
    const request = question as Parameters<typeof mock.decide>[0];
    const answer = await told(mock.decide(request));
    expect(answer).toEqual(await told(verdict.decide(request)));
    expect(answer).toBeDefined();
  });

  it('answers AuthZEN and batches as the service does', async () => {
    const mock = MockVerdict.load(folder);
    const evaluations = ['L-2231', 'nothing'].map((id) => ({ resource: { type: 'lab-result', id } }));
    const question = { subject: { type: 'user', id: 'dana' }, action: { name: 'read' }, evaluations };
    for (const semantic of ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const) {
      const request = { ...question, options: { evaluations_semantic: semantic } };
      const decisions = (client: VerdictClient) =>
        client.evaluateMany(request).then((answers) => answers.map(({ decision }) => decision));
      expect(await decisions(mock)).toEqual(await decisions(verdict));
    }
    const codes = (client: VerdictClient) =>
      client
        .decideMany(asked as Parameters<typeof mock.decideMany>[0])
        .then((outcomes) => outcomes.map((each) => ('problem' in each ? each.problem.type : each.reason.code)));
    expect(await codes(mock)).toEqual(await codes(verdict));
  });

  it('changes live data, and answers know it', async () => {
    const mock = MockVerdict.load(folder, { policySet: 'desk' });
    const mia = { subject: { type: 'user', id: 'mia' }, action: 'edit', resource: 'article' };
    const roles = [['g', 'user:mia', 'editor']];
    expect(await mock.can(mia)).toBe(false);
    const changed = await mock.changeData('desk', { add: { roles } });
    expect(changed).toMatchObject({ revision: 1, added: 1 });
    expect(await mock.decide(mia)).toMatchObject({ allowed: true, revision: 1 });
    const ofService = await verdict.changeData('desk', { add: { roles } });
    expect(changed.version).toBe(ofService.version);
    await mock.changeData('desk', { remove: { roles } });
    expect(await mock.can(mia)).toBe(false);
  });

  it.each([
    ['plain', { add: { roles: [['g', 'user:mia', 'editor']] } }],
    ['desk', { add: { roles: [['g', 'mia']] } }],
    ['desk', { add: { roles: [['g', 'author', 'author']] } }],
    ['desk', { remove: { roles: [['g', 'user:root', 'editor']] } }],
  ])('refuses a change of %s as the service does: %j', async (set, change) => {
    const refusal = (client: VerdictClient) =>
      client.changeData(set, change).catch(({ status, code }) => [status, code]);
    const refused = await refusal(MockVerdict.load(folder));
    expect(refused).toEqual(await refusal(verdict));
    expect(refused).toHaveLength(2);
  });

  it('is down when the test says so', async () => {
    const mock = MockVerdict.load(join(folder, 'default'));
    const question = { subject: 'dana', action: 'read', resource: 'L-2231' };
    expect(await mock.can(question)).toBe(true);
    mock.isDown = true;
    await expect(mock.can(question)).rejects.toMatchObject({ kind: 'network' });
    expect(await mock.can(question, { onUnavailable: 'deny' })).toBe(false);
    mock.isDown = false;
    expect(await mock.can(question)).toBe(true);
    expect(mock.decisions.map(({ request, answer }) => [request.subject, answer.allowed])).toEqual([
      ['dana', true],
      ['dana', true],
    ]);
  });

  it('has the clock of the test', async () => {
    const deploying = {
      subject: 'lucia',
      action: 'deploy',
      resource: 'payments',
      attributes: { environment: 'production', change: 'CHG-88' },
    };
    const onDay = (day: string) =>
      MockVerdict.load(join(policies, 'deployments'), { now: () => Date.parse(day) }).can(deploying);
    const [wednesday, sunday] = [await onDay('2026-11-18T10:00:00Z'), await onDay('2026-11-22T10:00:00Z')];
    expect([wednesday, sunday]).toEqual([true, false]);
  });

  it('does not load what the service would not', () => {
    const broken = mkdtempSync(join(tmpdir(), 'verdict-broken-'));
    cpSync(join(policies, 'default'), broken, { recursive: true });
    writeFileSync(join(broken, 'roles.csv'), 'g, dana\n');
    expect(() => MockVerdict.load(broken)).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ file: 'roles.csv' })] }),
    );
    rmSync(broken, { recursive: true, force: true });
    expect(() => MockVerdict.load(join(policies, 'default/tests'))).toThrow('no policy set');
    const stock = mkdtempSync(join(tmpdir(), 'verdict-stock-'));
    writePolicies(stock, {
      'old/model.conf': idModel,
      'old/rules.csv': '',
      'old/policy-set.yaml': 'engine: casbin\nemptyPolicy: allowed\n',
    });
    expect(() => MockVerdict.load(stock)).toThrow('engine: casbin');
    rmSync(stock, { recursive: true, force: true });
  });

  it('refuses what it does not answer', async () => {
    const mock = MockVerdict.load(folder);
    await expect(mock.whoCan('default', { action: 'read' })).rejects.toMatchObject({
      kind: 'refused',
      problem: { status: 501 },
    });
  });
});
