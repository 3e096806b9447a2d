import type { GatewayServices } from '../../gateway-check.js';
import { CheckHandler } from './check-handler.js';
import { GrpcGate, type GrpcGateOptions } from './grpc-gate.js';
import { GrpcServer, type GrpcServerOptions } from './grpc-server.js';

/** The server with its parts; it does not listen yet. */
export function createGrpcServer(
  place: Pick<GrpcServerOptions, 'host' | 'port' | 'tls' | 'maxConnections' | 'maxMessageBytes'>,
  services: GatewayServices,
  options: GrpcGateOptions,
): GrpcServer {
  const { logger } = options;
  const gate = new GrpcGate(options);
  const checks = new CheckHandler(services, gate, logger);
  return new GrpcServer({ ...place, gate, checks, isServing: () => services.policySets.isServing, logger });
}
