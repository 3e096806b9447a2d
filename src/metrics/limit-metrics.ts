import { Counter, Gauge, type Registry } from 'prom-client';
import type { LimitLeases } from '../auth/limit-leases.js';
import { countedKinds } from '../auth/limiters.js';

/** How rates and quotas are shared with other replicas; nothing of them with SQLite. */
export function addLimitMetrics(registry: Registry, leases: LimitLeases | undefined): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_limit_replicas',
    aggregator: 'max',
    help: 'Replicas that this one believes to share its limits.',
    registers,
    collect() {
      this.set(leases?.replicas ?? 1);
    },
  });
  new Gauge({
    name: 'verdict_limit_untold_seconds',
    aggregator: 'max',
    help: 'How long ago the oldest use of a limit was that other replicas cannot know of; 0: there is none.',
    registers,
    collect() {
      this.set((leases?.untoldMs ?? 0) / 1_000);
    },
  });
  new Counter({
    name: 'verdict_limit_lease_renewals_total',
    help: 'Statements by which leases of limits were renewed, by whether PostgreSQL answered.',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      for (const result of ['answered', 'failed'] as const) this.inc({ result }, leases?.renewals[result] ?? 0);
    },
  });
  new Counter({
    name: 'verdict_limit_lease_refusals_total',
    help: 'Calls that were refused for want of a lease while the limit was not known to be used up, by limit.',
    labelNames: ['limit'],
    registers,
    collect() {
      this.reset();
      for (const limit of countedKinds) this.inc({ limit }, leases?.refusals.get(limit) ?? 0);
    },
  });
}
