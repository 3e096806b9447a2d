import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { databasePathOf, instanceOf } from '../config/data-folder.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { WantedElsewhere } from '../decision-log/wanted-elsewhere.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { LogSinks } from './log-sinks.js';
import { openSinks } from './open-sinks.js';
import { SinkOffsets, sinkOffsetsPath } from './sink-offsets.js';

/** Where decision records also go. */
@Module({
  imports: [DecisionLogModule],
  providers: [
    {
      provide: LogSinks,
      inject: [Config, loggerToken, DecisionLog, WantedElsewhere],
      useFactory: async (config: Config, logger: Logger, log: DecisionLog, wanted: WantedElsewhere) => {
        const instance = instanceOf(config);
        const onProblem = problemsTo(logger);
        const sinks = await openSinks(config.logSinks, { instance, env: process.env, logger, onProblem });
        const names = sinks.map(({ name }) => name);
        const offsets = new SinkOffsets(sinkOffsetsPath(databasePathOf(config)), names, onProblem);
        const logSinks = new LogSinks({ log, sinks, offsets, instance, onProblem });
        // Before the log starts, and looks for what it need not keep.
        if (sinks.length > 0) wanted.by(() => logSinks.doneTo);
        return logSinks;
      },
    },
  ],
  exports: [LogSinks],
})
export class LogSinksModule implements OnModuleInit, OnApplicationShutdown {
  constructor(private readonly sinks: LogSinks) {}

  onModuleInit(): void {
    this.sinks.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.sinks.stop();
  }
}
