import { Inject, Module } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { AuditModule } from '../audit/audit.module.js';
import { AuditLog } from '../audit/audit-log.js';
import { AuthModule } from '../auth/auth.module.js';
import { LimitLeases } from '../auth/limit-leases.js';
import { Config } from '../config/config.js';
import { dataFolderOf } from '../config/data-folder.js';
import { DatabaseModule } from '../database/database.module.js';
import { ServiceDatabase } from '../database/service-database.js';
import { CommitObservers } from '../decision-log/commit-observers.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { ShippingObservers } from '../decision-log/shipping-observers.js';
import { CheckpointsModule } from '../fleet/checkpoints/checkpoints.module.js';
import { FleetCheckpoints } from '../fleet/checkpoints/fleet-checkpoints.js';
import { Fleet } from '../fleet/fleet.js';
import { FleetModule } from '../fleet/fleet.module.js';
import { fastifyOf, HttpModule } from '../http/http.module.js';
import { LogSinks } from '../log-sinks/log-sinks.js';
import { LogSinksModule } from '../log-sinks/log-sinks.module.js';
import { DecisionObservers } from '../pdp/decision-observers.js';
import { FreshSets } from '../pdp/fresh-sets.js';
import { LocalRecords } from '../pdp/local-records/local-records.js';
import { PdpModule } from '../pdp/pdp.module.js';
import { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';
import { LoadObservers } from '../policy-store/load-observers.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { CrossCheck } from '../stock-casbin/cross-check.js';
import { StockCasbinModule } from '../stock-casbin/stock-casbin.module.js';
import { Telemetry } from '../telemetry/telemetry.js';
import { WorkersModule } from '../workers/workers.module.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';

/** What Prometheus is told. */
@Module({
  imports: [
    AuditModule,
    AuthModule,
    CheckpointsModule,
    DatabaseModule,
    DecisionLogModule,
    FleetModule,
    HttpModule,
    LogSinksModule,
    PdpModule,
    PolicyStoreModule,
    StockCasbinModule,
    WorkersModule,
  ],
  controllers: [MetricsController],
  providers: [Metrics],
})
export class MetricsModule {
  /** Created before the first route is declared, the first set is loaded and the first record is committed. */
  constructor(
    metrics: Metrics,
    host: HttpAdapterHost,
    config: Config,
    policySets: PolicyStore,
    freshSets: FreshSets,
    candidates: PolicyCandidates,
    loads: LoadObservers,
    log: DecisionLog,
    records: LocalRecords,
    commits: CommitObservers,
    batches: ShippingObservers,
    decisions: DecisionObservers,
    crossCheck: CrossCheck,
    audit: AuditLog,
    database: ServiceDatabase,
    fleet: Fleet,
    checkpoints: FleetCheckpoints,
    @Inject(LimitLeases) leases: LimitLeases | undefined,
    telemetry: Telemetry,
    sinks: LogSinks,
  ) {
    metrics.http.count(fastifyOf(host));
    loads.add((event) => metrics.policySetLoaded(event));
    commits.add((commit) => metrics.logCommits.committed(commit));
    batches.add((batch) => metrics.logShipping.shipped(batch));
    decisions.add(metrics.decisions);
    metrics.read({
      policySets,
      freshSets,
      candidates,
      log,
      records,
      crossCheck,
      audit,
      database,
      fleet,
      checkpoints,
      leases,
      sinks,
      dataDirectory: dataFolderOf(config),
    });
    telemetry.exportMetrics(() => metrics.own());
  }
}
