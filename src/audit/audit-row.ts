import type { AuditEventType } from './audit-event.js';

/** An event as it lies in a table, in the order of the columns: those that are texts may be null. */
export interface AuditRow {
  readonly id: number;
  readonly time: number;
  readonly type: AuditEventType;
  readonly actor: string | null;
  readonly method: string | null;
  readonly address: string | null;
  readonly policy_set: string | null;
  readonly detail: string | null;
  readonly request_id: string | null;
  readonly from_version: string | null;
  readonly to_version: string | null;
  readonly count: number;
}

/** An event that has no id yet. */
export type NewAuditRow = Omit<AuditRow, 'id'>;
