/** Every file gives a policy set or a list of problems: nothing else is thrown, and nothing hangs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError, type PolicySet } from '../../src/engine.js';
import { LoadError } from '../reference/model.js';
import { loadReference, type Reference } from '../reference/reference.js';
import { edit, edits, snippets } from './edits.js';
import { runs, seed, timeout } from './runs.js';
import { type World, world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);

/**
 * Files that the engine refuses and the reference reads: lines that Casbin cuts in pieces, and files that are not text.
 */
const ownRefusals = new Set(['line_too_long', 'binary_content']);

function attempt<Loaded>(load: () => Loaded, expected: typeof PolicyError | typeof LoadError): Loaded | Error {
  try {
    return load();
  } catch (error) {
    if (error instanceof expected) return error;
    throw error;
  }
}

/**
 * Whether a bracket may begin a list, where the reference reads a name up to the next bracket: docs/casbin-differences.md.
 * Brackets around a bare name, and those in the texts of a matcher, are read alike.
 */
function mayHaveList({ model, rules, asks }: World): boolean {
  const matchers = [
    ...model.split('\n').filter((line) => !line.startsWith('[')),
    ...asks.map((ask) => ask.matcher ?? ''),
  ];
  const texts = [rules, ...matchers.map((matcher) => matcher.replaceAll(/"[^"]*"|'[^']*'/g, ''))];
  return texts.some((text) => /\[(?!\p{L}[\p{L}\p{Nd}_]*\])/u.test(text));
}

/** Both load and then answer alike, or neither loads. */
function compare(world: World): void {
  const { model, rules, roleMatching, asks } = world;
  if (mayHaveList(world)) return;
  const set = attempt<PolicySet>(() => compilePolicySet({ model, rules, roleMatching }), PolicyError);
  const reference = attempt<Reference>(() => loadReference({ model, rules, roleMatching }), LoadError);
  if (set instanceof Error) {
    const codes = (set as PolicyError).problems.filter(({ severity }) => severity === 'error').map(({ code }) => code);
    expect(codes).not.toEqual([]);
    if (!codes.some((code) => ownRefusals.has(code))) expect(reference, set.message).toBeInstanceOf(LoadError);
    return;
  }
  expect(reference instanceof Error ? reference.message : undefined).toBeUndefined();
  for (const { args, matcher, context } of asks) {
    const { decision, rule, errors } = set.enforce(args, { matcher, context, now });
    const wanted = (reference as Reference).enforce(args, { matcher, context, now });
    expect({ decision, rule, errors: errors.length > 0 }, `${JSON.stringify(args)} ${matcher ?? ''}`).toEqual({
      decision: wanted.decision,
      rule: wanted.rule,
      errors: wanted.errors.length > 0,
    });
  }
}

describe(`parsers (seed ${seed})`, () => {
  it('a model with random edits loads, or is refused with problems', { timeout }, () => {
    const changed = fc.tuple(world, edits).map(([original, changes]) => ({
      ...original,
      model: edit(original.model, changes),
    }));
    fc.assert(fc.property(changed, compare), runs(1000));
  });

  it('rules with random edits load, or are refused with problems', { timeout }, () => {
    const changed = fc.tuple(world, edits).map(([original, changes]) => ({
      ...original,
      rules: edit(original.rules, changes),
    }));
    fc.assert(fc.property(changed, compare), runs(1000));
  });

  it('a matcher with random edits answers, or denies and says why', { timeout }, () => {
    const changed = fc.tuple(world, edits).map(([original, changes]) => ({
      ...original,
      asks: original.asks.map((ask) => ({
        ...ask,
        matcher: edit(ask.matcher ?? /^m = (.*)$/m.exec(original.model)?.[1] ?? '', changes),
      })),
    }));
    fc.assert(fc.property(changed, compare), runs(1000));
  });

  it.each([
    '() == 0',
    '() == ()',
    '(())',
    '!()',
    'true || ()',
    'r.sub in ()',
    '(1, ()) == 0',
    'keyMatch(r.obj, ())',
    'p.sub == ()',
  ])('takes empty parentheses alike: %s', (matcher) => {
    const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
    const args = ['alice', 'data1', 'read'];
    compare({ model, rules: '', roleMatching: [], asks: [{ args }] });
    compare({ model, rules: 'p, alice, data1, read', roleMatching: [], asks: [{ args }] });
  });

  it('any text at all is a policy set or a list of problems', { timeout }, () => {
    const text = fc.array(fc.oneof(snippets, fc.string({ unit: 'grapheme', maxLength: 5 })), { maxLength: 60 });
    fc.assert(
      fc.property(text, text, (model, rules) => {
        const options = { model: model.join(''), rules: rules.join('') };
        for (const strict of [false, true]) attempt(() => compilePolicySet({ ...options, strict }), PolicyError);
      }),
      runs(2000),
    );
  });

  it('strict or not, the same problems are found', { timeout }, () => {
    fc.assert(
      fc.property(world, ({ model, rules, roleMatching }) => {
        const set = compilePolicySet({ model, rules, roleMatching });
        const strict = attempt(() => compilePolicySet({ model, rules, roleMatching, strict: true }), PolicyError);
        const problems = strict instanceof PolicyError ? strict.problems : (strict as PolicySet).problems;
        expect(problems).toEqual(set.problems);
      }),
      runs(300),
    );
  });
});
