import { Counter, Gauge, type Registry } from 'prom-client';
import type { LogSinks } from '../log-sinks/log-sinks.js';
import type { LogSinkStatus } from '../log-sinks/sink-run.js';

/** How far each sink of the decision log has got, read at each scrape. */
export function addLogSinkMetrics(registry: Registry, sinks: LogSinks): void {
  const counts = {
    verdict_log_sink_sent_records_total: {
      help: 'Decision records that a sink has taken.',
      of: ({ sent }: LogSinkStatus) => sent,
    },
    verdict_log_sink_refused_records_total: {
      help: 'Decision records that a sink does not take for what is in them; they are not sent again.',
      of: ({ refused }: LogSinkStatus) => refused,
    },
    verdict_log_sink_lost_records_total: {
      help: 'Decision records that were deleted, or could not be read, before a sink had them.',
      of: ({ lost }: LogSinkStatus) => lost,
    },
    verdict_log_sink_failures_total: {
      help: 'Attempts to send decision records to a sink that failed; they are made again.',
      of: ({ failures }: LogSinkStatus) => failures,
    },
  };
  for (const [name, { help, of }] of Object.entries(counts)) {
    new Counter({
      name,
      help,
      labelNames: ['sink'],
      registers: [registry],
      async collect() {
        const statuses = await sinks.statuses();
        this.reset();
        for (const status of statuses) this.inc({ sink: status.name }, of(status));
      },
    });
  }
  new Gauge({
    name: 'verdict_log_sink_lag_records',
    help: 'Decision records of this process that a sink does not have yet.',
    labelNames: ['sink'],
    registers: [registry],
    async collect() {
      const statuses = await sinks.statuses();
      this.reset();
      for (const { name, lag } of statuses) this.set({ sink: name }, lag);
    },
  });
  new Gauge({
    name: 'verdict_log_sink_lag_seconds',
    aggregator: 'max',
    help: 'Age of the oldest decision record that is being sent to a sink; 0 when none is.',
    labelNames: ['sink'],
    registers: [registry],
    async collect() {
      const statuses = await sinks.statuses();
      this.reset();
      for (const { name, lagSeconds } of statuses) this.set({ sink: name }, lagSeconds);
    },
  });
}
