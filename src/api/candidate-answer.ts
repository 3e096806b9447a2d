import { DecisionFault, DecisionReason, effects } from '../answers/decision-parts.js';
import { Decimal, Integer, OneOf, Part, Parts, Text, Time } from '../answers/members.js';
import type { Diagnostic, Effect, Reason } from '../core/decision.js';
import type { DecisionRequest } from '../core/request.js';
import { RecordedRequest } from '../decision-log/decision-record.js';
import {
  type CandidateDifference,
  type CandidateMode,
  type CandidateReason,
  type CandidateState,
  candidateReasons,
  candidateStates,
  type DifferenceKind,
  differenceKinds,
} from '../policy-store/candidates/candidate.js';
import type { CountedCandidate } from '../policy-store/candidates/policy-candidates.js';

class CandidateGatesAnswer {
  @Decimal()
  readonly maxGained!: number;

  @Decimal()
  readonly maxLost!: number;

  @Decimal()
  readonly maxErrors!: number;

  @Decimal({ description: 'In milliseconds.' })
  readonly maxLatencyMs!: number;

  @Integer()
  readonly minCompared!: number;
}

class CandidateCountsAnswer {
  @Integer({ description: 'Decisions that both versions made.' })
  readonly compared!: number;

  @Integer({ description: 'Denied by the active version, allowed by the candidate.' })
  readonly gained!: number;

  @Integer({ description: 'Allowed by the active version, denied by the candidate.' })
  readonly lost!: number;

  @Integer({ description: 'Decisions in which the candidate errs and the active version does not.' })
  readonly errors!: number;

  @Integer({ description: 'The same decision with other obligations.' })
  readonly obligations!: number;

  @Integer({ description: 'Evaluations of the candidate that took longer than `maxLatencyMs`.' })
  readonly slow!: number;

  @Integer({ description: 'Decisions of the sample that were not compared, since there was no time or room for it.' })
  readonly skipped!: number;

  @Integer({ description: 'Answers that the canary gave.' })
  readonly answered!: number;
}

class ComparedDecisionAnswer {
  @Text()
  readonly policyVersion!: string;

  @OneOf(effects)
  readonly decision!: Effect;

  @Part(() => DecisionReason)
  readonly reason!: Reason;

  @Parts(() => DecisionFault)
  readonly errors!: readonly Diagnostic[];
}

class CandidateDifferenceAnswer {
  @OneOf(differenceKinds)
  readonly kind!: DifferenceKind;

  @Time({ description: 'The clock that both evaluations saw.' })
  readonly clock!: string;

  @Part(() => RecordedRequest, { description: 'Masked as records of the set are.' })
  readonly request!: DecisionRequest;

  @Part(() => ComparedDecisionAnswer)
  readonly active!: ComparedDecisionAnswer;

  @Part(() => ComparedDecisionAnswer)
  readonly candidate!: ComparedDecisionAnswer;
}

/** The candidate of a policy set. */
export class CandidateAnswer {
  @Text()
  readonly policySet!: string;

  @Text({ description: 'The version of its files.' })
  readonly version!: string;

  @Text({ description: 'The version of the files that it is compared with, and for whose place it is a candidate.' })
  readonly activeVersion!: string;

  @OneOf(['shadow', 'canary'])
  readonly mode!: CandidateMode;

  @Decimal({ description: 'Share of the decisions that are compared.' })
  readonly sample!: number;

  @Decimal({ optional: true, description: 'Share of the subjects that a canary answers.' })
  readonly subjects?: number;

  @OneOf(candidateStates, {
    description:
      '`promoting`: it runs on while it is put in force. `held`: a shadow that decides nothing any more. `withdrawn`: a canary that answers nobody any more.',
  })
  readonly state!: CandidateState;

  @Time({ description: 'When it came into this state.' })
  readonly since!: string;

  @OneOf(candidateReasons, {
    optional: true,
    description: 'Why it was held or withdrawn: the gate that it passed, or what happened.',
  })
  readonly reason?: CandidateReason;

  @Text({ optional: true, description: 'The same for people, with numbers.' })
  readonly detail?: string;

  @Text({ description: 'Who set it.' })
  readonly setBy!: string;

  @Time()
  readonly setAt!: string;

  @Part(() => CandidateGatesAnswer)
  readonly gates!: CandidateGatesAnswer;

  @Part(() => CandidateCountsAnswer, {
    description: 'Of all replicas that share the database; what each counted in the last half second may be missing.',
  })
  readonly counts!: CandidateCountsAnswer;

  @Parts(() => CandidateDifferenceAnswer, {
    optional: true,
    description:
      'Decisions that differ, for who may read decisions of the set: of each kind the first hundred that differ in subject, ' +
      'action or resource, the newest first.',
  })
  readonly differences?: readonly CandidateDifferenceAnswer[];
}

export function candidateAnswer(
  { candidate, counts }: CountedCandidate,
  differences?: readonly CandidateDifference[],
): CandidateAnswer {
  const { policySet, version, base, mode, sample, subjects, state, reason, detail, setBy, gates } = candidate;
  const { compared, gained, lost, errors, obligations, slow, skipped, answered } = counts;
  return {
    policySet,
    version,
    activeVersion: base,
    mode,
    sample,
    ...(mode === 'canary' && { subjects }),
    state,
    since: new Date(candidate.since).toISOString(),
    ...(reason !== undefined && { reason }),
    ...(detail !== undefined && { detail }),
    setBy,
    setAt: new Date(candidate.setAt).toISOString(),
    gates,
    counts: { compared, gained, lost, errors, obligations, slow, skipped, answered },
    ...(differences !== undefined && {
      differences: differences.map(({ clock, ...difference }) => ({
        ...difference,
        clock: new Date(clock).toISOString(),
      })),
    }),
  };
}
