/**
 * A small NestJS application on Fastify, for clients.mjs: `node clients-app.mjs open|http|local <service>`. Its one route reads an
 * order; who may is asked of nobody (`open`), of the service in batches (`http`), or within the process (`local`).
 */
import 'reflect-metadata';
import { Controller, HttpCode, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Authorize, VerdictModule } from '@verdict/nestjs';

const [mode, baseUrl] = process.argv.slice(2);

class OrdersController {
  read(id) {
    return { id, total: 120, currency: 'CHF', lines: [{ article: 'A-17', amount: 2 }] };
  }
}
const method = Object.getOwnPropertyDescriptor(OrdersController.prototype, 'read');
const decorators = [Post(':id'), HttpCode(200), ...(mode === 'open' ? [] : [Authorize('read', 'order', { id: 'id' })])];
for (const decorate of decorators) decorate(OrdersController.prototype, 'read', method);
Param('id')(OrdersController.prototype, 'read', 0);
Controller('orders')(OrdersController);

class AppModule {}
const options = {
  baseUrl,
  policySet: 'orders',
  user: () => ({ id: 'ann' }),
  ...(mode === 'local' ? { mode: 'local', policySets: ['orders'] } : { batch: true }),
};
Module({ imports: mode === 'open' ? [] : [VerdictModule.forRoot(options)], controllers: [OrdersController] })(
  AppModule,
);

const app = await NestFactory.create(AppModule, new FastifyAdapter(), { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
process.stdout.write(`${mode} listening on ${(await app.getUrl()).replace('[::1]', '127.0.0.1')}\n`);
