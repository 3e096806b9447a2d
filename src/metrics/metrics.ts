import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Gauge,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import { engineVersion } from '../core/engine/engine-version.js';
import type { LoadEvent } from '../policy-store/policy-store-options.js';
import type { WorkerCounts } from '../workers/messages.js';
import { DecisionMetrics } from './decision-metrics.js';
import { HttpMetrics } from './http-metrics.js';
import { LogCommitMetrics } from './log-commit-metrics.js';
import { LogShippingMetrics } from './log-shipping-metrics.js';
import { PolicyLoadMetrics } from './policy-load-metrics.js';
import { addStateMetrics, type ServiceParts } from './state-metrics.js';
import { addWorkerMetrics } from './worker-metrics.js';

export type OwnMetrics = readonly MetricObjectWithValues<MetricValue<string>>[];

/**
 * All metrics. Events are counted when they happen; states are read at each scrape.
 *
 *     const metrics = new Metrics();
 *     new Pdp(policySets, log, crossCheck, metrics.decisions);
 *     metrics.read({ policySets, log, … });
 *     await metrics.text();   // '# HELP verdict_decisions_total …'
 */
export class Metrics {
  readonly registry = new Registry();
  readonly decisions = new DecisionMetrics(this.registry);
  readonly http = new HttpMetrics(this.registry);
  readonly logCommits = new LogCommitMetrics(this.registry);
  readonly logShipping = new LogShippingMetrics(this.registry);
  private readonly policyLoads = new PolicyLoadMetrics(this.registry);

  constructor() {
    // The event loop's delay, memory, processor time, garbage collection, file descriptors.
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'verdict_build_info',
      aggregator: 'first',
      help: 'Always 1; the version is a label.',
      labelNames: ['version'],
      registers: [this.registry],
    }).set({ version: engineVersion }, 1);
  }

  policySetLoaded(event: LoadEvent): void {
    this.policyLoads.loaded(event);
    if (event.result === 'removed') this.decisions.forget(event.policySet);
  }

  /** Adds what is read from the parts of the service at each scrape. */
  read(parts: ServiceParts): void {
    addStateMetrics(this.registry, parts);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  /** The same of several processes that are one service, each with what its `own` said. */
  static textOfAll(all: readonly OwnMetrics[], counts: WorkerCounts): Promise<string> {
    const registry = AggregatorRegistry.aggregate(all.map((own) => [...own]));
    addWorkerMetrics(registry, counts);
    return registry.metrics();
  }

  /** The values of this process. */
  own(): Promise<OwnMetrics> {
    return this.registry.getMetricsAsJSON();
  }
}
