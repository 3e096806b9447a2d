/**
 * The engine and the stock `casbin` package answer alike where both mean the same: names, roles and effects, without
 * attributes, patterns, `in` and errors.
 */
import { newEnforcer, newModelFromString, StringAdapter } from 'casbin';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicySet } from '../../src/engine.js';
import { plainWorld } from './plain-worlds.js';
import { runs, seed, timeout } from './runs.js';

/** The stock package trims fields, quoted ones too, and has no empty ones. */
const shared = plainWorld.filter(
  ({ model, rules }) => !model.includes(' in ') && rules.every((fields) => fields.every((field) => field !== '')),
);

describe(`the stock casbin package agrees (seed ${seed})`, () => {
  it('on policies of names, roles and effects', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(shared, async ({ model, rules, asks }) => {
        const text = rules.map((fields) => fields.join(', ')).join('\n');
        const set = compilePolicySet({ model, rules: text });
        const stock = await newEnforcer(newModelFromString(model), new StringAdapter(text));
        for (const args of asks) {
          const allowed = await stock.enforce(...args);
          expect(set.enforce(args).decision, JSON.stringify(args)).toBe(allowed ? 'allow' : 'deny');
        }
      }),
      runs(200),
    );
  });
});
