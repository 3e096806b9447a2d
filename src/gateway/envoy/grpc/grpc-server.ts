/**
 * The gRPC port: `envoy.service.auth.v3.Authorization` for Envoy, and `grpc.health.v1.Health` for probes. Reflection and
 * channelz are off. Connections are accepted here and handed to `@grpc/grpc-js`: so TLS, certificates of clients, their
 * renewal and the number of connections are as on the HTTP port.
 */
import { once } from 'node:events';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import {
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { CallCredentials } from '../../../auth/authenticator.js';
import type { Caller } from '../../../auth/caller.js';
import { certificateNames } from '../../../auth/client-certificate.js';
import { VerdictError } from '../../../errors.js';
import { asVerdictError } from '../../../http/problem.js';
import { type TlsFiles, tlsOptions, watchTlsFiles } from '../../../http/tls-files.js';
import type { CheckCaller, CheckHandler } from './check-handler.js';
import {
  authorizationService,
  type CheckRequest,
  type CheckResponse,
  type HealthCheckResponse,
  healthService,
  loadCheckProtocol,
  type Received,
  servingStatus,
} from './check-protocol.js';
import type { GrpcGate } from './grpc-gate.js';
import { grpcStatusOf } from './grpc-status.js';

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly tls: TlsFiles | undefined;
  readonly maxConnections: number;
  /** Longest message in bytes. */
  readonly maxMessageBytes: number;
  readonly gate: GrpcGate;
  readonly checks: CheckHandler;
  /** True while policies can be served. */
  readonly isServing: () => boolean;
  readonly logger: Logger;
}

/** Most calls at once on a connection: with the longest message each, what one caller may make the service hold. */
const maxStreams = 256;
/** A connection without a call is closed after so long, in milliseconds. Envoy opens another. */
const idleMs = 300_000;
/** A connection is replaced after so long, in milliseconds: workers that were started later get their share. */
const ageMs = 600_000;
/** A connection whose other end does not answer a ping for 20 s is ended. */
const pingEveryMs = 60_000;
/** Calls that still run so long after the stop, in milliseconds, are cut. */
const stopMs = 10_000;

const setHeader = 'verdict-policy-set';

export class GrpcServer {
  private readonly server: Server;
  private readonly listener: NetServer;
  /** Sockets by the address and port of their other end, which is all that a call tells of its connection. */
  private readonly sockets = new Map<string, Socket>();
  /** Who sent the calls that were let in, by their metadata. */
  private readonly callers = new WeakMap<Metadata, CheckCaller>();
  private endWatch: () => void = () => undefined;
  private isStopping = false;

  constructor(private readonly options: GrpcServerOptions) {
    const { tls, maxConnections, maxMessageBytes } = options;
    this.server = new Server({
      // Probes need no credential, as at /health/ready.
      interceptors: [({ path }, call) => (isHealth(path) ? new ServerInterceptingCall(call) : this.guard(call))],
      'grpc.enable_channelz': 0,
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_concurrent_streams': maxStreams,
      'grpc.max_connection_idle_ms': idleMs,
      'grpc.max_connection_age_ms': ageMs,
      'grpc.max_connection_age_grace_ms': stopMs,
      'grpc.keepalive_time_ms': pingEveryMs,
    });
    this.addServices();
    const injector = this.server.createConnectionInjector(ServerCredentials.createInsecure());
    const accept = (socket: Socket): void => {
      const key = `${socket.remoteAddress}:${socket.remotePort}`;
      this.sockets.set(key, socket);
      socket.once('close', () => {
        if (this.sockets.get(key) === socket) this.sockets.delete(key);
      });
      injector.injectConnection(socket);
    };
    this.listener =
      tls === undefined
        ? createServer({ noDelay: true }, accept)
        : createTlsServer({ ...tlsOptions(tls), ALPNProtocols: ['h2'] }, accept);
    this.listener.maxConnections = maxConnections;
    // A handshake that fails; the connection is closed.
    this.listener.on('tlsClientError', () => undefined);
  }

  /** Resolves with the port when calls are answered. */
  async listen(): Promise<number> {
    const { host, port, tls, logger } = this.options;
    this.listener.listen(port, host);
    await once(this.listener, 'listening');
    if (tls !== undefined) this.endWatch = watchTlsFiles(this.listener as TlsServer, tls, logger);
    const address = this.listener.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    logger.info({ host, port: bound, tls: tls !== undefined }, 'Envoy is answered over gRPC');
    return bound;
  }

  /** No new connections; calls that run finish. */
  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    this.endWatch();
    if (!this.listener.listening) return;
    this.listener.close();
    const timer = setTimeout(() => {
      for (const socket of this.sockets.values()) socket.destroy();
    }, stopMs).unref();
    await new Promise<void>((resolve) => this.server.tryShutdown(() => resolve()));
    clearTimeout(timer);
  }

  private addServices(): void {
    const { check, health } = loadCheckProtocol();
    this.server.addService(
      { check },
      {
        check: (call: ServerUnaryCall<Received<CheckRequest>, CheckResponse>, done: sendUnaryData<CheckResponse>) => {
          const asked = this.callers.get(call.metadata);
          if (asked === undefined) return done({ code: status.UNAVAILABLE, details: 'The caller is not known.' });
          this.options.checks.answer(call.request, asked).then(
            (response) => done(null, response),
            (error) => done(grpcStatusOf(asVerdictError(error))),
          );
        },
      },
    );
    this.server.addService(
      { health: { ...health } },
      {
        health: (
          { request }: ServerUnaryCall<Received<{ service?: string }>, HealthCheckResponse>,
          done: sendUnaryData<HealthCheckResponse>,
        ) => {
          const service = request.message?.service;
          if (service !== '' && service !== authorizationService) {
            return done({ code: status.NOT_FOUND, details: 'There is no such service.' });
          }
          const isServing = !this.isStopping && this.options.isServing();
          done(null, { status: isServing ? servingStatus.serving : servingStatus.notServing });
        },
      },
    );
  }

  /**
   * Lets a call in, or answers it, before its message is read. A call that can be let in at once is not wrapped: a wrapped
   * one costs a fifth more. That needs its metadata, which grpc-js has in the call already and hands on later.
   */
  private guard(call: ServerInterceptingCallInterface): ServerInterceptingCall {
    const { metadata: early } = call as { readonly metadata?: unknown };
    const settled = early instanceof Metadata ? this.admit(call, early) : undefined;
    if (
      early instanceof Metadata &&
      settled !== undefined &&
      !(settled instanceof Promise) &&
      !(settled instanceof VerdictError)
    ) {
      this.letIn(call, early, settled);
      // An interceptor may return the call that it was given.
      return call as ServerInterceptingCall;
    }
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const end = (outcome: Caller | VerdictError): void => {
              if (outcome instanceof VerdictError) {
                call.sendStatus(grpcStatusOf(outcome));
                return;
              }
              this.letIn(call, metadata, outcome);
              proceed(metadata);
            };
            // What was looked at once counts once.
            const outcome = settled ?? this.admit(call, metadata);
            if (outcome instanceof Promise) outcome.then(end, (error) => end(asVerdictError(error)));
            else end(outcome);
          },
        }),
    });
  }

  private admit(call: ServerInterceptingCallInterface, metadata: Metadata) {
    return this.options.gate.admit(this.credentialsIn(metadata, call.getPeer()), addressOf(call));
  }

  private letIn(call: ServerInterceptingCallInterface, metadata: Metadata, caller: Caller): void {
    // Two values are joined to one name, which no set has.
    const [policySet] = metadata.get(setHeader);
    this.callers.set(metadata, { caller, address: addressOf(call), policySet: policySet?.toString() });
  }

  private credentialsIn(metadata: Metadata, peer: string): CallCredentials {
    const socket = this.sockets.get(peer);
    return {
      apiKeys: metadata.get('x-api-key').map(String),
      authorizations: metadata.get('authorization').map(String),
      certificate: socket === undefined ? undefined : certificateNames(socket),
    };
  }
}

function addressOf(call: ServerInterceptingCallInterface): string {
  return call.getConnectionInfo().remoteAddress ?? 'unknown';
}

function isHealth(path: string): boolean {
  return path.startsWith(`/${healthService}/`);
}
