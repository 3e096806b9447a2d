/** Starts the application of `http.ts` and `messages.ts`, or says why one of `open.ts` does not start. */
import type { AddressInfo, Server } from 'node:net';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { type INestMicroservice, Module, type Type, VersioningType } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { WsAdapter } from '@nestjs/platform-ws';
import { type QuestionSettings, VerdictModule, type VerdictModuleOptions } from '@verdict/nestjs';
import { HttpModule } from './http.js';
import { MessagesModule } from './messages.js';
import { moduleOf, openModules } from './open.js';

const { ADAPTER, VERDICT_URL, VERDICT_API_KEY, TIMEOUT_MS = '60000', HYBRID = 'inherits', MODE } = process.env;

const verdict = VerdictModule.forRootAsync({
  useFactory: async (): Promise<VerdictModuleOptions> => {
    const shared: QuestionSettings & { baseUrl: string; apiKey: string } = {
      baseUrl: VERDICT_URL!,
      apiKey: VERDICT_API_KEY!,
      environment: ({ request }) => ({ path: request?.url ?? 'none' }),
    };
    if (MODE === 'local') return { ...shared, mode: 'local', policySets: ['guard'], maxStalenessMs: 2_000 };
    return { ...shared, timeoutMs: Number(TIMEOUT_MS), retries: 0, policySet: 'guard', batch: true };
  },
});
const graphql = GraphQLModule.forRoot<ApolloDriverConfig>({
  driver: ApolloDriver,
  autoSchemaFile: true,
  fieldResolverEnhancers: ['guards'],
});

async function start(): Promise<void> {
  const imports = ADAPTER === 'express' ? [verdict, HttpModule, graphql, MessagesModule] : [verdict, HttpModule];
  class AppModule {}
  Module({ imports })(AppModule);
  const adapter = ADAPTER === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = await NestFactory.create(AppModule, adapter as never, { logger: ['error', 'warn'] });
  app.enableShutdownHooks();
  app.enableVersioning({ type: VersioningType.URI });
  let microservice: INestMicroservice | undefined;
  if (ADAPTER === 'express') {
    app.useWebSocketAdapter(new WsAdapter(app));
    const options = { transport: Transport.TCP as const, options: { host: '127.0.0.1', port: 0 } };
    microservice = app.connectMicroservice(options, { inheritAppConfig: HYBRID === 'inherits' });
    await app.startAllMicroservices();
  }
  await app.listen(0, '127.0.0.1');
  const tcp = microservice?.unwrap<Server>().address() as AddressInfo | undefined;
  const { port } = app.getHttpServer().address();
  console.log(`listening on http://127.0.0.1:${port} ${tcp?.port ?? ''}`);
}

/** Prints of each what stops its start. */
async function refuse(): Promise<void> {
  for (const name of Object.keys(openModules) as (keyof typeof openModules)[]) {
    class AppModule {}
    Module({ imports: [verdict, moduleOf(name)] })(AppModule);
    const create = async (module: Type) => {
      const app = await NestFactory.create(module, new ExpressAdapter(), { logger: false, abortOnError: false });
      await app.init();
      return 'started';
    };
    const outcome = await create(AppModule).catch((error: Error) => error.message);
    console.log(JSON.stringify([name, outcome]));
  }
}

void (process.argv[2] === 'refuse' ? refuse() : start());
