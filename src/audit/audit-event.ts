/** Audit events: who changed, read or exported what, and who was refused. */
import { IsIn, IsOptional } from 'class-validator';
import { Integer, OneOf, Parts, Text, Time } from '../answers/members.js';
import { OptionalCount } from '../query/query-number.js';
import { OptionalName, OptionalText } from '../query/query-text.js';
import { TimeRangeQuery } from '../query/time-range.js';

export const auditEventTypes = [
  'authentication_failed',
  'scope_refused',
  'limit_hit',
  'session_started',
  'session_ended',
  'api_key_created',
  'api_key_rotated',
  'api_key_revoked',
  'policy_set_changed',
  'policy_set_load_failed',
  'policy_set_removed',
  'policy_set_written',
  'policy_set_deleted',
  'policy_set_reloaded',
  'policy_set_rolled_back',
  'policy_set_data_changed',
  'policy_set_fetched',
  'policy_candidate_set',
  'policy_candidate_changed',
  'policy_candidate_held',
  'policy_candidate_withdrawn',
  'policy_candidate_promoted',
  'policy_candidate_ended',
  'decisions_read',
  'decisions_exported',
  'decision_replayed',
  'simulation_started',
  'simulation_read',
  'simulation_ended',
  'decision_writers_read',
  'decision_writer_retired',
  'hold_added',
  'hold_released',
  'erasure_ordered',
  'audit_events_read',
] as const;
export type AuditEventType = (typeof auditEventTypes)[number];

export class AuditEvent {
  @Integer({ optional: true, description: 'Left out for a caller who may read some policy sets only.' })
  readonly id!: number;

  @Time()
  readonly time!: string;

  @OneOf(auditEventTypes)
  readonly type!: AuditEventType;

  @Text({
    optional: true,
    description: "The caller's name; for a failed authentication the name that was claimed, if one was.",
  })
  readonly actor?: string;

  @Text({ optional: true, description: 'How the actor authenticated, or tried to.' })
  readonly method?: string;

  @Text({ optional: true })
  readonly address?: string;

  /** Callers that may read a set's decisions may read the events about it. */
  @Text({ optional: true, description: 'The set that it was about.' })
  readonly policySet?: string;

  @Text({ optional: true, description: 'Of a change of policies: the version that was served before, if one was.' })
  readonly fromVersion?: string;

  @Text({ optional: true, description: 'Of a change of policies: the version that is served after it.' })
  readonly toVersion?: string;

  /** Never a secret. */
  @Text({ optional: true, description: 'The exact reason or object.' })
  readonly detail?: string;

  @Text({ optional: true })
  readonly requestId?: string;

  @Integer({ description: 'How many equal ones within a second are counted in this one.' })
  readonly count!: number;
}

export type NewAuditEvent = Omit<AuditEvent, 'id' | 'time' | 'count'>;

/** The answer to an `AuditQuery`. */
export class AuditPage {
  @Parts(() => AuditEvent, { description: 'Newest first.' })
  readonly items!: readonly AuditEvent[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;

  @Time({
    optional: true,
    description:
      'Given when a page ended before it was full: every event from this time on was looked at; `nextCursor` goes on.',
  })
  readonly searchedTo?: string;
}

/** The query string of `GET /v1/audit-events`. */
export class AuditQuery extends TimeRangeQuery {
  @IsOptional()
  @IsIn(auditEventTypes)
  readonly type?: AuditEventType;

  @OptionalText(1_024)
  readonly actor?: string;

  @OptionalName(64)
  readonly address?: string;

  @OptionalName(256)
  readonly policySet?: string;

  @OptionalText(1_024)
  readonly requestId?: string;

  /** Events that name somebody, or something, as who did it or within their texts. */
  @OptionalText(1_024)
  readonly about?: string;

  /** `nextCursor` of the page before. */
  @OptionalText(256)
  readonly cursor?: string;

  @OptionalCount(1_000)
  readonly limit?: number;
}
