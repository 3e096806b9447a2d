import type { EngineDecision } from '../core/decision.js';
import { negotiateObligations } from '../core/engine/obligations.js';
import type { DecisionRequest } from '../core/request.js';
import type { DecisionRecord } from '../decision-log/decision-record.js';

/**
 * A decision as it would be answered to the caller of a record: a caller that was denied an allow whose obligations it does
 * not say to execute is asked for that again.
 */
export function asAnswered(
  { reason }: Pick<DecisionRecord, 'reason'>,
  { attributes }: DecisionRequest,
  decision: EngineDecision,
): EngineDecision {
  if (reason.code !== 'obligation_unsupported') return decision;
  return negotiateObligations(decision, attributes).decision;
}
