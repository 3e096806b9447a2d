import { statfs } from 'node:fs/promises';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { ApiKeys } from '../auth/api-keys.js';
import { ServiceDatabase } from '../database/service-database.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { FleetCheckpoints } from '../fleet/checkpoints/fleet-checkpoints.js';
import { Fleet } from '../fleet/fleet.js';
import { PolicyStore } from '../policy-store/policy-store.js';

const slowLoopMs = 500;
/** What others change is known here within a second. */
const staleMs = 2_000;
/** Others hear of this replica once a second. */
const unheardMs = 2_500;
const littleSpaceBytes = 256 * 1024 * 1024;
const noSpaceBytes = 16 * 1024 * 1024;

/** The folder that the service writes to; a class so that it can be injected by its name. */
export class DataDirectory {
  constructor(readonly path: string) {}
}

/** Health indicators, one method each. `degraded` still answers; `down` should get no requests. */
@Injectable()
export class HealthIndicators implements OnModuleDestroy {
  private readonly loopDelay: IntervalHistogram = monitorEventLoopDelay({ resolution: 20 });

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly policySets: PolicyStore,
    private readonly log: DecisionLog,
    private readonly serviceDatabase: ServiceDatabase,
    private readonly data: DataDirectory,
    private readonly apiKeys: ApiKeys,
    private readonly replicas: Fleet,
    private readonly fleetCheckpoints: FleetCheckpoints,
  ) {
    this.loopDelay.enable();
  }

  onModuleDestroy(): void {
    this.loopDelay.disable();
  }

  /**
   * Down while no set can be served, or the default set cannot. Degraded while another set cannot be served, an older version
   * is served instead of the folder's, or sets are older than `VERDICT_MAX_STALENESS`, so that their requests are refused.
   */
  policies(): HealthIndicatorResult {
    const indicator = this.indicators.check('policies');
    const sets = this.policySets.statuses();
    const details = Object.fromEntries(sets.map(({ name, state, version }) => [name, { state, version }]));
    if (!this.policySets.isServing) return indicator.down({ sets: details });
    const outdated = this.policySets.outdated();
    if (outdated.length > 0) return indicator.degraded({ sets: details, outdated });
    if (sets.some(({ state }) => state !== 'active')) return indicator.degraded({ sets: details });
    return indicator.up({ sets: details });
  }

  /** Result of the last look at `verdict.sqlite`. It does not query the database, so it never waits. */
  database(): HealthIndicatorResult {
    const indicator = this.indicators.check('database');
    const { problem } = this.serviceDatabase;
    return problem === undefined ? indicator.up() : indicator.degraded({ problem });
  }

  /**
   * Degraded while nobody can say whether a managed API key was revoked: they are good all the same, or refused when that
   * lasts too long.
   */
  keys(): HealthIndicatorResult {
    const indicator = this.indicators.check('keys');
    const { from, ageMs, isTooOld } = this.apiKeys.managedState(Date.now());
    const details = { from, ...(Number.isFinite(ageMs) && { ageSeconds: Math.round(ageMs / 100) / 10 }) };
    if (isTooOld) return indicator.degraded({ ...details, problem: 'too old: managed keys are refused' });
    return from === 'database' && ageMs < staleMs ? indicator.up(details) : indicator.degraded(details);
  }

  /** Degraded while other replicas cannot hear of this one. */
  fleet(): HealthIndicatorResult {
    const indicator = this.indicators.check('fleet');
    const { heardAgeMs } = this.replicas;
    const details = { ...(Number.isFinite(heardAgeMs) && { heardAgeSeconds: Math.round(heardAgeMs / 100) / 10 }) };
    return heardAgeMs < unheardMs ? indicator.up(details) : indicator.degraded(details);
  }

  /**
   * Down while no decision is answered, because records cannot be written (modes `sync` and `fsync`). Degraded while
   * more than half of the queue is taken, or the log's files are missing or have a problem.
   */
  logQueue(): HealthIndicatorResult {
    const indicator = this.indicators.check('logQueue');
    const { answering, mode, state, depth, limit, lost, missing, problem } = this.log.status;
    const details = {
      mode,
      state,
      depth,
      lost,
      ...(missing !== undefined && { missing }),
      ...(problem !== undefined && { problem }),
    };
    if (!answering) return indicator.down(details);
    const isFine = problem === undefined && missing === undefined && depth <= limit / 2;
    return isFine ? indicator.up(details) : indicator.degraded(details);
  }

  /** Degraded while no checkpoint of the fleet can be made, or a sink does not take them. */
  checkpoints(): HealthIndicatorResult {
    const indicator = this.indicators.check('checkpoints');
    const { leads, newest, problem, sinks } = this.fleetCheckpoints.status;
    const details = {
      leads,
      ...(newest !== undefined && { newest: newest.number, time: new Date(newest.time).toISOString() }),
      ...(problem !== undefined && { problem }),
      sinks: sinks.map(({ name, place, due, problem: why }) => ({
        name,
        place,
        due,
        ...(why !== undefined && { problem: why }),
      })),
    };
    const isFine = problem === undefined && sinks.every((sink) => sink.problem === undefined);
    return isFine ? indicator.up(details) : indicator.degraded(details);
  }

  /** Judges the 99th percentile of the event loop's delay since the last call. */
  eventLoop(): HealthIndicatorResult {
    const indicator = this.indicators.check('eventLoop');
    const p99Ms = Math.round(this.loopDelay.percentile(99) / 1e6);
    this.loopDelay.reset();
    return p99Ms > slowLoopMs ? indicator.degraded({ p99Ms }) : indicator.up({ p99Ms });
  }

  async disk(): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('disk');
    const { bavail, bsize } = await statfs(this.data.path);
    const freeBytes = bavail * bsize;
    if (freeBytes < noSpaceBytes) return indicator.down({ freeBytes });
    return freeBytes < littleSpaceBytes ? indicator.degraded({ freeBytes }) : indicator.up({ freeBytes });
  }
}
