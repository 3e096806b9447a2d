import type { AuditLog } from '../audit/audit-log.js';
import type { PolicySource } from './policy-source.js';
import type { LoadEvent } from './policy-store-options.js';

const eventTypes = {
  served: 'policy_set_changed',
  failed: 'policy_set_load_failed',
  removed: 'policy_set_removed',
} as const;

/**
 * Notes the audit event of a set that changed at its source, or at a start. The actor is the source: only a file system
 * knows who wrote its files, and what was written through this service has an event of its own.
 */
export function notePolicyLoad(
  audit: AuditLog,
  source: PolicySource,
  { policySet, result, from, to }: LoadEvent,
): void {
  if (result === 'unchanged') return;
  audit.note({
    type: eventTypes[result],
    actor: source.title,
    policySet,
    ...(from !== undefined && { fromVersion: from }),
    ...(to !== undefined && { toVersion: to }),
  });
}
