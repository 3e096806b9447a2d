/** The reference evaluator is trusted by other tests, so it has to answer Casbin's own cases first. */
import { describe, expect, it } from 'vitest';
import { casbinCases, functionsOf } from '../core/corpus.js';
import { loadReference } from './reference.js';

describe('the reference evaluator answers as Casbin does', () => {
  it.each(casbinCases())('$name', (example) => {
    const load = () =>
      loadReference({
        model: example.model,
        rules: example.policy,
        roleMatching: example.roleMatchers,
        fieldIndex: example.fieldIndex,
        acceptJson: example.acceptJson,
        functions: functionsOf(example),
      });
    if (example.load_error !== undefined) {
      expect(load).toThrow();
      return;
    }
    const reference = load();
    for (const { args, matcher, allow, matched, error, verdict } of example.requests) {
      const answer = reference.enforce(args, { context: example.context, matcher });
      const question = `${JSON.stringify(args)} ${matcher ?? ''}`;
      const wanted = (verdict?.allow ?? allow) ? 'allow' : 'deny';
      expect(answer.decision, question).toBe(wanted);
      if (verdict !== undefined) continue;
      if (error !== undefined) expect(answer.errors, question).not.toEqual([]);
      else expect(answer.rule ?? [], question).toEqual(matched?.[0] ?? []);
    }
  });
});
