/** A full explanation is true: what it names matched, the roles it shows are links, and what it proposes would allow. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change } from '../../src/core/explanation.js';
import { compilePolicySet, PolicyError } from '../../src/engine.js';
import { plainWorld, rulesText } from './plain-worlds.js';
import { runs, seed, timeout } from './runs.js';
import { world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);

type Rules = readonly (readonly string[])[];

interface Question {
  readonly subject: string;
  readonly resource: string;
  readonly action: string;
}

/** The decision when the changes are made; undefined when the set would not load then, for a cycle of roles. */
function decisionAfter(
  changes: readonly Change[],
  model: string,
  rules: Rules,
  question: Question,
): string | undefined {
  const asked: Record<string, unknown> = { ...question };
  const grown = [...rules];
  for (const change of changes) {
    if (change.kind === 'role') grown.push([change.definition, change.name, change.role]);
    else asked[change.path.split('/')[1]!] = change.to;
  }
  try {
    return compilePolicySet({ model, rules: rulesText(grown) }).decide(asked as never, { now }).decision;
  } catch (error) {
    if (error instanceof PolicyError && error.problems.some(({ code }) => code === 'role_cycle')) return undefined;
    throw error;
  }
}

describe(`explanations (seed ${seed})`, () => {
  it('say of plain policies what is so', { timeout }, () => {
    fc.assert(
      fc.property(plainWorld, ({ model, rules, asks }) => {
        const set = compilePolicySet({ model, rules: rulesText(rules) });
        const links = new Set(rules.filter(([ptype]) => ptype !== 'p').map((link) => link.join(' → ')));
        for (const [subject = '', resource = '', action = ''] of asks) {
          const question = { subject, resource, action };
          const brief = set.decide(question, { now });
          const { explanation, ...decision } = set.decide(question, { now, explain: 'full' });
          expect(decision).toEqual(brief);
          if (explanation === undefined) throw new Error('no explanation');
          const { rule } = decision.reason;
          if (rule !== undefined) expect(explanation.matching.map((match) => match.rule)).toContainEqual(rule);
          for (const { roles } of explanation.matching) {
            for (const { definition, path } of roles) {
              expect(path.length).toBeLessThanOrEqual(11);
              path.slice(1).forEach((role, i) => {
                expect(links).toContain([definition, path[i], role].join(' → '));
              });
            }
          }
          if (decision.decision === 'allow') expect(explanation.changes).toEqual([]);
          for (const { changes } of explanation.changes) {
            const after = decisionAfter(changes, model, rules, question);
            expect(after ?? 'allow', JSON.stringify({ question, changes })).toBe('allow');
          }
        }
      }),
      runs(150),
    );
  });

  it('change no decision, whatever the policy and the request', { timeout }, () => {
    fc.assert(
      fc.property(world, fc.jsonValue({ maxDepth: 2 }), ({ model, rules, roleMatching, asks }, attributes) => {
        const set = compilePolicySet({ model, rules, roleMatching });
        for (const { args } of asks) {
          const [subject, resource, action] = args.map((arg) => (typeof arg === 'string' ? arg : JSON.stringify(arg)));
          const question = {
            subject: { id: subject ?? '', attributes: { age: 18, dept: 'sales', nothing: attributes as never } },
            resource: resource ?? '',
            action: action ?? '',
            attributes: { tenant: 'd1' },
          };
          const { explanation, ...decision } = set.decide(question, { now, explain: 'full' });
          expect(decision).toEqual(set.decide(question, { now, explain: 'brief' }));
          expect((JSON.stringify(explanation) ?? '').length).toBeLessThan(1_000_000);
        }
      }),
      runs(300),
    );
  });
});
