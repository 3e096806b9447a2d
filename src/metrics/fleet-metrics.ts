import { Gauge, type Registry } from 'prom-client';
import type { Fleet } from '../fleet/fleet.js';
import type { PolicyStore } from '../policy-store/policy-store.js';

const replicaStates = ['running', 'silent', 'gone'] as const;

/** Who serves what, as this replica knows it: some seconds old at the most, older while PostgreSQL is away. */
export function addFleetMetrics(registry: Registry, fleet: Fleet, policySets: PolicyStore): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_fleet_replicas',
    help: 'Replicas that are listed, by state: running, silent (not heard of for 3 s), gone (for 30 s; listed for an hour).',
    labelNames: ['state'],
    registers,
    async collect() {
      this.reset();
      const report = await fleet.recent();
      for (const state of replicaStates) {
        this.set({ state }, report?.replicas.filter((replica) => replica.state === state).length ?? 0);
      }
    },
  });
  new Gauge({
    name: 'verdict_fleet_differing_replicas',
    help: 'Running replicas that serve another version of a policy set than most do.',
    labelNames: ['policy_set'],
    registers,
    async collect() {
      this.reset();
      for (const { name: policy_set } of policySets.statuses()) this.set({ policy_set }, 0);
      for (const { policySet: policy_set, versions } of (await fleet.recent())?.differences ?? []) {
        const [, ...others] = versions;
        this.set(
          { policy_set },
          others.reduce((count, { instances }) => count + instances.length, 0),
        );
      }
    },
  });
  new Gauge({
    name: 'verdict_policy_source_expiry_seconds',
    help: 'Until what the source of the policy sets said last expires, if it is not renewed, as the index of bundles is; +Inf for sources that do not expire.',
    registers,
    collect() {
      const { sourceExpires } = policySets;
      this.set(sourceExpires === undefined ? Number.POSITIVE_INFINITY : (sourceExpires - Date.now()) / 1_000);
    },
  });
  new Gauge({
    name: 'verdict_policy_source_age_seconds',
    help: 'How long ago the source of the policy sets was read last, as a whole: what was changed since then is not known.',
    registers,
    collect() {
      const { confirmed } = policySets;
      this.reset();
      if (confirmed !== undefined) this.set(Math.max(0, Date.now() - confirmed) / 1_000);
    },
  });
}
