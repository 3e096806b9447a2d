/** The engine answers the project's own corpus (`test/cases/*.yaml`); so does the reference evaluator. */
import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError, type PolicySet } from '../../src/engine.js';
import { LoadError } from '../reference/model.js';
import { loadReference, type Reference } from '../reference/reference.js';
import { type CorpusCase, corpusFiles, modelOf } from './corpus.js';

const now = Date.UTC(2024, 5, 1);

function checkEngine({ requests = [] }: CorpusCase, set: PolicySet): void {
  for (const { args, matcher, context, decision, rule = null, errors = [] } of requests) {
    const answer = set.enforce(args, { matcher, context, now });
    const codes = answer.errors.map(({ code }) => code);
    expect({ ...answer, errors: codes }, question(args, matcher, context)).toEqual({ decision, rule, errors });
  }
}

/** Its errors have no names that anyone relies on, but there must be as many. */
function checkReference({ requests = [] }: CorpusCase, reference: Reference): void {
  for (const { args, matcher, context, decision, rule = null, errors = [] } of requests) {
    const answer = reference.enforce(args, { matcher, context, now });
    const wanted = { decision, rule, errors: errors.length };
    expect({ ...answer, errors: answer.errors.length }, question(args, matcher, context)).toEqual(wanted);
  }
}

function question(...parts: unknown[]): string {
  return parts.map((part) => JSON.stringify(part) ?? '').join(' ');
}

describe('the corpus', () => {
  const all = corpusFiles().flatMap(({ cases }) => cases);

  it('has at least 300 cases', () => {
    expect(all.length).toBeGreaterThan(300);
  });

  it('names each case once', () => {
    const names = all.map((example) => example.case);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});

describe.each(corpusFiles())('$name', ({ cases }) => {
  it.each(cases)('$case', (example) => {
    const { rules = '', roleMatching, linkConditions, fieldIndex, acceptJson } = example;
    const options = { model: modelOf(example), rules, roleMatching, fieldIndex, acceptJson };
    const compile = (strict: boolean) => compilePolicySet({ ...options, linkConditions, strict });
    if (example.refused === true) {
      expect(() => loadReference(options)).toThrow(LoadError);
      // What Casbin itself loads stops only those who load strictly, as the policy store does.
      expect(() => compile(example.differs !== undefined)).toThrow(PolicyError);
      return;
    }
    checkEngine(example, compile(false));
    checkReference(example, loadReference({ ...options, ...(linkConditions && { linkConditions }) }));
  });
});
