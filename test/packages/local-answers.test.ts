/** `@verdict/client/local` and the built service: one suite asks both, and they say the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VerdictClient, VerdictProblem } from '../../packages/client/src/client.js';
import { LocalVerdict, type LocalWarning } from '../../packages/client/src/local/local-verdict.js';
import { readPolicyTests } from '../../src/core/analysis/policy-tests.js';
import type { PolicyTest } from '../../src/core/analysis/test-document.js';
import { compilePolicySet, type DecisionRequest } from '../../src/engine.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { localScopes, localSets } from './local-sets.js';

const names = [...new Set(Object.keys(localSets).map((path) => path.split('/')[0]!))];
let service: BuiltService;
let local: LocalVerdict;
let remote: VerdictClient;
const warnings: LocalWarning[] = [];

beforeAll(async () => {
  service = await startBuiltService(localSets, {}, localScopes);
  const { url: baseUrl, token: apiKey } = service;
  remote = new VerdictClient({ baseUrl, apiKey });
  local = await LocalVerdict.open({
    baseUrl,
    apiKey,
    policySets: names,
    onWarning: (warning) => warnings.push(warning),
  });
});
afterAll(async () => {
  await local?.close();
  await service.stop();
});

/** What policy tests of a set ask. */
function testsOf(set: string): readonly PolicyTest[] {
  const files = Object.entries(localSets).flatMap(([path, text]) =>
    path.startsWith(`${set}/`) ? [{ file: path.slice(set.length + 1), text: String(text) }] : [],
  );
  const one = (name: string) => files.find(({ file }) => file === name);
  const { compiled } = compilePolicySet({
    model: one('model.conf')!,
    rules: files.filter(({ file }) => file.endsWith('.csv')),
    manifest: one('policy-set.yaml')!,
    ...(one('entities.yaml') !== undefined && { entities: one('entities.yaml')! }),
  });
  const tests = files.filter(({ file }) => file.startsWith('tests/'));
  return readPolicyTests(tests, compiled.entities, 'files', compiled.manifest).tests;
}

const asked: readonly (DecisionRequest & { policySet: string })[] = names.flatMap((policySet) => [
  ...testsOf(policySet).map(({ request }) => ({ ...request, policySet })),
  { subject: { id: 'nobody' }, action: { name: 'nothing' }, resource: { type: 'none', id: '0' }, policySet },
  { subject: { type: 'user', id: 'ann' }, action: { name: 'edit' }, resource: { id: 'article' }, policySet },
]);

/** An answer without what is of this answer alone. */
const said = (answer: object) => ({ ...answer, decisionId: undefined });

describe('a decision in the process', () => {
  it.each(['none', 'brief', 'full'] as const)('is that of the service, with explain: %s', async (explain) => {
    expect(asked.length).toBeGreaterThan(300);
    for (let at = 0; at < asked.length; at += 100) {
      const questions = asked.slice(at, at + 100).map((question) => ({ ...question, explain }));
      const [here, there] = [local.decideMany(questions as never), await remote.decideMany(questions as never)];
      for (const [index, question] of questions.entries()) {
        expect(said(here[index]!), JSON.stringify(question)).toEqual(said(there[index]!));
      }
    }
    // The service decided each again, and says nothing against any.
    await expect.poll(() => local.unsent).toBe(0);
    expect(warnings).toEqual([]);
  });

  it('has an id of its own, with the number of its record', () => {
    const question = { subject: 'greta', action: 'approve', resource: 'INV-1044', policySet: 'invoices' };
    const [one, two] = [local.decide(question), local.decide(question)].map(({ decisionId }) => decisionId!.split('-'));
    expect(one![0]).toMatch(/^[0-9a-f]{32}$/);
    expect(two![0]).toBe(one![0]);
    expect(Number(two![1])).toBe(Number(one![1]) + 1);
    expect(local.can(question)).toBe(true);
    expect(local.can({ ...question, subject: 'somebody' })).toBe(false);
  });

  it('follows live data and left-out attributes under the version of the set', async () => {
    const question = { subject: 'ben', action: 'edit', resource: 'article', policySet: 'partly' };
    expect(local.can(question)).toBe(false);
    const { revision, version } = await remote.changeData('partly', { add: { roles: [['g', 'ben', 'editor']] } });
    await expect.poll(() => local.version('partly')).toMatchObject({ revision, version });
    expect(said(local.decide({ ...question, atLeast: revision }))).toEqual(said(await remote.decide(question)));
    expect(local.can(question)).toBe(true);
    expect(() => local.decide({ ...question, atLeast: revision + 1 })).toThrow('at least');
    expect(local.decide({ ...question, atLeast: revision + 1 }, { onUnavailable: 'deny' })).toMatchObject({
      allowed: false,
      reason: { code: 'unavailable' },
    });
  });
});

describe('a question that the service refuses', () => {
  const good = { subject: 'ann', action: 'read', resource: 'doc', policySet: 'plain' };
  const loop: Record<string, unknown> = {};
  loop.loop = loop;
  it.each<[string, object, string]>([
    ['no resource', { ...good, resource: undefined }, '/resource'],
    ['another member', { ...good, user: 'ann' }, '/user'],
    ['a number for an id', { ...good, subject: 7 }, '/subject'],
    ['a member of a subject', { ...good, subject: { id: 'ann', role: 'x' } }, '/subject/role'],
    ['a control character', { ...good, subject: 'a\u0007' }, '/subject'],
    ['half of a character', { ...good, attributes: { name: '\ud800' } }, '/attributes/name'],
    ['an id that is too long', { ...good, subject: 'a'.repeat(1_025) }, '/subject'],
    ['a set that is not there', { ...good, policySet: 'none' }, '/policySet'],
    ['an explanation that is not there', { ...good, explain: 'all' }, '/explain'],
    ['a clock of its own', { ...good, at: '2026-01-01T00:00:00Z', policySet: 'plain' }, '/at'],
    ['an integer that is not exact', { ...good, attributes: { n: 2 ** 53 } }, '/attributes/n'],
  ])('is refused here, too: %s', async (_what, question, pointer) => {
    const here = (() => {
      try {
        return local.decide(question as never);
      } catch (error) {
        return error;
      }
    })();
    expect(here).toBeInstanceOf(VerdictProblem);
    expect((here as VerdictProblem).problem.errors?.[0]?.pointer).toBe(pointer);
    // The key of this test may set any clock.
    if ('at' in question) return;
    const there = await remote.decide(question as never).catch((error: unknown) => error);
    expect(there).toBeInstanceOf(VerdictProblem);
    expect((here as VerdictProblem).status).toBe((there as VerdictProblem).status);
  });

  it.each<[string, unknown]>([
    ['NaN', Number.NaN],
    ['a function in a list', [() => 1]],
    ['a hole', new Array(1)],
    ['a BigInt', 1n],
    ['a loop', loop],
    ['a prototype', JSON.parse('{"__proto__": 1}')],
    ['a lone NUL', '\0'],
    ['half of a character in a name', { '\ud800': 1 }],
  ])('is refused where JSON cannot say it: %s', (_what, value) => {
    expect(() => local.decide({ ...good, attributes: { value } } as never)).toThrow(VerdictProblem);
  });

  it('stands in its place among many', () => {
    const [first, second] = local.decideMany([
      { ...good, subject: '' },
      { ...good, explain: 'all' as never },
    ]);
    expect(first).toMatchObject({ allowed: false });
    expect(second).toMatchObject({ problem: { status: 400 } });
    expect(second).not.toHaveProperty('allowed');
  });
});

it('what is evaluated is what JSON would say: dates, members that are undefined, own members alone', () => {
  const question = { subject: 'ann', action: 'edit', resource: 'article', policySet: 'plain' };
  const attributes = { at: new Date(0), none: undefined, zero: -0, of: Object.create({ inherited: 1 }) };
  expect(local.decide({ ...question, attributes } as never)).toMatchObject({ decision: 'deny' });
});
