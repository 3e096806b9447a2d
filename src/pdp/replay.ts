import { isDeepStrictEqual } from 'node:util';
import type { EngineDecision } from '../core/decision.js';
import { engineVersion } from '../core/engine/engine-version.js';
import { VerdictError } from '../core/errors.js';
import type { DecisionRecord } from '../decision-log/decision-record.js';
import type { PolicyStore } from '../policy-store/policy-store.js';

/** What was answered, or is answered now, and by what. */
interface Answer extends EngineDecision {
  readonly policyVersion: string;
  readonly engineVersion: string;
}

export interface Replay {
  readonly decisionId: string;
  readonly policySet: string;
  /** The time that both evaluations saw. */
  readonly clock: string;
  readonly recorded: Answer;
  readonly replayed: Answer;
  /** Whether decision, reason, obligations and errors are what they were. On the same version they are (P3). */
  readonly same: boolean;
}

/**
 * Asks a recorded question again, at the time it was asked: of the version that answered it, or of another one.
 *
 * @throws VerdictError `not_replayable` when the record does not hold the question as it was asked,
 *   `policy_version_not_found` when no such version ever served
 */
export async function replay(
  policySets: Pick<PolicyStore, 'version'>,
  record: DecisionRecord,
  version?: string,
): Promise<Replay> {
  if (record.masked === true) {
    throw notReplayable(record, 'parts of its request were masked before it was stored');
  }
  if (record.search !== undefined) throw notReplayable(record, 'it is a search: ask it again instead');
  const set = await policySets.version(record.policySet, version ?? record.policyVersion);
  const now = Date.parse(record.clock);
  const decision = await set.evaluate(record.request, { now, explain: 'full' });
  const recorded = answerOf(record, record.policyVersion, record.engineVersion);
  const replayed = answerOf(decision, set.version, engineVersion);
  return {
    decisionId: record.id,
    policySet: record.policySet,
    clock: record.clock,
    recorded,
    replayed: { ...replayed, ...(decision.explanation !== undefined && { explanation: decision.explanation }) },
    same: isDeepStrictEqual(comparable(recorded), comparable(replayed)),
  };
}

function notReplayable({ id }: DecisionRecord, why: string): VerdictError {
  return new VerdictError('not_replayable', `The decision ${id} cannot be computed again: ${why}.`);
}

function answerOf(
  { decision, reason, obligations, errors }: Pick<EngineDecision, 'decision' | 'reason' | 'obligations' | 'errors'>,
  policyVersion: string,
  engine: string,
): Answer {
  return { decision, reason, obligations, errors, policyVersion, engineVersion: engine };
}

/** As JSON says it: a record was JSON once, where members that are undefined are not there. */
function comparable({ decision, reason, obligations, errors }: Answer): unknown {
  return JSON.parse(JSON.stringify({ decision, reason, obligations, errors }));
}
