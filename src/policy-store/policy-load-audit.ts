import type { AuditLog } from '../audit/audit-log.js';
import type { LoadEvent } from './policy-store-options.js';

const eventTypes = {
  served: 'policy_set_changed',
  failed: 'policy_set_load_failed',
  removed: 'policy_set_removed',
} as const;

/**
 * Notes the audit event of a set that changed by its folder, or at a start. The event has no actor: only the file
 * system knows who wrote the files.
 */
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
