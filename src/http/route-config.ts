import { RouteConfig } from '@nestjs/platform-fastify';
import { FASTIFY_ROUTE_CONFIG_METADATA } from '@nestjs/platform-fastify/constants.js';
import type { FastifyContextConfig } from 'fastify';

/** Adds to the route config of a controller's method. Nest's `RouteConfig` keeps only what the last decorator sets. */
export function addRouteConfig(part: FastifyContextConfig): MethodDecorator {
  return (target, name, descriptor) => {
    const said = Reflect.getMetadata(FASTIFY_ROUTE_CONFIG_METADATA, descriptor.value as object) as object | undefined;
    RouteConfig({ ...said, ...part })(target, name, descriptor);
  };
}
