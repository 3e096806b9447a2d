/** `data` in the manifest: what may be changed while the set serves. */
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/core/problem.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../../../src/engine.js';
import { roleModel } from '../../models.js';

const base = { model: roleModel, rules: 'p, editor, page, edit\ng, ana, editor\n', strict: true };

function problemsOf(options: Partial<CompileOptions>): string[] {
  try {
    return compilePolicySet({ ...base, ...options }).problems.map(formatProblem);
  } catch (error) {
    return (error as PolicyError).problems.map(formatProblem);
  }
}

describe('data in the manifest', () => {
  it('names role definitions and types of entities', () => {
    const { manifest } = compilePolicySet({ ...base, manifest: 'data: { roles: [g], entities: [user, group] }' });
    expect(manifest.data).toEqual({ roles: new Set(['g']), entities: new Set(['user', 'group']) });
    expect(compilePolicySet(base).manifest.data).toBeUndefined();
  });

  it.each([
    ['data: { roles: [g] }', []],
    ['data: { entities: [user] }', []],
    [
      'data:\n  roles:\n    - g\n    - g3\n',
      ['policy-set.yaml:4:7: error unknown_definition: data.roles: the model defines no "g3"'],
    ],
    ['data: {}', ['policy-set.yaml:1:7: error missing_value: data needs "roles" or "entities"']],
    ['data: [g]', ['policy-set.yaml:1:7: error wrong_type: data must be a mapping']],
    ['data: { roles: g }', ['policy-set.yaml:1:16: error wrong_type: data.roles must be a list']],
    ['data: { roles: [1] }', ['policy-set.yaml:1:17: error wrong_type: each of data.roles must be a text']],
    ['data: { roles: [g, g] }', ['policy-set.yaml:1:20: error wrong_value: data.roles names "g" twice']],
    [
      'data: { entities: ["us\\u0007er"] }',
      ['policy-set.yaml:1:20: error control_character: each of data.entities holds a control character'],
    ],
    ['data: { rules: [p] }', ['policy-set.yaml:1:16: error unknown_key: data has no "rules"']],
    [
      'engine: casbin\ndata: { roles: [g] }',
      [
        'policy-set.yaml:2:7: error unsupported_by_stock_casbin: data changes sets that Verdict evaluates; the stock package reads files',
      ],
    ],
  ])('%s', (manifest, wanted) => {
    expect(problemsOf({ manifest }).slice(0, 1)).toEqual(wanted);
  });

  it('stops the load beside stock Casbin, also where problems are not strict', () => {
    const manifest = 'engine: casbin\ndata: { roles: [g] }\nlint: { unsupported_by_stock_casbin: warn }\n';
    expect(() => compilePolicySet({ ...base, strict: false, manifest })).toThrow(PolicyError);
  });

  it('lets no file have an entity of a type that is live data', () => {
    const manifest = 'data: { entities: [user] }';
    const entities = '- { type: page, id: a }\n- { type: user, id: ana }\n- { type: user, id: ben }\n';
    const message = 'the manifest says that each user is live data, so no file may have one';
    expect(problemsOf({ manifest, entities })).toEqual(
      [2, 3].map((line) => `entities.yaml:${line}:3: error data_owned_type: ${message}`),
    );
    expect(problemsOf({ manifest, entities: '- { type: page, id: a }' })).toEqual([]);
  });
});

describe('entities: { unknown: deny }', () => {
  const ask = (subject: { type: string; id: string }, manifest: string) =>
    compilePolicySet({ ...base, manifest }).decide(
      { subject, action: 'edit', resource: { type: 'site', id: 'page' } },
      { now: 0 },
    );

  it('denies what is of a type of live data, also while no entity of it is there', () => {
    const ana = { type: 'user', id: 'ana' };
    const rules = 'data: { entities: [user] }\nentities: { unknown: deny }';
    expect(ask(ana, rules).reason.code).toBe('unknown_entity');
    expect(ask({ ...ana, type: 'robot' }, rules).decision).toBe('allow');
    expect(ask(ana, 'data: { roles: [g] }\nentities: { unknown: deny }').decision).toBe('allow');
  });
});
