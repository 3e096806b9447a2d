import { isDeepStrictEqual } from 'node:util';
import { DecisionFault, DecisionReason, effects } from '../answers/decision-parts.js';
import { DecisionExplanation } from '../answers/explanation-parts.js';
import { Flag, Integer, ListOfAnything, OneOf, Part, Parts, Text, Time } from '../answers/members.js';
import type { Diagnostic, Effect, EngineDecision, Reason } from '../core/decision.js';
import { engineVersion } from '../core/engine/engine-version.js';
import type { Explanation } from '../core/explanation.js';
import type { Json } from '../core/request.js';
import { semanticsBeforeNumbers } from '../core/semantics.js';
import type { DecisionRecord } from '../decision-log/decision-record.js';
import { VerdictError } from '../errors.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import { asAnswered } from './as-answered.js';

/** An answer, and the version that gave it. */
export class ComputedDecision {
  @OneOf(effects)
  readonly decision!: Effect;

  @Part(() => DecisionReason)
  readonly reason!: Reason;

  @ListOfAnything()
  readonly obligations!: readonly Json[];

  @Parts(() => DecisionFault)
  readonly errors!: readonly Diagnostic[];

  @Text()
  readonly policyVersion!: string;

  @Text()
  readonly engineVersion!: string;

  @Integer({ description: 'The number of the defaults that the version was read with.' })
  readonly semantics!: number;

  @Part(() => DecisionExplanation, { optional: true, description: 'Of what is computed now.' })
  readonly explanation?: Explanation;
}

export class Replay {
  @Text()
  readonly decisionId!: string;

  @Text()
  readonly policySet!: string;

  @Time({ description: 'The time that both evaluations saw.' })
  readonly clock!: string;

  @Part(() => ComputedDecision)
  readonly recorded!: ComputedDecision;

  @Part(() => ComputedDecision)
  readonly replayed!: ComputedDecision;

  @Flag({
    description: 'Whether decision, reason, obligations and errors are what they were. On the same version they are.',
  })
  readonly same!: boolean;
}

/**
 * Asks a recorded question again, at the time it was asked: of the version that answered it, read with the defaults of
 * that time, or of another one.
 *
 * @throws VerdictError `not_replayable` when the record does not hold the question as it was asked, or this engine cannot
 *   read the version as it was read then; `policy_version_not_found` when no such version ever served
 */
export async function replay(
  policySets: Pick<PolicyStore, 'version'>,
  record: DecisionRecord,
  version?: string,
): Promise<Replay> {
  if (record.masked === true) {
    throw notReplayable(record, 'parts of its request were masked before it was stored');
  }
  if (record.erased !== undefined) {
    const [{ id, time }] = record.erased.erasures as [{ id: string; time: string }];
    throw notReplayable(record, `parts of it were erased by ${id} on ${time.slice(0, 10)}`);
  }
  if (record.search !== undefined) throw notReplayable(record, 'it is a search: ask it again instead');
  const set = await versionFor(policySets, record, version);
  const now = Date.parse(record.clock);
  const decision = asAnswered(record, record.request, await set.evaluate(record.request, { now, explain: 'full' }));
  if (record.semantics === semanticsBeforeNumbers && differsByBudget(record, decision)) {
    throw notReplayable(record, 'it takes more steps than an evaluation may, and they were counted otherwise then');
  }
  const recorded = answerOf(record, record.policyVersion, record.engineVersion, record.semantics);
  const replayed = answerOf(decision, set.version, engineVersion, set.compiled.semantics);
  return {
    decisionId: record.id,
    policySet: record.policySet,
    clock: record.clock,
    recorded,
    replayed: { ...replayed, ...(decision.explanation !== undefined && { explanation: decision.explanation }) },
    same: isDeepStrictEqual(comparable(recorded), comparable(replayed)),
  };
}

/** The version that answered is read with its own defaults, any other one with today's. */
async function versionFor(
  policySets: Pick<PolicyStore, 'version'>,
  record: DecisionRecord,
  version: string = record.policyVersion,
): Promise<ServedPolicySet> {
  if (version !== record.policyVersion) return policySets.version(record.policySet, version);
  try {
    return await policySets.version(record.policySet, version, record.semantics);
  } catch (error) {
    if (!(error instanceof VerdictError) || error.code !== 'policy_version_invalid') throw error;
    throw notReplayable(record, `its version can no longer be loaded as it was read then: ${error.detail}`);
  }
}

/** Whether the step budget ended one of the two. Version 0.1 did not count the steps of functions and roles. */
function differsByBudget(recorded: Pick<EngineDecision, 'errors'>, replayed: Pick<EngineDecision, 'errors'>): boolean {
  const isEnded = ({ errors }: Pick<EngineDecision, 'errors'>) =>
    errors.some(({ code }) => code === 'step_budget_exceeded');
  return isEnded(recorded) || isEnded(replayed);
}

function notReplayable({ id }: DecisionRecord, why: string): VerdictError {
  return new VerdictError('not_replayable', `The decision ${id} cannot be computed again: ${why}.`);
}

function answerOf(
  { decision, reason, obligations, errors }: Pick<EngineDecision, 'decision' | 'reason' | 'obligations' | 'errors'>,
  policyVersion: string,
  engine: string,
  semantics: number,
): ComputedDecision {
  return { decision, reason, obligations, errors, policyVersion, engineVersion: engine, semantics };
}

/**
 * As JSON says it: a record was JSON once, where members that are undefined are not there. What a rule that failed says to
 * those whom it denies was a part of the answer once.
 */
function comparable({ decision, reason, obligations, errors }: ComputedDecision): unknown {
  if (reason.code !== 'evaluation_error') return JSON.parse(JSON.stringify({ decision, reason, obligations, errors }));
  const { code, file, line } = reason;
  const places = errors.map((error) => ({
    code: error.code,
    message: error.message,
    file: error.file,
    line: error.line,
  }));
  return JSON.parse(JSON.stringify({ decision, reason: { code, file, line }, errors: places }));
}
