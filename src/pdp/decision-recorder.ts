import { engineVersion } from '../core/engine/engine-version.js';
import type { DecisionRequest } from '../core/request.js';
import type { DecisionLog } from '../decision-log/decision-log.js';
import type { NewDecisionRecord } from '../decision-log/decision-record.js';
import type { Mask } from '../decision-log/mask.js';
import { VerdictError } from '../errors.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import type { RequestSpan } from '../telemetry/request-span.js';
import type { Asker } from './question.js';

/** Is told of each answer, for metrics. */
export interface DecisionObserver {
  answered(record: NewDecisionRecord): void;
  answeredBatch(size: number): void;
}

/** The parts of a record that come from the answer. The recorder adds those of the policy set and of the caller. */
export interface RecordedAnswer
  extends Pick<NewDecisionRecord, 'decision' | 'reason' | 'errors' | 'obligations' | 'search' | 'local'> {
  /** The request in its normal form, before masking. */
  readonly request: DecisionRequest;
  /** Time of arrival by the service's clock, in milliseconds since 1970. */
  readonly received: number;
  /** The clock that the evaluation saw, in milliseconds since 1970. */
  readonly now: number;
  /** Time of arrival by the monotonic clock, in milliseconds. */
  readonly started: number;
  /** How long it took elsewhere, in microseconds; without it, it was from `started` to now. */
  readonly durationUs?: number;
}

/** Makes the records of answers, appends them and tells the observer. Everything that the PDP answers goes through it. */
export class DecisionRecorder {
  constructor(
    private readonly log: DecisionLog,
    private readonly observer?: DecisionObserver,
  ) {}

  /**
   * The record of an answer, with its id and its request masked. It is not in the log yet.
   *
   * @param mask by default that of the set
   */
  recordOf(
    set: ServedPolicySet,
    answer: RecordedAnswer,
    asker: Omit<Asker, 'grants'>,
    mask: Mask = set.mask,
  ): NewDecisionRecord {
    const request = mask(answer.request);
    // Written out, since spreading one object over another takes as long as an evaluation.
    return {
      id: this.log.nextId(answer.received),
      time: answer.received,
      policySet: set.name,
      policyVersion: set.version,
      revision: set.revision,
      engineVersion,
      semantics: set.compiled.semantics,
      request,
      masked: request === answer.request ? undefined : true,
      clock: answer.now,
      decision: answer.decision,
      reason: answer.reason,
      errors: answer.errors,
      obligations: answer.obligations,
      candidate: set.candidate,
      search: answer.search,
      local: answer.local,
      caller: asker.caller,
      authentication: asker.authentication,
      via: asker.via,
      requestId: asker.requestId,
      traceId: asker.traceId,
      durationUs: Math.round(answer.durationUs ?? (performance.now() - answer.started) * 1000),
    };
  }

  /**
   * Resolves when the record is as safe as the log's mode promises. `span` gets the evaluation, which has just ended, and the commit.
   *
   * @throws VerdictError `decision_log_unavailable`: the answer must not leave
   */
  async append(record: NewDecisionRecord, span?: RequestSpan): Promise<void> {
    try {
      span?.evaluated(record);
      const appended = this.log.append(record);
      await (span === undefined ? appended : span.committing(appended));
    } catch (cause) {
      throw unrecorded(record.search === undefined ? 'decision' : 'search', cause);
    }
    this.observe(record);
  }

  /** Room in the log for records of a batch, as `DecisionLog.roomForBulk`; `appendBulk` gives it back. */
  roomForBulk(records: number, ms: number): Promise<number> {
    return this.log.roomForBulk(records, ms);
  }

  /** As `append`, for records of a batch. */
  async appendBulk(records: readonly NewDecisionRecord[], room: number, span?: RequestSpan): Promise<void> {
    try {
      const appended = this.log.appendBulk(records, room);
      await (span === undefined ? appended : span.committing(appended, records.length));
    } catch (cause) {
      throw unrecorded('decision', cause);
    }
    for (const record of records) this.observe(record);
  }

  batchAnswered(size: number): void {
    this.observer?.answeredBatch(size);
  }

  /** A search is counted by its route, not among the decisions. */
  private observe(record: NewDecisionRecord): void {
    if (record.search === undefined) this.observer?.answered(record);
  }
}

function unrecorded(what: string, cause: unknown): VerdictError {
  const detail = `The ${what} could not be recorded, so it is not answered.`;
  return new VerdictError('decision_log_unavailable', detail, { cause, retryAfter: 1 });
}
