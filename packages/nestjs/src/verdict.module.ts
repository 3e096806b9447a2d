import { ConfigurableModuleBuilder, Inject, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { VerdictClient } from '@verdict/client';
import { Authorizer } from './authorizer.js';
import { VerdictGuard } from './guard.js';
import { HandlerRules } from './handler-rules.js';
import type { VerdictModuleOptions } from './options.js';
import type { DecisionSource } from './source.js';
import { settingsToken, sourceToken } from './tokens.js';
import { VerdictService } from './verdict.service.js';

const { ConfigurableModuleClass } = new ConfigurableModuleBuilder<VerdictModuleOptions>({
  optionsInjectionToken: settingsToken,
})
  .setClassMethodName('forRoot')
  .setExtras({}, (definition) => ({ ...definition, global: true }))
  .build();

/**
 * Closes an application: from here on, a handler is called only if a policy says so, or `@Public`.
 *
 *     @Module({ imports: [VerdictModule.forRoot({ baseUrl: 'http://127.0.0.1:3000', apiKey: process.env.VERDICT_API_KEY })] })
 *     export class AppModule {}
 *
 * Imported once, in the root module; `VerdictService` can then be injected everywhere. `forRootAsync` takes `useFactory`, `useClass`
 * (with `create`) or `useExisting`, as other modules do.
 */
@Module({
  providers: [
    HandlerRules,
    // After the handlers: nothing is opened for an application that does not start.
    { provide: sourceToken, useFactory: sourceOf, inject: [settingsToken, HandlerRules] },
    Authorizer,
    VerdictGuard,
    { provide: APP_GUARD, useExisting: VerdictGuard },
    VerdictService,
  ],
  // What VerdictGuard needs too, for a class that names it among its own guards.
  exports: [VerdictService, VerdictGuard, Authorizer, HandlerRules],
})
export class VerdictModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  constructor(
    @Inject(settingsToken) private readonly options: VerdictModuleOptions,
    @Inject(sourceToken) private readonly source: DecisionSource & { close?(): Promise<void> },
  ) {
    super();
  }

  /** When the last call has ended: sends the records that are left. */
  async onApplicationShutdown(): Promise<void> {
    if (this.options.mode === 'local') await this.source.close?.();
  }
}

async function sourceOf(options: VerdictModuleOptions): Promise<DecisionSource> {
  const { client, mode } = options;
  if (client !== undefined) return client;
  if (mode === 'local') {
    if (options.tokens !== undefined)
      throw new TypeError("VerdictModule: tokens are verified by the service, not with mode 'local'");
    // Only here is the engine needed.
    const { LocalVerdict } = await import('@verdict/client/local');
    const logger = new Logger('LocalVerdict');
    return LocalVerdict.open({ onWarning: ({ kind, message }) => logger.warn(`${kind}: ${message}`), ...options });
  }
  if (mode !== undefined && mode !== 'http') throw new TypeError("VerdictModule: mode is 'http' or 'local'");
  return new VerdictClient(options);
}
