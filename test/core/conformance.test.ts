/** The engine answers Casbin's own cases (`test/cases/casbin`) as Casbin does: decision, error and explained rule. */
import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError } from '../../src/engine.js';
import { type CasbinCase, casbinCases, functionsOf } from './corpus.js';
import { decisionQuestions } from './decision-questions.js';

/** Every condition in the cases is about years long gone or far away. */
const now = Date.UTC(2024, 5, 1);

function compile(example: CasbinCase, rules = example.policy) {
  return compilePolicySet({
    model: example.model,
    rules,
    roleMatching: example.roleMatchers,
    linkConditions: example.linkConditions,
    fieldIndex: example.fieldIndex,
    acceptJson: example.acceptJson,
    functions: functionsOf(example),
  });
}

describe('P6: the engine answers as Casbin does', () => {
  it.each(casbinCases())('$name', (example) => {
    if (example.load_error !== undefined) {
      expect(() => compile(example)).toThrow(PolicyError);
      return;
    }
    const set = compile(example);
    for (const { args, matcher, allow, matched, error, verdict } of example.requests) {
      const answer = set.enforce(args, { context: example.context, matcher, now });
      const question = `${JSON.stringify(args)} ${matcher ?? ''}`;
      expect(answer.decision, question).toBe((verdict?.allow ?? allow) ? 'allow' : 'deny');
      if (verdict !== undefined) continue;
      if (error !== undefined) expect(answer.errors, question).not.toEqual([]);
      else expect(answer.rule ?? [], question).toEqual(matched?.[0] ?? []);
    }
  });

  it.each(casbinCases().filter(({ steps }) => steps !== undefined))('$name: each addition on its own', (example) => {
    const taken: string[] = [];
    for (const { add, allow } of example.steps ?? []) {
      const rules = [...taken, add.join(', ')].join('\n');
      if (allow === true) {
        expect(() => compile(example, rules)).not.toThrow();
        taken.push(add.join(', '));
      } else {
        const set = () => compilePolicySet({ model: example.model, rules, strict: true });
        expect(set).toThrow(PolicyError);
      }
    }
  });
});

describe('the same cases as decision requests', () => {
  const expressible = casbinCases().filter((example) => decisionQuestions(example).length > 0);

  it('are many', () => {
    expect(expressible.length).toBeGreaterThan(60);
  });

  it.each(expressible)('$name', (example) => {
    const set = compile(example);
    for (const { request, decision, rule, errs } of decisionQuestions(example)) {
      const answer = set.decide(request, { now });
      expect(answer.decision, JSON.stringify(request)).toBe(decision);
      if (errs) expect(answer.errors, JSON.stringify(request)).not.toEqual([]);
      if (rule !== undefined && answer.reason.rule !== undefined) expect(answer.reason.rule.slice(1)).toEqual(rule);
    }
  });
});
