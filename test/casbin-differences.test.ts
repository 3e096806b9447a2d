/** Each place where Verdict differs from Casbin's reference on purpose: documented, and shown by a case. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type CompileOptions, compilePolicySet, PolicyError } from '../src/engine.js';
import { casbinCases, functionsOf } from './core/corpus.js';

interface Difference extends Pick<CompileOptions, 'manifest' | 'linkConditions'> {
  readonly name: string;
  /** Text of model.conf, or the name of one of the models above the cases. */
  readonly model: string;
  readonly rules: string;
  readonly ask?: readonly unknown[];
  readonly casbin?: 'allow' | 'deny' | 'error';
  readonly verdict?: 'allow' | 'deny';
  readonly errors?: readonly string[];
  readonly refused?: string;
}

const { models, cases }: { models: Record<string, string>; cases: Difference[] } = parse(
  readFileSync(new URL('./casbin-differences.yaml', import.meta.url), 'utf8'),
);

it('docs/casbin-differences.md has a row for each case, and no other', () => {
  const page = readFileSync(new URL('../docs/casbin-differences.md', import.meta.url), 'utf8');
  const named = [...page.matchAll(/^\|.*\| `([a-z_]+)` \|$/gm)].map(([, name]) => name);
  expect(named).toEqual(cases.map(({ name }) => name));
});

describe('where Verdict answers and Casbin does not, or otherwise', () => {
  it.each(cases.filter(({ verdict }) => verdict !== undefined))('$name', (difference) => {
    expect(difference.verdict).not.toBe(difference.casbin);
    const { decision, errors } = compile(difference, { strict: true }).enforce(difference.ask!, { now });
    expect({ decision, errors: errors.map(({ code }) => code) }).toEqual({
      decision: difference.verdict,
      errors: difference.errors,
    });
  });
});

describe('what Casbin loads and Verdict refuses', () => {
  const refused = cases.filter((difference) => difference.refused !== undefined);

  it.each(refused)('$name', (difference) => {
    expect(errorsOf({ model: modelOf(difference.model), rules: difference.rules })).toContain(difference.refused);
  });

  it.each(refused.filter(({ ask }) => ask !== undefined))(
    '$name, without strict never an allow of its own',
    (difference) => {
      const { decision } = compile(difference, { strict: false }).enforce(difference.ask!, { now });
      if (difference.casbin !== 'allow') expect(decision).toBe('deny');
    },
  );
});

it('of the models in Casbin’s own suites, only those without rules and one with an unknown effect are refused', () => {
  const own = casbinCases().filter(
    ({ origin, load_error }) => !origin.startsWith('reference run') && load_error === undefined,
  );
  expect(own.length).toBeGreaterThan(50);
  const refused = own.flatMap((example) => {
    const { name, model, policy: rules, roleMatchers: roleMatching, linkConditions, fieldIndex } = example;
    const functions = functionsOf(example);
    const codes = errorsOf({ model, rules, roleMatching, linkConditions, fieldIndex, functions });
    return codes.length === 0 || `${codes}` === 'empty_policy' ? [] : [`${name}: ${codes}`];
  });
  expect(refused).toEqual(['priority__priority_indeterminate: unknown_effect']);
});

const now = Date.parse('2026-11-18T10:00:00Z');

function modelOf(model: string): string {
  return models[model] ?? model;
}

function compile({ model, rules, manifest, linkConditions }: Difference, { strict }: { strict: boolean }) {
  return compilePolicySet({ model: modelOf(model), rules, manifest, linkConditions, strict });
}

/** The codes for which a set does not load. */
function errorsOf(options: CompileOptions): string[] {
  try {
    compilePolicySet({ ...options, strict: true });
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.filter(({ severity }) => severity === 'error').map(({ code }) => code);
  }
}
