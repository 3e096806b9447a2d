import { randomBytes } from 'node:crypto';
import { engineVersion } from '../core/engine/engine-version.js';
import type { ServiceDatabase } from '../database/service-database.js';
import type { DecisionLog } from '../decision-log/decision-log.js';
import type { PolicySetStatus } from '../policy-store/policy-set-status.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { Siblings } from '../workers/siblings.js';
import type { FleetReplica, ReplicaSet } from './fleet-report.js';

/** What this replica says of itself. */
export class OwnReplica {
  readonly id = randomBytes(16).toString('hex');
  readonly build = engineVersion;
  readonly started = new Date().toISOString();
  private health: FleetReplica['health'] = 'ok';
  private healthSince = this.started;
  private told: { readonly statuses: readonly PolicySetStatus[]; readonly sets: readonly ReplicaSet[] } | undefined;

  constructor(
    /** Its name. */
    readonly instance: string,
    private readonly policySets: PolicyStore,
    private readonly log: DecisionLog,
    private readonly database: ServiceDatabase,
    private readonly siblings: Siblings,
  ) {}

  /** @param now milliseconds since 1970 */
  read(now: number): FleetReplica {
    const { id, instance, build, started, policySets } = this;
    const problems = this.problems();
    const health = problems.length === 0 ? 'ok' : 'degraded';
    const time = new Date(now).toISOString();
    if (health !== this.health) this.healthSince = time;
    this.health = health;
    const { confirmed } = policySets;
    const { shipping } = this.log.status;
    return {
      id,
      instance,
      worker: this.worker(),
      build,
      started,
      state: 'running',
      heard: time,
      health,
      healthSince: this.healthSince,
      problems,
      sourceConfirmed: confirmed === undefined ? undefined : new Date(confirmed).toISOString(),
      unshipped: shipping?.unshipped ?? 0,
      logLagSeconds: Math.round(shipping?.lagSeconds ?? 0),
      sets: this.sets(),
    };
  }

  /** The same list while the sets are the same, so that who has told of them sees it at a glance. */
  private sets(): readonly ReplicaSet[] {
    const statuses = this.policySets.statuses();
    if (this.told?.statuses !== statuses) {
      const sets = statuses.map(
        ({ name, state, since, version, revision, servedSince, pinned }): ReplicaSet => ({
          name,
          state,
          since,
          version,
          revision,
          servedSince,
          pinned,
        }),
      );
      this.told = { statuses, sets };
    }
    return this.told.sets;
  }

  private worker(): FleetReplica['worker'] {
    const { place } = this.siblings;
    return place && { of: place.of, number: place.number, restarts: place.restarts };
  }

  private problems(): string[] {
    const { policySets, log, database } = this;
    const broken = policySets.statuses().filter(({ state }) => state !== 'active');
    const outdated = policySets.outdated();
    const { answering, problem } = log.status;
    return [
      database.problem,
      policySets.problem?.message,
      ...broken.slice(0, mostNamed).map(({ name, state }) => `the policy set ${name} is ${state}`),
      outdated.length > 0
        ? `requests are refused for sets that are older than VERDICT_MAX_STALENESS: ${outdated.slice(0, mostNamed).join(', ')}`
        : undefined,
      answering ? problem : `no decision is answered: ${problem ?? 'the decision log cannot be written'}`,
    ].filter((each) => each !== undefined);
  }
}

/** Most policy sets that problems name. */
const mostNamed = 20;
