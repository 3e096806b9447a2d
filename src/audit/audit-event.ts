/** What happened at the doors and to the service itself: who changed, read or exported what, and who was turned away. */
import { Transform } from 'class-transformer';
import { IsIn, IsInt, IsOptional, Max, Min } from 'class-validator';
import { OptionalText } from '../query/query-text.js';
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
  'policy_set_reloaded',
  'policy_set_rolled_back',
  'decisions_read',
  'decisions_exported',
  'decision_replayed',
  'audit_events_read',
] as const;
export type AuditEventType = (typeof auditEventTypes)[number];

export interface NewAuditEvent {
  readonly type: AuditEventType;
  /** The caller's name; for a failed authentication the name that was claimed, if one was. */
  readonly actor?: string;
  /** How the actor authenticated, or tried to. */
  readonly method?: string;
  readonly address?: string;
  /** The set that it was about; events about one set can be read by whoever may read its decisions. */
  readonly policySet?: string;
  /** Of a change of policies: the version that was served before, if one was, and the one that is served after it. */
  readonly fromVersion?: string;
  readonly toVersion?: string;
  /** The exact reason or object, for the operator: never a secret. */
  readonly detail?: string;
  readonly requestId?: string;
}

export interface AuditEvent extends NewAuditEvent {
  readonly id: number;
  /** RFC 3339. */
  readonly time: string;
  /** How many equal ones within a second stand in this one. */
  readonly count: number;
}

/** The query string of `GET /v1/audit-events`. */
export class AuditQuery extends TimeRangeQuery {
  @IsOptional()
  @IsIn(auditEventTypes)
  readonly type?: AuditEventType;

  @OptionalText(1_024)
  readonly actor?: string;

  @OptionalText(64)
  readonly address?: string;

  @OptionalText(256)
  readonly policySet?: string;

  @OptionalText(1_024)
  readonly requestId?: string;

  /** Where the page before ended: its `nextCursor`. */
  @OptionalText(256)
  readonly cursor?: string;

  @IsOptional()
  @Transform(({ value }) => (typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value))
  @IsInt()
  @Min(1)
  @Max(1_000)
  readonly limit?: number;
}
