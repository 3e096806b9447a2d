/** Mutants of patterns are wider than the patterns, whatever function reads them. */
import { expect, it } from 'vitest';
import { mutantsOf } from '../../../src/core/analysis/mutants.js';
import { compilePolicySet } from '../../../src/engine.js';

const modelWith = (name: string) => `[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && ${name}(r.obj, p.obj)
`;

/** What one pattern of a rule becomes; undefined where it has no wider one. */
function widened(name: string, pattern: string): string | undefined {
  const texts = [
    { file: 'model.conf', text: modelWith(name) },
    { file: 'rules.csv', text: `p, ann, "${pattern}"\n` },
  ];
  const { compiled } = compilePolicySet({ model: texts[0]!.text, rules: [texts[1]!] });
  const [mutant, ...others] = mutantsOf(compiled, texts).filter(({ kind }) => kind === 'pattern-widened');
  expect(others).toEqual([]);
  return mutant?.after;
}

function allowed(name: string, pattern: string, paths: readonly string[]): readonly string[] {
  const set = compilePolicySet({ model: modelWith(name), rules: `p, ann, "${pattern}"\n` });
  return paths.filter((path) => {
    const { decision, errors } = set.enforce(['ann', path]);
    expect(errors, `${name} ${pattern} ${path}`).toEqual([]);
    return decision === 'allow';
  });
}

const names = ['', 'a', 'ab', 'b', 'x', '7'];
const paths = [
  '/',
  ...names.map((name) => `/${name}`),
  ...names.flatMap((one) => names.map((other) => `/${one}/${other}`)),
  ...names.flatMap((one) => names.map((other) => `/a/${one}/${other}`)),
];

it.each<[string, string, string | undefined]>([
  ['keyMatch', '/a/b', '/a/*'],
  ['keyMatch', '/a/*', '/*'],
  ['keyMatch', '/*', undefined],
  ['keyMatch', '*', undefined],
  ['keyMatch2', '/a/:id', '/a/*'],
  ['keyMatch2', '/a/[ab]+', '/a/*'],
  ['keyMatch2', '/a/(b|b/x)', '/a/*'],
  ['keyMatch2', '/:one/*', '/*'],
  ['keyMatch3', '/a/{id}', '/a/*'],
  ['keyMatch4', '/{id}/{id}', '/{id}/*'],
  ['keyMatch5', '/a/{id}', '/a/*'],
  ['globMatch', '/a/b', '/a/*'],
  ['globMatch', '/a/[ab]*', '/a/*'],
  ['globMatch', '/a/*', '/a/**'],
  ['globMatch', '/a/**', '/**'],
  ['globMatch', '/a/**/x', '/a/**/*'],
  ['globMatch', '/a/{b,b/x}', '/a/**'],
  ['globMatch', '/{a,b/x}/7', '/{a,b/x}/*'],
  ['globMatch', '/*', '/**'],
  ['globMatch', '/**', undefined],
  ['globMatch', '**', undefined],
])('%s of %s is wider as %s', (name, pattern, wider) => {
  expect(widened(name, pattern)).toBe(wider);
  if (wider === undefined) return;
  const before = allowed(name, pattern, paths);
  const after = new Set(allowed(name, wider, paths));
  expect(before.filter((path) => !after.has(path))).toEqual([]);
  expect(after.size, `${before.length} before`).toBeGreaterThan(before.length);
  expect(before.length).toBeGreaterThan(0);
});
