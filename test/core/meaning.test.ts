/** What a decision request means to a policy set, by the cases in meaning-cases.yaml. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type CompileOptions, compilePolicySet, type DecisionRequestInput, PolicyError } from '../../src/engine.js';

interface Case extends Pick<CompileOptions, 'manifest' | 'entities' | 'schema' | 'semantics' | 'rules'> {
  readonly case: string;
  readonly r?: string;
  readonly p?: string;
  readonly g?: string;
  readonly m: string;
  readonly ask: readonly (Partial<DecisionRequestInput> & {
    readonly decision: string;
    readonly reason?: string;
    readonly errors?: readonly string[];
    readonly pointers?: readonly string[];
  })[];
}

const cases: readonly Case[] = parse(readFileSync(new URL('./meaning-cases.yaml', import.meta.url), 'utf8'));
const now = Date.parse('2026-11-18T10:00:00Z');

function modelOf({ r = 'sub, obj, act', p = 'sub, obj, act', g, m }: Pick<Case, 'r' | 'p' | 'g' | 'm'>): string {
  const roles = g === undefined ? '' : `[role_definition]\ng = ${g}\n`;
  const effect = '[policy_effect]\ne = some(where (p.eft == allow))\n';
  return `[request_definition]\nr = ${r}\n[policy_definition]\np = ${p}\n${roles}${effect}[matchers]\nm = ${m}\n`;
}

describe.each(cases)('$case', ({ ask, r, p, g, m, case: _case, ...options }) => {
  const set = compilePolicySet({ ...options, model: modelOf({ r, p, g, m }), strict: true });
  it.each(ask)('$subject $action $resource $attributes: $decision $reason', (asked) => {
    const { decision, reason, errors, pointers, ...request } = asked;
    const answer = set.decide({ subject: 'x', action: 'read', resource: 'x', ...request }, { now, explain: 'full' });
    expect(answer).toMatchObject({ decision, ...(reason !== undefined && { reason: { code: reason } }) });
    if (errors !== undefined) expect(answer.errors.map(({ code }) => code)).toEqual(errors);
    if (pointers !== undefined) expect(answer.errors.map(({ pointer }) => pointer)).toEqual(pointers);
  });
});

function problemsOf(options: Omit<CompileOptions, 'model' | 'rules'>, definitions: Partial<Case> = {}): string[] {
  try {
    const model = modelOf({ m: 'r.sub == p.sub', ...definitions });
    compilePolicySet({ rules: 'p, x, x, read', ...options, model, strict: true });
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(({ code, file, line, column }) => `${file}:${line}:${column} ${code}`);
  }
}

describe('two tokens that name the same thing stop the load', () => {
  it.each([
    ['sub, user, obj, act', {}],
    ['sub, obj, res, act', {}],
    ['subject, resource, act, method', {}],
    ['sub, obj, act, dom, tenant', {}],
    ['sub, obj, act, env, ctx', {}],
    ['sub, user, obj, act', { user: 'attributes.user' }],
    ['sub, user, subject, act', { user: 'attributes.user', sub: 'subject.id' }],
  ])('%s with %j', (r, request) => {
    expect(problemsOf({ manifest: { request } }, { r, m: 'true' })).toEqual([
      expect.stringMatching(/ambiguous_binding$/),
    ]);
  });

  it.each([
    ['sub, user, obj, act', { user: 'attributes.user', sub: 'subject.id' }],
    ['sub, obj, act, ip, port', {}],
    ['sub, obj, res, act', { obj: 'resource.id', res: 'resource.type' }],
  ])('%s with %j does not', (r, request) => {
    expect(problemsOf({ manifest: { request } }, { r, m: 'true' })).toEqual([]);
  });

  it('of the definition that decides', () => {
    const model = modelOf({ m: 'true' }).replace(
      '[policy_definition]',
      'r2 = sub, user, obj, act\n[policy_definition]',
    );
    const set = compilePolicySet({ model, rules: 'p, x, x, read' });
    expect(set.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('and say what could be meant', () => {
    const { problems } = compilePolicySet({
      model: modelOf({ r: 'sub, user, obj, act', m: 'true' }),
      rules: 'p, x, x, read',
    });
    expect(problems.find(({ code }) => code === 'ambiguous_binding')).toMatchObject({
      severity: 'error',
      file: 'model.conf',
      line: 2,
      message: 'r.sub and r.user all name the subject',
      hint: expect.stringContaining('request: { sub: subject.id, user: attributes.user }'),
    });
  });
});

describe('a template with nothing between two parts', () => {
  it.each([
    '${resource.type}${resource.id}',
    'a:${resource.type}${resource.id}',
    '${resource.type}:${resource.id}${action.name}',
  ])('%s stops the load', (obj) => {
    expect(problemsOf({ manifest: { file: 'policy-set.yaml', text: `request:\n  obj: "${obj}"\n` } })).toEqual([
      'policy-set.yaml:2:8 ambiguous_template',
    ]);
    expect(problemsOf({ semantics: 1, manifest: { request: { obj } } })).toEqual([]);
  });
});

describe('what the manifest says of unknown entities', () => {
  it.each([
    ['allow', '1:22 wrong_value'],
    ['{}', '1:22 missing_value'],
    ['{ deny: invoice }', '1:30 wrong_type'],
    ['{ deny: [7] }', '1:31 wrong_type'],
    ['{ deny: ["a\\t"] }', '1:31 control_character'],
    ['{ denied: [a] }', '1:32 unknown_key 1:22 missing_value'],
    ['[invoice]', '1:22 wrong_type'],
  ])('unknown: %s is refused', (unknown, wanted) => {
    const text = `entities: { unknown: ${unknown} }`;
    expect(problemsOf({ manifest: { file: 'policy-set.yaml', text } }).sort()).toEqual(
      wanted
        .match(/\S+ \S+/g)!
        .map((problem) => `policy-set.yaml:${problem}`)
        .sort(),
    );
  });
});
