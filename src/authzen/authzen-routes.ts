/** The whole of the Authorization API 1.0, at the root for the default policy set and below `/sets/` for each. */
import type { FastifyInstance } from 'fastify';
import { type EvaluationServices, registerEvaluationRoutes } from './evaluation-routes.js';
import { type MetadataServices, registerMetadataRoutes } from './metadata-routes.js';
import { registerSearchRoutes, type SearchServices } from './search-routes.js';

export type AuthzenServices = EvaluationServices & SearchServices & MetadataServices;

export function registerAuthzenRoutes(fastify: FastifyInstance, services: AuthzenServices): void {
  registerEvaluationRoutes(fastify, services);
  registerSearchRoutes(fastify, services);
  registerMetadataRoutes(fastify, services);
}
