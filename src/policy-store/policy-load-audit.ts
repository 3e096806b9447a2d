import type { AuditLog } from '../audit/audit-log.js';
import type { LoadEvent } from './policy-store.js';

const eventTypes = {
  served: 'policy_set_changed',
  failed: 'policy_set_load_failed',
  removed: 'policy_set_removed',
} as const;

/** A policy set that changed by its folder: who wrote there, the file system knows. A start is a change too. */
export function notePolicyLoad(audit: AuditLog, { policySet, result, from, to }: LoadEvent): void {
  if (result === 'unchanged') return;
  audit.note({
    type: eventTypes[result],
    actor: 'policy directory',
    policySet,
    ...(from !== undefined && { fromVersion: from }),
    ...(to !== undefined && { toVersion: to }),
  });
}
