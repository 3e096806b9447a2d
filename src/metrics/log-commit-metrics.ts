import { Histogram, type Registry } from 'prom-client';

const commitSeconds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const commitRecords = [1, 2, 4, 8, 16, 32, 64, 128];

/** The decision log's commits. */
export class LogCommitMetrics {
  private readonly durations: Histogram;
  private readonly records: Histogram;

  constructor(registry: Registry) {
    this.durations = new Histogram({
      name: 'verdict_decision_log_commit_duration_seconds',
      help: 'Time that a commit of decision records takes.',
      buckets: commitSeconds,
      registers: [registry],
    });
    this.records = new Histogram({
      name: 'verdict_decision_log_commit_records',
      help: 'Decision records that were committed together.',
      buckets: commitRecords,
      registers: [registry],
    });
  }

  committed({ records, durationMs }: { readonly records: number; readonly durationMs: number }): void {
    this.durations.observe(durationMs / 1000);
    this.records.observe(records);
  }
}
