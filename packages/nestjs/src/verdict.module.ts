import { ConfigurableModuleBuilder, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { VerdictClient } from '@verdict/client';
import { Authorizer } from './authorizer.js';
import { VerdictGuard } from './guard.js';
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
    { provide: sourceToken, useFactory: sourceOf, inject: [settingsToken] },
    Authorizer,
    VerdictGuard,
    { provide: APP_GUARD, useExisting: VerdictGuard },
    VerdictService,
  ],
  // What VerdictGuard needs too, for a class that names it among its own guards.
  exports: [VerdictService, VerdictGuard, Authorizer],
})
export class VerdictModule extends ConfigurableModuleClass {}

function sourceOf(options: VerdictModuleOptions): DecisionSource {
  return options.client ?? new VerdictClient(options as never);
}
