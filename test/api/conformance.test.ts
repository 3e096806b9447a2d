/** Casbin's own cases asked of the whole service: each policy is a folder, each question a request. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError } from '../../src/engine.js';
import { type CasbinCase, casbinCases } from '../core/corpus.js';
import { decisionQuestions } from '../core/decision-questions.js';
import { type PolicyFiles, type Service, startService } from '../http/service.js';

const manifest = 'emptyPolicy: allowed\n';

/** An id may not be empty over HTTP; the rest of the question is as the case has it. */
const questionsOf = (example: CasbinCase) =>
  decisionQuestions(example).filter(({ request }) => Object.values(request).every((value) => value !== ''));

function loads({ model, policy }: CasbinCase): boolean {
  try {
    compilePolicySet({ model, rules: policy, manifest, strict: true });
    return true;
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
}

const cases = casbinCases().filter((example) => questionsOf(example).length > 0 && loads(example));

function filesOf({ name, model, policy }: CasbinCase): PolicyFiles {
  return {
    [`${name}/model.conf`]: model,
    [`${name}/rules.csv`]: policy,
    [`${name}/policy-set.yaml`]: manifest,
  };
}

describe('Casbin’s cases over HTTP', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService(Object.assign({}, ...cases.map(filesOf)));
  });
  afterAll(() => service.stop());

  it('are many', () => {
    expect(cases.length).toBeGreaterThan(50);
  });

  it.each(cases)('$name', async (example) => {
    const questions = questionsOf(example);
    const { status, body } = await service.post('/v1/decide/batch', {
      defaults: { policySet: example.name },
      requests: questions.map(({ request }) => request),
    });
    expect(status).toBe(200);
    questions.forEach(({ request, decision, rule, errs }, i) => {
      const answer = body.decisions[i];
      // No name over HTTP has a control character; the library answers these as Casbin does.
      if (Object.values(request).some((value) => typeof value === 'string' && /\p{Cc}/u.test(value))) {
        expect(answer.problem, JSON.stringify(request)).toMatchObject({ type: 'urn:verdict:problem:invalid_request' });
        return;
      }
      expect(answer.decision, JSON.stringify(request)).toBe(decision);
      expect(answer.allowed).toBe(decision === 'allow');
      expect(answer.errors.length > 0, JSON.stringify(answer.errors)).toBe(errs);
      if (rule !== undefined && answer.reason.rule !== undefined) expect(answer.reason.rule.slice(1)).toEqual(rule);
    });
  });
});
