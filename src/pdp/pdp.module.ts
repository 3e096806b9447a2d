import { Module } from '@nestjs/common';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { CrossCheck } from '../stock-casbin/cross-check.js';
import { StockCasbinModule } from '../stock-casbin/stock-casbin.module.js';
import { DecisionObservers } from './decision-observers.js';
import { Pdp } from './pdp.js';
import { PolicySearch } from './policy-search.js';

/** The decision point. */
@Module({
  imports: [DecisionLogModule, PolicyStoreModule, StockCasbinModule],
  providers: [
    DecisionObservers,
    {
      provide: Pdp,
      inject: [PolicyStore, DecisionLog, CrossCheck, DecisionObservers],
      useFactory: (store: PolicyStore, log: DecisionLog, crossCheck: CrossCheck, observers: DecisionObservers) =>
        new Pdp(store, log, crossCheck, observers),
    },
    {
      provide: PolicySearch,
      inject: [DecisionLog],
      useFactory: (log: DecisionLog) => new PolicySearch(log),
    },
  ],
  exports: [DecisionObservers, Pdp, PolicySearch],
})
export class PdpModule {}
