/** Obligations as AuthZEN's drafts negotiate them: an allow that depends on what the caller does not do is a deny. */
import { describe, expect, it } from 'vitest';
import type { EngineDecision } from '../../src/core/decision.js';
import {
  faultInObligation,
  negotiateObligations,
  ObligationIds,
  supportedBy,
} from '../../src/core/engine/obligations.js';
import type { Json, JsonObject } from '../../src/core/request.js';

const stepUp = { id: 'mfa', type: 'step-up', properties: { acr_value: 'loa:3', amr_values: ['mfa', 'hwk'] } };
const notify = { id: 'tell', type: 'notification', properties: { to: 'boss@shop.example', body: 'b' } };
const decided = (obligations: readonly Json[], decision: 'allow' | 'deny' = 'allow'): EngineDecision => ({
  decision,
  reason: {
    code: decision === 'allow' ? 'rule_allowed' : 'rule_denied',
    rule: ['p', 'ann'],
    file: 'rules.csv',
    line: 1,
    message: 'why',
  },
  obligations,
  advice: ['rest'],
  errors: [],
});
const adopting = (...types: Json[]): JsonObject => ({
  supported_mandatory_extensions: ['obligations'],
  supported_obligations: types,
});

describe('what a caller supports', () => {
  it.each([
    ['no context', undefined],
    ['no extensions', { supported_obligations: ['step-up'] }],
    ['other extensions', { supported_mandatory_extensions: ['advice'], supported_obligations: ['step-up'] }],
    ['a text for the list', { supported_mandatory_extensions: 'obligations', supported_obligations: ['step-up'] }],
    ['it on the prototype alone', Object.create(adopting('step-up'))],
  ])('is nothing with %s', (_what, context) => {
    expect(supportedBy(context as JsonObject | undefined)).toBeUndefined();
  });

  it('are the types of the drafts that it lists, and none where it lists none', () => {
    expect([...supportedBy(adopting('step-up', 'dance', 7, null, 'custom'))!]).toEqual(['step-up', 'custom']);
    expect([...supportedBy({ supported_mandatory_extensions: ['x', 'obligations'] })!]).toEqual([]);
    expect([...supportedBy({ ...adopting(), supported_obligations: 'step-up' })!]).toEqual([]);
  });
});

describe('an obligation in the form of its type', () => {
  it.each<[Json]>([
    [stepUp],
    [{ ...stepUp, properties: { acr_value: 'loa:3' } }],
    [notify],
    [{ ...notify, properties: { to: ['a', 'b'], body: 'b', topic: 't' } }],
    [{ id: 'out', type: 'session_termination', properties: { subject: 'ann' } }],
    [{ id: 'own', type: 'custom', properties: {} }],
    [{ ...stepUp, note: 'members beside the properties are for others' }],
    ['log'],
    [{ notify: 'porter' }],
    [{ id: 'x', type: 'watermark', properties: {} }],
  ])('has no fault: %j', (obligation) => {
    expect(faultInObligation(obligation)).toBeUndefined();
  });

  it.each<[string, Json]>([
    ['needs an id', { type: 'step-up', properties: { acr_value: 'x' } }],
    ['needs an id', { ...stepUp, id: '' }],
    ['needs an id', { ...stepUp, id: 7 }],
    ['needs properties', { id: 'a', type: 'notification' }],
    ['needs properties', { ...stepUp, properties: ['loa'] }],
    ['needs the property acr_value', { ...stepUp, properties: {} }],
    ['has a wrong acr_value', { ...stepUp, properties: { acr_value: 3 } }],
    ['has a wrong amr_values', { ...stepUp, properties: { acr_value: 'x', amr_values: [] } }],
    ['has a wrong to', { ...notify, properties: { to: [7], body: 'b' } }],
    ['needs the property body', { ...notify, properties: { to: 'a' } }],
    ['has a property "level"', { ...stepUp, properties: { acr_value: 'x', level: 2 } }],
    ['needs the property acr_value', { ...stepUp, properties: JSON.parse('{"__proto__": {"acr_value": "x"}}') }],
    ['needs the property subject', { id: 'a', type: 'session_termination', properties: {} }],
  ])('%s: %j', (fault, obligation) => {
    expect(faultInObligation(obligation)).toContain(fault);
  });
});

describe('a decision', () => {
  it('without obligations is what it was, whoever asks', () => {
    for (const context of [undefined, adopting()]) {
      const decision = decided([]);
      expect(negotiateObligations(decision, context)).toEqual({ decision, obligations: [] });
    }
  });

  it('keeps obligations that the caller executes, with an allow and with a deny', () => {
    for (const effect of ['allow', 'deny'] as const) {
      const decision = decided([stepUp, notify], effect);
      expect(negotiateObligations(decision, adopting('notification', 'step-up'))).toEqual({
        decision,
        obligations: [stepUp, notify],
      });
    }
  });

  it.each([
    ['does not say that it enforces any', undefined, 'does not say that the caller enforces obligations'],
    ['names none', adopting(), 'does not say that the caller executes step-up'],
    ['names only one of two', adopting('step-up'), 'does not say that the caller executes notification'],
  ])('is a deny where the caller %s', (_what, context, why) => {
    const { decision, obligations } = negotiateObligations(decided([stepUp, notify]), context);
    expect(obligations).toEqual([]);
    expect(decision).toEqual({
      decision: 'deny',
      reason: { code: 'obligation_unsupported', rule: ['p', 'ann'], file: 'rules.csv', line: 1 },
      obligations: [stepUp, notify],
      errors: [{ code: 'obligation_unsupported', message: expect.stringContaining(why) }],
    });
  });

  it('that is a deny stays as it is, and demands nothing of a caller that cannot do it', () => {
    const decision = decided([stepUp, notify], 'deny');
    for (const context of [undefined, adopting('step-up')]) {
      expect(negotiateObligations(decision, context)).toEqual({ decision, obligations: [] });
    }
  });

  it('is a deny where nobody could comply, since the policy is wrong', () => {
    const wrong = { ...stepUp, properties: { level: 3 } };
    expect(negotiateObligations(decided([wrong]), adopting('step-up', 'custom'))).toMatchObject({
      decision: { decision: 'deny', reason: { code: 'obligation_unsupported' } },
      obligations: [],
    });
  });

  it('gives what the policy has in another form as custom obligations', () => {
    const watermark = { id: 'mark', type: 'watermark', properties: { text: 't' } };
    expect(
      negotiateObligations(decided(['log', { notify: 'porter' }, watermark]), adopting('custom')).obligations,
    ).toEqual([
      { id: 'obligation-1', type: 'custom', properties: { obligation: 'log' } },
      { id: 'obligation-2', type: 'custom', properties: { obligation: { notify: 'porter' } } },
      { id: 'mark', type: 'custom', properties: { obligation: watermark } },
    ]);
    expect(negotiateObligations(decided(['log']), adopting('step-up')).decision.decision).toBe('deny');
  });

  it('has no id twice that stands for two obligations', () => {
    const other = { ...notify, id: 'mfa' };
    const { obligations } = negotiateObligations(decided([stepUp, other, stepUp]), adopting('step-up', 'notification'));
    expect(obligations.map(({ id }) => id)).toEqual(['mfa', 'mfa-2', 'mfa']);
    const ids = new ObligationIds();
    const of = (id: string, n: number) => ids.distinct({ id, type: 'custom', properties: { n } }).id;
    expect([of('a', 1), of('a', 2), of('a', 2), of('a-2', 3), of('a', 1)]).toEqual(['a', 'a-2', 'a-2', 'a-2-2', 'a']);
  });
});
