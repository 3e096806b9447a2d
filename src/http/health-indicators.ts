import { statfs } from 'node:fs/promises';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { DecisionLog } from '../decision-log/decision-log.js';
import { PolicyStore } from '../policy-store/policy-store.js';

const SLOW_LOOP_MS = 500;
const LITTLE_SPACE_BYTES = 256 * 1024 * 1024;
const NO_SPACE_BYTES = 16 * 1024 * 1024;
const DATABASE_TIMEOUT_MS = 2_000;

/** The folder that the service writes to; a class so that it can be injected by its name. */
export class DataDirectory {
  constructor(readonly path: string) {}
}

/** What can be wrong with the service, one method each. `degraded` still answers; `down` should get no requests. */
@Injectable()
export class HealthIndicators implements OnModuleDestroy {
  readonly #loopDelay: IntervalHistogram = monitorEventLoopDelay({ resolution: 20 });

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly policySets: PolicyStore,
    private readonly log: DecisionLog,
    private readonly data: DataDirectory,
  ) {
    this.#loopDelay.enable();
  }

  onModuleDestroy(): void {
    this.#loopDelay.disable();
  }

  /** Down while a set cannot be served at all; degraded while an older version stands in for what its folder holds. */
  policies(): HealthIndicatorResult {
    const indicator = this.indicators.check('policies');
    const sets = this.policySets.statuses();
    const details = Object.fromEntries(sets.map(({ name, state, version }) => [name, { state, version }]));
    if (sets.length === 0 || sets.some(({ state }) => state === 'failed')) return indicator.down({ sets: details });
    if (sets.some(({ state }) => state === 'stale')) return indicator.degraded({ sets: details });
    return indicator.up({ sets: details });
  }

  async database(): Promise<HealthIndicatorResult> {
    return this.indicators
      .check('database')
      .attempt(async () => void (await this.log.search({ limit: 1 })))
      .withTimeout(DATABASE_TIMEOUT_MS);
  }

  /** Down while records cannot be written: then no decision is answered. A queue that is half full is worth a look. */
  logQueue(): HealthIndicatorResult {
    const indicator = this.indicators.check('logQueue');
    const { state, depth, limit, lost, problem } = this.log.status;
    if (state === 'failing') return indicator.down({ depth, lost, problem });
    return depth > limit / 2 ? indicator.degraded({ depth, lost }) : indicator.up({ depth, lost });
  }

  /** The 99th percentile since it was last asked for. */
  eventLoop(): HealthIndicatorResult {
    const indicator = this.indicators.check('eventLoop');
    const p99Ms = Math.round(this.#loopDelay.percentile(99) / 1e6);
    this.#loopDelay.reset();
    return p99Ms > SLOW_LOOP_MS ? indicator.degraded({ p99Ms }) : indicator.up({ p99Ms });
  }

  async disk(): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('disk');
    const { bavail, bsize } = await statfs(this.data.path);
    const freeBytes = bavail * bsize;
    if (freeBytes < NO_SPACE_BYTES) return indicator.down({ freeBytes });
    return freeBytes < LITTLE_SPACE_BYTES ? indicator.degraded({ freeBytes }) : indicator.up({ freeBytes });
  }
}
