import { Counter, Gauge, type Registry } from 'prom-client';
import type { FleetCheckpoints } from '../fleet/checkpoints/fleet-checkpoints.js';

/** The checkpoints of the fleet. What is sent is told by the replica that sends, one at a time. */
export function addCheckpointMetrics(registry: Registry, checkpoints: FleetCheckpoints): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_checkpoint_age_seconds',
    aggregator: 'max',
    help: 'How long ago the newest checkpoint of the fleet was made that this replica knows of; one is made each minute.',
    registers,
    collect() {
      const { newest } = checkpoints.status;
      this.reset();
      if (newest !== undefined) this.set(Math.max(0, Date.now() - newest.time) / 1_000);
    },
  });
  new Gauge({
    name: 'verdict_checkpoint_sink_due',
    help: 'Checkpoints of the fleet that a sink does not have yet: log, file, s3 or https.',
    labelNames: ['sink'],
    registers,
    collect() {
      this.reset();
      for (const { name: sink, due } of checkpoints.status.sinks) this.set({ sink }, due);
    },
  });
  new Counter({
    name: 'verdict_checkpoint_sink_failures_total',
    help: 'Attempts to send checkpoints of the fleet to a sink that failed.',
    labelNames: ['sink'],
    registers,
    collect() {
      this.reset();
      for (const { name: sink, failures } of checkpoints.status.sinks) this.inc({ sink }, failures);
    },
  });
}
