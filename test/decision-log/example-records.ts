/** Records as the PDP would hand them over, for tests of the log and its benchmark. */
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { NewDecisionRecord } from '../../src/decision-log/decision-record.js';

export interface Example {
  readonly now?: number;
  readonly subject?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly decision?: 'allow' | 'deny';
  readonly policySet?: string;
  readonly caller?: string;
  readonly requestId?: string;
  readonly attributes?: NewDecisionRecord['request']['attributes'];
}

/** 2026-11-21T12:00:00.000Z */
export const noon = Date.UTC(2026, 10, 21, 12);

/** A record of typical size, about 550 bytes. */
export function exampleRecord(log: Pick<DecisionLog, 'nextId'>, example: Example = {}): NewDecisionRecord {
  const { now = noon, subject = 'alice', action = 'approve', resource = '42', decision = 'allow' } = example;
  const allowed = decision === 'allow';
  return {
    id: log.nextId(now),
    time: now,
    policySet: example.policySet ?? 'invoices',
    policyVersion: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    engineVersion: '0.1.0',
    semantics: 2,
    request: {
      subject: { type: 'user', id: subject },
      action: { name: action },
      resource: { type: 'invoice', id: resource, attributes: { amount: 900 } },
      attributes: example.attributes ?? { tenant: 'acme' },
    },
    clock: now,
    decision,
    reason: allowed
      ? { code: 'rule_allowed', rule: ['p', 'manager', 'invoice', 'approve', 'allow'], file: 'rules.csv', line: 7 }
      : { code: 'no_matching_rule' },
    errors: [],
    obligations: [],
    caller: example.caller ?? 'billing',
    authentication: 'api_key',
    via: 'decide',
    requestId: example.requestId ?? `r-${subject}-${resource}`,
    durationUs: 12,
  };
}

/** The record as reading gives it back, but for what the log adds: times are numbers until they are written. */
export function asRead(record: NewDecisionRecord) {
  return { ...record, time: new Date(record.time).toISOString(), clock: new Date(record.clock).toISOString() };
}

export async function appendExamples(log: DecisionLog, examples: readonly Example[]): Promise<void> {
  await Promise.all(examples.map((example) => log.append(exampleRecord(log, example))));
}

/** Appends 300 records, one a second; every third is a deny, sets and callers take turns. `from` counts seconds after noon. */
export async function appendFiveMinutes(log: DecisionLog, from = 0): Promise<void> {
  const examples = Array.from({ length: 300 }, (_, i) => ({
    now: noon + (from + i) * 1_000,
    decision: i % 3 === 0 ? ('deny' as const) : ('allow' as const),
    policySet: `set${i % 2}`,
    caller: i < 100 ? 'a' : 'b\u0000"',
  }));
  await appendExamples(log, examples);
}
