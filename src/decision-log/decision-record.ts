/** What the log keeps of one answer: enough to explain it, to compute it again, and to find it by whom it was about. */
import { DecisionFault, DecisionReason, effects } from '../answers/decision-parts.js';
import {
  Flag,
  Integer,
  ListOfAnything,
  OneOf,
  OpenObject,
  Part,
  Parts,
  Text,
  Texts,
  Time,
} from '../answers/members.js';
import type { Diagnostic, Effect, Reason } from '../core/decision.js';
import type { Action, DecisionRequest, Entity, Json, JsonObject, TokenClaims } from '../core/request.js';
import { RecordErasure } from './erasure/record-erasure.js';

/** A subject or a resource, in the normal form of requests. */
export class RecordedEntity implements Entity {
  @Text({ optional: true })
  readonly type?: string;

  @Text()
  readonly id!: string;

  @OpenObject({ optional: true })
  readonly attributes?: JsonObject;
}

export class RecordedAction implements Action {
  @Text()
  readonly name!: string;

  @OpenObject({ optional: true })
  readonly attributes?: JsonObject;
}

export class RecordedRequest implements DecisionRequest {
  @Part(() => RecordedEntity)
  readonly subject!: Entity;

  @Part(() => RecordedAction)
  readonly action!: Action;

  @Part(() => RecordedEntity)
  readonly resource!: Entity;

  @OpenObject({ optional: true })
  readonly attributes?: JsonObject;

  @OpenObject({
    optional: true,
    description: 'The claims of verified tokens, by the names that the policy set gives them.',
  })
  readonly tokens?: TokenClaims;
}

/** Why the stored attributes of an entity are not known. */
export const unresolvedCauses = [
  'policy_version_not_found',
  'policy_version_invalid',
  'ambiguous_entity',
  'masked',
] as const;
export type UnresolvedCause = (typeof unresolvedCauses)[number];

export class ResolvedRequest {
  @Part(() => RecordedEntity)
  readonly subject!: Entity;

  @Part(() => RecordedAction)
  readonly action!: Action;

  @Part(() => RecordedEntity)
  readonly resource!: Entity;

  @OneOf(unresolvedCauses, {
    optional: true,
    description:
      'Given when stored attributes are missing here: the version is no longer in the archive, or cannot be loaded; the ' +
      'request named an entity without its type, and there were several; or the name of an entity is masked.',
  })
  readonly unresolved?: UnresolvedCause;
}

/** What a record keeps of a search: one record for all the candidates that were decided. */
export class SearchRecord {
  @OneOf(['subject', 'resource', 'action'], {
    description: 'What was searched for; the request holds the type, and an empty id or name in its place.',
  })
  readonly kind!: 'subject' | 'resource' | 'action';

  @Integer()
  readonly examined!: number;

  @Flag({ description: 'Whether nothing was left to look at.' })
  readonly complete!: boolean;

  @Texts({ description: 'Ids, of actions their names, that the answer named.' })
  readonly results!: readonly string[];
}

/** Where a decision came from that a client made in its own process. */
export class LocalDecision {
  @Text({ description: 'The name that the client made up: 128 random bits in hexadecimal.' })
  readonly instance!: string;

  @Integer({ description: '1, 2, 3… within the instance.' })
  readonly number!: number;

  @Time({ description: 'When it was decided, by the clock of the client.' })
  readonly decidedAt!: string;
}

/** A rule, and why. What files and messages a client names is not kept: it can write anything there. */
export class DisputedReason {
  @Text()
  readonly code!: string;

  @Texts({ optional: true })
  readonly rule?: readonly string[] | undefined;
}

/** The answer that a client gave, where the service decides otherwise. */
export class DisputedAnswer {
  @OneOf(effects)
  readonly decision!: Effect;

  @Part(() => DisputedReason)
  readonly reason!: DisputedReason;

  @Texts({ description: 'The codes of its errors.' })
  readonly errors!: readonly string[];

  @ListOfAnything()
  readonly obligations!: readonly Json[];

  @Text({ description: 'The engine that it says it was decided by.' })
  readonly engineVersion!: string;
}

export class DecisionRecord {
  /** From `DecisionLog.nextId`. */
  @Text({ description: 'UUIDv7.' })
  readonly id!: string;

  /** UTC, milliseconds. */
  @Time({
    description: "When it was decided, by the service's clock; of a decision in a client's process, when it came here.",
  })
  readonly time!: string;

  @Text()
  readonly policySet!: string;

  @Text()
  readonly policyVersion!: string;

  @Integer({ optional: true, description: 'The revision of that version at its source, where it gives revisions.' })
  readonly revision?: number | undefined;

  @Text()
  readonly engineVersion!: string;

  /** `core/semantics.ts`; of older records 1. */
  @Integer({ description: 'The number of the defaults that the version was read with.' })
  readonly semantics!: number;

  @Part(() => RecordedRequest, { description: 'As it was evaluated, after masking.' })
  readonly request!: DecisionRequest;

  @Flag({
    optional: true,
    description: 'Given, as true, when masking changed the request: then it cannot be evaluated again as it was.',
  })
  readonly masked?: true;

  @OneOf(['canary'], {
    optional: true,
    description: 'Given when the candidate of the policy set decided: `policyVersion` is its version.',
  })
  readonly candidate?: 'canary' | undefined;

  @Time({
    description:
      'The time that the evaluation saw; it differs from `time` only where a request may set it, or a client decided.',
  })
  readonly clock!: string;

  @OneOf(effects, { description: 'Of a search: `allow` when something was found.' })
  readonly decision!: Effect;

  @Part(() => DecisionReason)
  readonly reason!: Reason;

  @Parts(() => DecisionFault)
  readonly errors!: readonly Diagnostic[];

  @ListOfAnything()
  readonly obligations!: readonly Json[];

  @Part(() => SearchRecord, { optional: true })
  readonly search?: SearchRecord;

  @Part(() => RecordErasure, {
    optional: true,
    description: 'Given when something was erased from the record, since it was about a person or named one.',
  })
  readonly erased?: RecordErasure | undefined;

  @Part(() => LocalDecision, {
    optional: true,
    description:
      'Given when a client decided in its own process. What else the record says of the answer the service found itself.',
  })
  readonly local?: LocalDecision | undefined;

  @Part(() => DisputedAnswer, {
    optional: true,
    description:
      'Given when a client says that it gave another answer than the service finds, which stands in the record.',
  })
  readonly disputed?: DisputedAnswer | undefined;

  @Text()
  readonly caller!: string;

  @Text({
    description:
      'How the caller proved who it is: `api_key`, `jwt`, `certificate`…; `none` while authentication is off.',
  })
  readonly authentication!: string;

  @Text({ description: 'The door it came through: `decide`, `batch`, `authzen`, `local`…' })
  readonly via!: string;

  @Text()
  readonly requestId!: string;

  @Text({ optional: true })
  readonly traceId?: string;

  @Integer({ description: 'Microseconds from the request being valid to the answer being known.' })
  readonly durationUs!: number;

  @Text({ optional: true, description: 'The name of the instance that answered. Records of 0.1 have none.' })
  readonly instance?: string;

  @Integer({ description: 'Which log file, by the number it was given when it was made.' })
  readonly writer!: number;

  @Part(() => ResolvedRequest, {
    optional: true,
    description:
      'Given where `expand=resolved` asks for it: subject, action and resource as the evaluation saw them, with the ' +
      'attributes that were stored in the version of that time, masked as the record is.',
  })
  readonly resolved?: ResolvedRequest;

  /** Every record has one; `partial-view.ts` says who sees it. */
  @Integer({
    optional: true,
    description:
      '1, 2, 3… within a writer, without a gap: the order in which records were committed. Left out for a caller who ' +
      'may read some policy sets only.',
  })
  readonly sequence!: number;
}

/**
 * A record as the PDP hands it over; the log adds its own fields when it commits. Times are numbers until they are
 * written, in milliseconds since 1970.
 */
export type NewDecisionRecord = Omit<
  DecisionRecord,
  'instance' | 'writer' | 'sequence' | 'time' | 'clock' | 'resolved'
> & {
  readonly time: number;
  readonly clock: number;
};
