/** Laws that every policy must obey. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatModel, formatRules } from '../../src/core/analysis/format.js';
import { compilePolicySet, type PolicySet } from '../../src/engine.js';
import { plainNames, plainWorld, rulesText } from './plain-worlds.js';
import { runs, seed, timeout } from './runs.js';
import { type World, world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);

const allowOverride = 'some(where (p.eft == allow))';
const readsRules = ({ rules }: World) => rules.includes('p, ');
const linesOf = (rules: string) => rules.split('\n').filter((line) => line !== '');

/** A result of the wrong type ends the request wherever it stands, so with it the order of rules is visible. */
function answers(set: PolicySet, asks: World['asks']): (string | undefined)[] {
  return asks.map(({ args, matcher, context }) => {
    const { decision, errors } = set.enforce(args, { matcher, context, now });
    return errors.some(({ code }) => code === 'wrong_result') ? undefined : decision;
  });
}

describe(`laws (seed ${seed})`, () => {
  it('another rule never takes an allow away under allow-override', { timeout }, () => {
    const overriding = world.filter(
      ({ model }) => model.includes(`e = ${allowOverride}\n`) && !model.includes('priority'),
    );
    const parted = overriding.chain((original) => {
      const isRule = (line: string) => /^p2?, /.test(line);
      const [rules, links] = [
        linesOf(original.rules).filter(isRule),
        linesOf(original.rules).filter((line) => !isRule(line)),
      ];
      return fc.tuple(
        fc.constant(original),
        fc.constant(links),
        fc.nat(rules.length).map((at) => [rules.slice(0, at), rules.slice(at)] as const),
      );
    });
    fc.assert(
      fc.property(parted, ([{ model, roleMatching, asks }, links, [some, more]]) => {
        // Of no rules at all the matcher is asked once, which is another question.
        const kinds = new Set(some.map((line) => line.split(',')[0]));
        if (['p', ...(model.includes('p2 = ') ? ['p2'] : [])].some((kind) => !kinds.has(kind))) return;
        const fewer = compilePolicySet({ model, rules: [...links, ...some].join('\n'), roleMatching });
        const all = compilePolicySet({ model, rules: [...links, ...some, ...more].join('\n'), roleMatching });
        const [before, after] = [answers(fewer, asks), answers(all, asks)];
        asks.forEach((ask, i) => {
          if (before[i] === 'allow') expect(after[i], JSON.stringify(ask)).toBe('allow');
        });
      }),
      runs(500),
    );
  });

  it('the order of rules changes no decision outside priority models', { timeout }, () => {
    const unordered = world.filter((original) => !/priority/i.test(original.model) && readsRules(original));
    const shuffled = unordered.chain((original) => {
      const lines = linesOf(original.rules);
      return fc.tuple(fc.constant(original), fc.shuffledSubarray(lines, { minLength: lines.length }));
    });
    fc.assert(
      fc.property(shuffled, ([{ model, rules, roleMatching, asks }, lines]) => {
        const before = answers(compilePolicySet({ model, rules, roleMatching }), asks);
        const after = answers(compilePolicySet({ model, rules: lines.join('\n'), roleMatching }), asks);
        asks.forEach((ask, i) => {
          if (before[i] !== undefined && after[i] !== undefined) expect(after[i], JSON.stringify(ask)).toBe(before[i]);
        });
      }),
      runs(600),
    );
  });

  it('the same rule twice is the rule once', { timeout }, () => {
    fc.assert(
      fc.property(world, ({ model, rules, roleMatching, asks }) => {
        const once = answers(compilePolicySet({ model, rules, roleMatching }), asks);
        expect(answers(compilePolicySet({ model, rules: `${rules}\n${rules}`, roleMatching }), asks)).toEqual(once);
      }),
      runs(400),
    );
  });

  it('other names for the same things change nothing', { timeout }, () => {
    fc.assert(
      fc.property(plainWorld, renaming, (plain, rename) => {
        const renamed = (text: string) => rename.get(text) ?? text;
        const set = compilePolicySet({ model: plain.model, rules: rulesText(plain.rules) });
        const other = compilePolicySet({
          model: plain.model,
          rules: rulesText(plain.rules.map(([ptype, ...fields]) => [ptype!, ...fields.map(renamed)])),
        });
        for (const args of plain.asks) {
          const before = set.enforce(args, { now });
          const after = other.enforce(
            args.map((arg) => renamed(arg as string)),
            { now },
          );
          expect(after.decision).toBe(before.decision);
          expect(after.rule).toEqual(before.rule?.map(renamed) ?? null);
        }
      }),
      runs(600),
    );
  });

  it('a set answers the same again, and its version names its content', { timeout }, () => {
    fc.assert(
      fc.property(world, ({ model, rules, roleMatching, asks }) => {
        const [set, twin] = [
          compilePolicySet({ model, rules, roleMatching }),
          compilePolicySet({ model, rules, roleMatching }),
        ];
        expect(twin.version).toBe(set.version);
        expect(compilePolicySet({ model, rules: `${rules}\n# more`, roleMatching }).version).not.toBe(set.version);
        for (const { args, matcher, context } of asks) {
          const first = set.enforce(args, { matcher, context, now });
          expect(set.enforce(args, { matcher, context, now })).toEqual(first);
          expect(twin.enforce(args, { matcher, context, now })).toEqual(first);
        }
      }),
      runs(300),
    );
  });

  it('a decision request is answered as the bare names are', { timeout }, () => {
    fc.assert(
      fc.property(plainWorld, ({ model, rules, asks }) => {
        const set = compilePolicySet({ model, rules: rulesText(rules) });
        for (const [subject = '', resource = '', action = ''] of asks) {
          const wanted = set.enforce([subject, resource, action], { now });
          const { decision, reason } = set.decide({ subject, action, resource }, { now });
          expect(decision).toBe(wanted.decision);
          expect(reason.rule?.slice(1) ?? null).toEqual(wanted.rule);
        }
      }),
      runs(400),
    );
  });

  it('formatted files mean the same, and are not formatted any further', { timeout }, () => {
    fc.assert(
      fc.property(world, ({ model, rules, roleMatching, asks }) => {
        const [formedModel, formedRules] = [formatModel(model, 'model.conf'), formatRules(rules, 'policy.csv')];
        if (!('text' in formedModel) || !('text' in formedRules))
          throw new Error('a file that loads must be formatted');
        expect(formatModel(formedModel.text, 'model.conf')).toEqual(formedModel);
        expect(formatRules(formedRules.text, 'policy.csv')).toEqual(formedRules);
        const before = compilePolicySet({ model, rules, roleMatching });
        const after = compilePolicySet({ model: formedModel.text, rules: formedRules.text, roleMatching });
        for (const { args, context } of asks) {
          const { decision, rule } = before.enforce(args, { context, now });
          expect(after.enforce(args, { context, now })).toMatchObject({ decision, rule });
        }
      }),
      runs(400),
    );
  });
});

/** New names for all but the empty name; none is `allow` or `deny`. */
const renaming: fc.Arbitrary<ReadonlyMap<string, string>> = fc
  .uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter(isName), {
    minLength: plainNames.length,
    maxLength: plainNames.length,
  })
  .map((names) => new Map(plainNames.map((name, i) => [name, name === '' ? '' : names[i]!])));

/** Text that a line of CSV can hold in quotes, and that is not two names joined. */
function isName(text: string): boolean {
  return !/[\n\r,\0\uFFFD]/.test(text) && !['allow', 'deny'].includes(text);
}
