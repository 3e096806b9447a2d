import type { Config } from '../../config/config.js';
import { tlsFilesOf } from '../../http/tls-files.js';
import type { GatewayServices } from '../gateway-check.js';
import type { GrpcGateOptions } from './grpc/grpc-gate.js';
import type { GrpcServer } from './grpc/grpc-server.js';

/** The port that answers Envoy over gRPC, where one is configured. Without one nothing of gRPC is loaded. */
export class EnvoyPort {
  private server: GrpcServer | undefined;

  constructor(
    private readonly config: Config,
    private readonly services: GatewayServices,
    private readonly gate: GrpcGateOptions,
  ) {}

  /** Resolves with the port when calls are answered; with undefined where none is configured. */
  async listen(): Promise<number | undefined> {
    const { host, grpcPort: port, grpcMaxMessageBytes: maxMessageBytes, maxConnections } = this.config;
    if (port === undefined) return undefined;
    const { createGrpcServer } = await import('./grpc/create-grpc-server.js');
    this.server = createGrpcServer(
      { host, port, tls: tlsFilesOf(this.config), maxConnections, maxMessageBytes },
      this.services,
      this.gate,
    );
    return this.server.listen();
  }

  /** No new connections; calls that run finish. */
  async stop(): Promise<void> {
    await this.server?.stop();
  }
}
