/** A client's answer beside what the policy says. */
import type { EngineDecision, ReasonCode } from '../../core/decision.js';
import type { DisputedAnswer } from '../../decision-log/decision-record.js';
import { canonicalJson } from '../../decision-log/proof/canonical-json.js';
import type { SentRecord } from './sent-records.js';

/** Whether a client's answer is what the policy says: the decision, its code and rule, the codes of errors, obligations. */
export function isSame(answer: SentRecord['answer'], decided: EngineDecision): boolean {
  return (
    answer.decision === decided.decision &&
    (answer.reason.code as ReasonCode) === decided.reason.code &&
    isSameList(answer.reason.rule, decided.reason.rule) &&
    isSameList(
      answer.errors.map(({ code }) => code),
      decided.errors.map(({ code }) => code),
    ) &&
    ((answer.obligations.length === 0 && decided.obligations.length === 0) ||
      canonicalJson(answer.obligations) === canonicalJson(decided.obligations))
  );
}

function isSameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((each, place) => each === b[place]);
}

export function disputedAnswer(answer: SentRecord['answer'], engineVersion: string): DisputedAnswer {
  const { decision, reason, errors, obligations } = answer;
  return {
    decision,
    reason: { code: reason.code, ...(reason.rule !== undefined && { rule: reason.rule }) },
    errors: errors.map(({ code }) => code),
    obligations,
    engineVersion,
  };
}
