import { Counter, Histogram, type Registry } from 'prom-client';
import type { LoadEvent } from '../policy-store/policy-store-options.js';

const loadSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Loads of policy sets by their result. */
export class PolicyLoadMetrics {
  private readonly loads: Counter<'policy_set' | 'result'>;
  private readonly durations: Histogram<'result'>;

  constructor(registry: Registry) {
    this.loads = new Counter({
      name: 'verdict_policy_loads_total',
      help: 'Folders that were read, by policy set and result: served, unchanged or failed.',
      labelNames: ['policy_set', 'result'],
      registers: [registry],
    });
    this.durations = new Histogram({
      name: 'verdict_policy_load_duration_seconds',
      help: 'Time to read, compile, check and test a folder and to put it into service, by result.',
      labelNames: ['result'],
      buckets: loadSeconds,
      registers: [registry],
    });
  }

  loaded({ policySet, result, durationMs }: LoadEvent): void {
    if (result === 'removed') {
      for (const gone of loadResults) this.loads.remove({ policy_set: policySet, result: gone });
      return;
    }
    // Starts at 0, so that `rate()` sees the first failure.
    for (const possible of loadResults) this.loads.inc({ policy_set: policySet, result: possible }, 0);
    this.loads.inc({ policy_set: policySet, result });
    this.durations.observe({ result }, durationMs / 1000);
  }
}

const loadResults = ['served', 'unchanged', 'failed'] as const satisfies LoadEvent['result'][];
