import { Counter, Gauge, type Registry, type RegistryContentType } from 'prom-client';
import type { WorkerCounts } from '../workers/messages.js';

/** How many processes the service has, where it has several. */
export function addWorkerMetrics(
  registry: Registry<RegistryContentType>,
  { wanted, serving, restarts }: WorkerCounts,
): void {
  const registers = [registry];
  new Gauge({
    name: 'verdict_workers',
    help: 'Worker processes that share the port: those that should be there (wanted) and those that serve (serving).',
    labelNames: ['state'],
    registers,
    collect() {
      this.set({ state: 'wanted' }, wanted);
      this.set({ state: 'serving' }, serving);
    },
  });
  new Counter({
    name: 'verdict_worker_restarts_total',
    help: 'Worker processes that were started again after one had ended by itself.',
    registers,
    collect() {
      this.reset();
      this.inc(restarts);
    },
  });
}
