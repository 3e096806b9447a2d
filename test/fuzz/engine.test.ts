/** The engine and the reference evaluator answer random questions about random policies alike. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicySet } from '../../src/engine.js';
import { loadReference } from '../reference/reference.js';
import { runs, seed, timeout } from './runs.js';
import { type World, world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);

/** The engine stops listing errors here; the reference never does. */
const maxErrors = 20;

function check({ model, rules, roleMatching, asks }: World): void {
  const reference = loadReference({ model, rules, roleMatching });
  const set = compilePolicySet({ model, rules, roleMatching });
  for (const { args, matcher, context } of asks) {
    const wanted = reference.enforce(args, { matcher, context, now });
    const { decision, rule, errors } = set.enforce(args, { matcher, context, now });
    expect(
      { decision, rule, errors: errors.length > 0 },
      `${JSON.stringify(args)} ${matcher ?? ''}\nengine: ${JSON.stringify(errors)}\nreference: ${JSON.stringify(wanted)}`,
    ).toEqual({ decision: wanted.decision, rule: wanted.rule, errors: wanted.errors.length > 0 });
    if (wanted.errors.length < maxErrors) expect(errors.length, JSON.stringify(args)).toBe(wanted.errors.length);
  }
}

describe(`engine and reference agree (seed ${seed})`, () => {
  it('on random models, rules, roles and requests', { timeout }, () => {
    fc.assert(fc.property(world, check), runs(5600));
  });
});
