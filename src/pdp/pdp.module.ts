import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { verifierOptionsOf } from '../auth/access-tokens-of.js';
import { QuestionTokens } from '../auth/question-tokens.js';
import { Config } from '../config/config.js';
import { instanceOf } from '../config/data-folder.js';
import { requestLimitsOf } from '../config/request-limits.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { ErasureOrders } from '../decision-log/erasure/erasure-orders.js';
import { LocalInstances } from '../decision-log/local/local-instances.js';
import { RecordedVersions } from '../decision-log/recorded-entities.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { PolicyArchive } from '../policy-store/archive/policy-archive.js';
import { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';
import { LiveDataStore } from '../policy-store/data/live-data-store.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { CrossCheck } from '../stock-casbin/cross-check.js';
import { StockCasbinModule } from '../stock-casbin/stock-casbin.module.js';
import { CandidateComparison } from './candidate-comparison.js';
import { DecisionObservers } from './decision-observers.js';
import { DecisionRecorder } from './decision-recorder.js';
import { FreshSets } from './fresh-sets.js';
import { ListFilter } from './list-filter.js';
import { LocalRecords } from './local-records/local-records.js';
import { Pdp } from './pdp.js';
import { PolicySearch } from './policy-search.js';
import { Simulations } from './simulation/simulations.js';

/** The decision point. */
@Module({
  imports: [DecisionLogModule, PolicyStoreModule, StockCasbinModule],
  providers: [
    DecisionObservers,
    {
      provide: DecisionRecorder,
      inject: [DecisionLog, DecisionObservers],
      useFactory: (log: DecisionLog, observers: DecisionObservers) => new DecisionRecorder(log, observers),
    },
    {
      provide: FreshSets,
      inject: [PolicyStore],
      useFactory: (store: PolicyStore) => new FreshSets(store),
    },
    {
      provide: CandidateComparison,
      inject: [PolicyCandidates],
      useFactory: (candidates: PolicyCandidates) => new CandidateComparison(candidates),
    },
    {
      provide: QuestionTokens,
      inject: [Config, loggerToken],
      useFactory: (config: Config, logger: Logger) =>
        new QuestionTokens({ verifier: verifierOptionsOf(config, logger), limits: requestLimitsOf(config) }),
    },
    {
      provide: Pdp,
      inject: [PolicyStore, FreshSets, DecisionRecorder, CrossCheck, CandidateComparison, QuestionTokens],
      useFactory: (
        store: PolicyStore,
        freshSets: FreshSets,
        recorder: DecisionRecorder,
        crossCheck: CrossCheck,
        comparison: CandidateComparison,
        tokens: QuestionTokens,
      ) => new Pdp(store, freshSets, recorder, crossCheck, comparison, tokens),
    },
    {
      provide: LocalRecords,
      inject: [PolicyStore, DecisionLog, LocalInstances, DecisionRecorder, loggerToken],
      useFactory: (
        policySets: PolicyStore,
        log: DecisionLog,
        instances: LocalInstances,
        recorder: DecisionRecorder,
        logger: Logger,
      ) =>
        new LocalRecords({
          policySets,
          log,
          instances,
          recorder,
          onClient: (what, about) => logger.warn(about, what),
          onProblem: problemsTo(logger),
        }),
    },
    {
      provide: Simulations,
      inject: [Config, DecisionLog, ErasureOrders, PolicyArchive, LiveDataStore, RecordedVersions],
      useFactory: (
        config: Config,
        log: DecisionLog,
        erasures: ErasureOrders,
        archive: PolicyArchive,
        data: LiveDataStore,
        versions: RecordedVersions,
      ) => new Simulations({ log, erasures, archive, data, versions, replica: instanceOf(config) }),
    },
    {
      provide: ListFilter,
      inject: [DecisionRecorder],
      useFactory: (recorder: DecisionRecorder) => new ListFilter(recorder),
    },
    {
      provide: PolicySearch,
      inject: [DecisionRecorder],
      useFactory: (recorder: DecisionRecorder) => new PolicySearch(recorder),
    },
  ],
  exports: [DecisionObservers, FreshSets, ListFilter, LocalRecords, Pdp, PolicySearch, Simulations],
})
export class PdpModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly comparison: CandidateComparison,
    private readonly simulations: Simulations,
    private readonly records: LocalRecords,
    private readonly tokens: QuestionTokens,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.records.start();
  }

  async onApplicationShutdown(): Promise<void> {
    this.tokens.close();
    await Promise.all([this.comparison.stop(), this.simulations.stop(), this.records.stop()]);
  }
}
