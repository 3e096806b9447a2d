import { Counter, type Registry } from 'prom-client';
import type { LocalRecords } from '../pdp/local-records/local-records.js';
import { localRecordResults } from '../pdp/local-records/sent-records.js';

/** What clients sent of the decisions that they made in their own processes. */
export function addLocalRecordMetrics(registry: Registry, records: Pick<LocalRecords, 'counts'>): void {
  new Counter({
    name: 'verdict_local_records_total',
    help: "Records of decisions in clients' own processes, by result: recorded, of these disputed; refused, lost by the client, or repeated.",
    labelNames: ['result'],
    registers: [registry],
    collect() {
      this.reset();
      for (const result of localRecordResults) this.inc({ result }, records.counts.get(result)!);
    },
  });
}
