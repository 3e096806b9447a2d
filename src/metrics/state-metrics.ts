/**
 * States of the service, read at each scrape. Where several workers serve, their values are added up, but for those that say
 * otherwise (`aggregator`).
 */
import { statfs } from 'node:fs/promises';
import { Counter, Gauge, type Registry } from 'prom-client';
import { auditEventTypes } from '../audit/audit-event.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { LimitLeases } from '../auth/limit-leases.js';
import type { ServiceDatabase } from '../database/service-database.js';
import type { DecisionLog } from '../decision-log/decision-log.js';
import type { FleetCheckpoints } from '../fleet/checkpoints/fleet-checkpoints.js';
import type { Fleet } from '../fleet/fleet.js';
import type { LogSinks } from '../log-sinks/log-sinks.js';
import { type FreshSets, refusalCodes } from '../pdp/fresh-sets.js';
import type { LocalRecords } from '../pdp/local-records/local-records.js';
import type { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { CrossCheck } from '../stock-casbin/cross-check.js';
import { addCandidateMetrics } from './candidate-metrics.js';
import { addCheckpointMetrics } from './checkpoint-metrics.js';
import { addFleetMetrics } from './fleet-metrics.js';
import { addLimitMetrics } from './limit-metrics.js';
import { addLocalRecordMetrics } from './local-record-metrics.js';
import { addLogSinkMetrics } from './log-sink-metrics.js';

export interface ServiceParts {
  readonly policySets: PolicyStore;
  readonly freshSets: FreshSets;
  readonly candidates: PolicyCandidates;
  readonly log: DecisionLog;
  readonly records: LocalRecords;
  readonly crossCheck: CrossCheck;
  readonly audit: AuditLog;
  readonly database: ServiceDatabase;
  readonly fleet: Fleet;
  readonly checkpoints: FleetCheckpoints;
  /** Undefined where limits are those of this process. */
  readonly leases: LimitLeases | undefined;
  readonly sinks: LogSinks;
  /** The folder that the service writes to. */
  readonly dataDirectory: string;
}

export function addStateMetrics(registry: Registry, parts: ServiceParts): void {
  addPolicySets(registry, parts);
  addFreshness(registry, parts);
  addDecisionLog(registry, parts);
  addShipping(registry, parts);
  addCrossCheck(registry, parts);
  addCandidateMetrics(registry, parts.candidates);
  addLocalRecordMetrics(registry, parts.records);
  addAuditEvents(registry, parts);
  addFiles(registry, parts);
  addFleetMetrics(registry, parts.fleet, parts.policySets);
  addCheckpointMetrics(registry, parts.checkpoints);
  addLimitMetrics(registry, parts.leases);
  addLogSinkMetrics(registry, parts.sinks);
}

const setStates = ['active', 'stale', 'failed'] as const;

function addPolicySets(registry: Registry, { policySets }: ServiceParts): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_policy_set_info',
    aggregator: 'max',
    help: 'Always 1; the version that is served is a label.',
    labelNames: ['policy_set', 'version', 'engine'],
    registers,
    collect() {
      this.reset();
      for (const { name: policy_set, version, engine } of policySets.statuses()) {
        if (version !== undefined && engine !== undefined) this.set({ policy_set, version, engine }, 1);
      }
    },
  });
  new Gauge({
    name: 'verdict_policy_set_served_since_timestamp_seconds',
    aggregator: 'max',
    help: 'When this process began to serve the version that it serves; its age is time() minus this.',
    labelNames: ['policy_set'],
    registers,
    collect() {
      this.reset();
      for (const { name: policy_set, servedSince } of policySets.statuses()) {
        if (servedSince !== undefined) this.set({ policy_set }, Date.parse(servedSince) / 1000);
      }
    },
  });
  new Gauge({
    name: 'verdict_policy_set_state',
    aggregator: 'max',
    help: '1 for the state that a policy set is in, 0 for the others.',
    labelNames: ['policy_set', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { name: policy_set, state } of policySets.statuses()) {
        for (const possible of setStates) this.set({ policy_set, state: possible }, state === possible ? 1 : 0);
      }
    },
  });
  new Gauge({
    name: 'verdict_policy_set_state_since_timestamp_seconds',
    aggregator: 'max',
    help: 'When a policy set came into its state, or to its version if that was later.',
    labelNames: ['policy_set'],
    registers,
    collect() {
      this.reset();
      for (const { name: policy_set, since } of policySets.statuses()) {
        this.set({ policy_set }, Date.parse(since) / 1000);
      }
    },
  });
  new Gauge({
    name: 'verdict_policy_set_pinned',
    aggregator: 'max',
    help: '1 while a rollback holds a version against what the folder holds.',
    labelNames: ['policy_set'],
    registers,
    collect() {
      this.reset();
      for (const { name: policy_set, pinned } of policySets.statuses()) this.set({ policy_set }, pinned ? 1 : 0);
    },
  });
  new Gauge({
    name: 'verdict_policy_directory_readable',
    aggregator: 'min',
    help: '1 while the policy directory can be read and holds policy sets.',
    registers,
    collect() {
      this.set(policySets.problem === undefined ? 1 : 0);
    },
  });
}

function addFreshness(registry: Registry, { policySets, freshSets }: ServiceParts): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_policy_set_age_seconds',
    aggregator: 'max',
    help: 'How long ago what is served of a policy set was last known to be what its source has; left out if it never was.',
    labelNames: ['policy_set'],
    registers,
    collect() {
      this.reset();
      for (const { name: policy_set } of policySets.statuses()) {
        const ageMs = policySets.ageOf(policy_set);
        if (Number.isFinite(ageMs)) this.set({ policy_set }, ageMs / 1_000);
      }
    },
  });
  new Counter({
    name: 'verdict_freshness_refusals_total',
    help: 'Questions that were refused for the freshness that they, or VERDICT_MAX_STALENESS, demand, by the code of the refusal.',
    labelNames: ['code'],
    registers,
    collect() {
      this.reset();
      for (const code of refusalCodes) this.inc({ code }, freshSets.refusals.get(code) ?? 0);
    },
  });
}

function addDecisionLog(registry: Registry, { log }: ServiceParts): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_decision_log_writable',
    aggregator: 'min',
    help: '0 while decision records cannot be written.',
    registers,
    collect() {
      this.set(log.status.state === 'ok' ? 1 : 0);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_queue_records',
    help: 'Decision records that wait for their commit.',
    registers,
    collect() {
      this.set(log.status.depth);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_queue_limit_records',
    help: 'Decision records that may wait; beyond that decisions are refused, or in mode async records are lost.',
    registers,
    collect() {
      this.set(log.status.limit);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_oldest_waiting_age_seconds',
    aggregator: 'max',
    help: 'Age of the oldest decision record that waits for its commit; 0 when none waits.',
    registers,
    collect() {
      const { oldestPending } = log.status;
      this.set(oldestPending === undefined ? 0 : Math.max(0, Date.now() - oldestPending) / 1000);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_last_record_timestamp_seconds',
    aggregator: 'max',
    help: 'Time of the newest decision record that is committed; 0 when there is none.',
    registers,
    collect() {
      this.set((log.status.newest ?? 0) / 1000);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_unindexed_records',
    help: 'Committed decision records that the key index does not cover yet; searches read through them.',
    registers,
    collect() {
      this.set(log.status.unindexed);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_held_parts',
    aggregator: 'max',
    help: 'Parts of the decision log that retention would have removed and a hold keeps: files; with PostgreSQL days.',
    registers,
    collect() {
      this.set(log.status.held);
    },
  });
  new Counter({
    name: 'verdict_decision_log_lost_records_total',
    help: 'Decision records that were lost; only mode async loses any, and notes a gap.',
    registers,
    collect() {
      this.reset();
      this.inc(log.status.lost);
    },
  });
}

/** How far the journal of this replica is in the log that replicas share; all 0 where there is none. */
function addShipping(registry: Registry, { log }: ServiceParts): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_decision_log_unshipped_records',
    help: 'Decision records that are committed here and not in PostgreSQL yet.',
    registers,
    collect() {
      this.set(log.status.shipping?.unshipped ?? 0);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_shipping_lag_seconds',
    aggregator: 'max',
    help: 'Age of the oldest decision record that is not in PostgreSQL yet, about; 0 when all are.',
    registers,
    collect() {
      this.set(log.status.shipping?.lagSeconds ?? 0);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_journal_bytes',
    help: "Size of this replica's own journal, where decision records wait for PostgreSQL.",
    registers,
    collect() {
      this.set(log.status.shipping?.journalBytes ?? 0);
    },
  });
  new Gauge({
    name: 'verdict_decision_log_journal_limit_bytes',
    help: 'Size of the journal beyond which, while PostgreSQL is away, decisions are refused, or in mode async records are lost.',
    registers,
    collect() {
      this.set(log.status.shipping?.journalLimit ?? 0);
    },
  });
  new Counter({
    name: 'verdict_decision_log_shipping_retries_total',
    help: 'Attempts to ship decision records to PostgreSQL that failed.',
    registers,
    collect() {
      this.reset();
      this.inc(log.status.shipping?.retries ?? 0);
    },
  });
}

function addCrossCheck(registry: Registry, { crossCheck }: ServiceParts): void {
  const registers = [registry];
  new Counter({
    name: 'verdict_cross_check_decisions_total',
    help: 'Decisions chosen for the cross-check on stock Casbin, by result; unexpected is a defect of one of the two.',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      const { agreed, known, unexpected, dropped, failed, uncheckable } = crossCheck.counts;
      const allKnown = Object.values(known).reduce((sum, count) => sum + count, 0);
      const counts = { agreed, known: allKnown, unexpected, dropped, failed, uncheckable };
      for (const [result, count] of Object.entries(counts)) this.inc({ result }, count);
    },
  });
  new Counter({
    name: 'verdict_cross_check_known_differences_total',
    help: 'Cross-checked decisions that differ in a way that is listed as known, by its code.',
    labelNames: ['code'],
    registers,
    collect() {
      this.reset();
      for (const [code, count] of Object.entries(crossCheck.counts.known)) this.inc({ code }, count);
    },
  });
}

function addAuditEvents(registry: Registry, { audit }: ServiceParts): void {
  new Counter({
    name: 'verdict_audit_events_total',
    help: 'Audit events by type: failed authentications, refused scopes, limits that were hit, changes, reads.',
    labelNames: ['type'],
    registers: [registry],
    collect() {
      this.reset();
      for (const type of auditEventTypes) this.inc({ type }, audit.counts.get(type) ?? 0);
    },
  });
}

function addFiles(registry: Registry, { log, database, dataDirectory }: ServiceParts): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_database_size_bytes',
    aggregator: 'max',
    help: 'Size of a database file with its write-ahead log: main (policies, keys, audit events), decisions, or index.',
    labelNames: ['database'],
    registers,
    async collect() {
      this.set({ database: 'main' }, await database.size());
      const { records, index } = await log.storage();
      this.set({ database: 'decisions' }, records);
      this.set({ database: 'index' }, index);
    },
  });
  new Gauge({
    name: 'verdict_data_directory_free_bytes',
    aggregator: 'min',
    help: 'Free space on the file system of the database.',
    registers,
    async collect() {
      const { bavail, bsize } = await statfs(dataDirectory);
      this.set(bavail * bsize);
    },
  });
}
