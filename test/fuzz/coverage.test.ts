/** Coverage counts what explanations show, and every mutant is a set that loads or is refused as any set is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { measureCoverage } from '../../src/core/analysis/coverage.js';
import { mutantsOf } from '../../src/core/analysis/mutants.js';
import { normaliseRequest } from '../../src/core/request.js';
import { finish } from '../../src/core/steps.js';
import { compilePolicySet, PolicyError } from '../../src/engine.js';
import { runs, seed, timeout } from './runs.js';
import { world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);

describe(`coverage and mutants (seed ${seed})`, () => {
  it('of any policy count the rules that explanations show', { timeout }, () => {
    let compared = 0;
    const mutants = { loaded: 0, refused: 0 };
    fc.assert(
      fc.property(world, ({ model, rules, roleMatching, asks }) => {
        const set = compilePolicySet({ model, rules, roleMatching });
        const [decided, matched] = [new Map<string, number>(), new Map<string, number>()];
        let isWhole = true;
        const asked = asks.map(({ args }) => {
          const [subject, resource, action] = args.map((arg) => (typeof arg === 'string' ? arg : JSON.stringify(arg)));
          const request = normaliseRequest({
            subject: { id: subject ?? '', attributes: { age: 18, dept: 'sales' } },
            resource: resource ?? '',
            action: action ?? '',
            attributes: { tenant: 'd1' },
          });
          const decision = set.evaluate(request, { now, explain: 'full' });
          isWhole &&= decision.explanation === undefined || decision.explanation.complete;
          for (const { line } of decision.explanation?.matching ?? []) add(matched, line);
          const { code, line } = decision.reason;
          if (code === 'rule_allowed' || code === 'rule_denied') add(decided, line!);
          return { test: { request, now }, decision };
        });
        const texts = [
          { file: 'model.conf', text: model },
          { file: 'policy.csv', text: rules },
        ];
        const coverage = finish(measureCoverage(set.compiled, asked, texts));
        for (const rule of coverage.rules) {
          expect(rule.decided).toBe(decided.get(String(rule.line)) ?? 0);
          expect(rule.decided).toBeLessThanOrEqual(rule.matched);
          if (!isWhole) continue;
          compared++;
          expect([rule.line, rule.matched]).toEqual([rule.line, matched.get(String(rule.line)) ?? 0]);
        }
        for (const mutant of mutantsOf(set.compiled, texts)) {
          const { file, text } = mutant.changed();
          try {
            compilePolicySet({ model, rules, roleMatching, [file === 'model.conf' ? 'model' : 'rules']: text });
            mutants.loaded++;
          } catch (error) {
            if (!(error instanceof PolicyError)) throw error;
            mutants.refused++;
          }
        }
      }),
      runs(150),
    );
    expect(compared).toBeGreaterThan(100);
    // A change that no set survives would be no mutant.
    expect(mutants.loaded).toBeGreaterThan(1_000);
    expect(mutants.refused).toBeLessThan(mutants.loaded / 10);
  });
});

function add(counts: Map<string, number>, line: number): void {
  counts.set(String(line), (counts.get(String(line)) ?? 0) + 1);
}
