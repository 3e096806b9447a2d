/** `local` in the manifest: whether clients may decide by the set in their own process. */
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

describe('local in the manifest', () => {
  it('allows decisions elsewhere, and names attributes that are kept back', () => {
    expect(compilePolicySet(base).manifest.local).toBeUndefined();
    expect(compilePolicySet({ ...base, manifest: 'local: allowed' }).manifest.local).toEqual({ omit: [] });
    const manifest = 'local: { omit: [user.salary, com.acme.page.notes] }';
    expect(compilePolicySet({ ...base, manifest }).manifest.local).toEqual({
      omit: ['user.salary', 'com.acme.page.notes'],
    });
  });

  it.each([
    ['local: yes', 'policy-set.yaml:1:8: error wrong_value: local must be one of allowed, not "yes"'],
    ['local: true', 'policy-set.yaml:1:8: error wrong_type: local must be a text'],
    ['local: [user.salary]', 'policy-set.yaml:1:8: error wrong_type: local must be a text'],
    ['local: {}', 'policy-set.yaml:1:8: error missing_value: local needs "omit", or is "allowed"'],
    ['local: { leave: [a.b] }', 'policy-set.yaml:1:17: error unknown_key: local has no "leave"'],
    ['local: { omit: user.salary }', 'policy-set.yaml:1:16: error wrong_type: local.omit must be a list'],
    ['local: { omit: [1] }', 'policy-set.yaml:1:17: error wrong_type: each of local.omit must be a text'],
    ['local: { omit: [a.b, a.b] }', 'policy-set.yaml:1:22: error wrong_value: local.omit names "a.b" twice'],
    ['local: { omit: [salary] }', 'policy-set.yaml:1:17: error wrong_value: "salary" names no attribute of a type'],
    ['local: { omit: [.salary] }', 'policy-set.yaml:1:17: error wrong_value: ".salary" names no attribute of a type'],
    ['local: { omit: [user.] }', 'policy-set.yaml:1:17: error wrong_value: "user." names no attribute of a type'],
    [
      'engine: casbin\nlocal: allowed',
      'policy-set.yaml:2:8: error unsupported_by_stock_casbin: clients decide with the engine of Verdict alone',
    ],
  ])('%s', (manifest, wanted) => {
    expect(problemsOf({ manifest }).slice(0, 1)).toEqual([wanted]);
  });

  it('stops the load beside stock Casbin, also where problems are not strict', () => {
    const manifest = 'engine: casbin\nlocal: allowed\nlint: { unsupported_by_stock_casbin: warn }\n';
    expect(() => compilePolicySet({ ...base, strict: false, manifest })).toThrow(PolicyError);
  });
});
