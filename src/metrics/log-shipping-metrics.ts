import { Counter, Histogram, type Registry } from 'prom-client';

const batchSeconds = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What is shipped into the log that replicas share. */
export class LogShippingMetrics {
  private readonly durations: Histogram;
  private readonly records: Counter;

  constructor(registry: Registry) {
    this.durations = new Histogram({
      name: 'verdict_decision_log_shipping_duration_seconds',
      help: 'Time that a batch of decision records takes to PostgreSQL.',
      buckets: batchSeconds,
      registers: [registry],
    });
    this.records = new Counter({
      name: 'verdict_decision_log_shipped_records_total',
      help: 'Decision records of this replica that were shipped to PostgreSQL.',
      registers: [registry],
    });
  }

  shipped({ records, durationMs }: { readonly records: number; readonly durationMs: number }): void {
    this.durations.observe(durationMs / 1000);
    this.records.inc(records);
  }
}
