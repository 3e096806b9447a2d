import { Fleet } from './fleet.js';
import { type FleetReport, fleetReportOf } from './fleet-report.js';
import type { OwnReplica } from './own-replica.js';

/** The one process on an SQLite file. */
export class SingleReplica extends Fleet {
  constructor(private readonly own: OwnReplica) {
    super();
  }

  async report(): Promise<FleetReport> {
    return fleetReportOf([this.own.read(Date.now())]);
  }

  recent(): Promise<FleetReport> {
    return this.report();
  }

  /** Nobody else has to. */
  get heardAgeMs(): number {
    return 0;
  }

  start(): void {}

  async stop(): Promise<void> {}
}
