/** A client of the gRPC port, as small as can be: it sends bytes, so that it can send wrong ones. */
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  type CheckRequest,
  type CheckResponse,
  loadCheckProtocol,
  type ProtoStruct,
} from '../../../src/gateway/envoy/grpc/check-protocol.js';

export const protocol = loadCheckProtocol();

export interface Outcome {
  /** The status of the call: 0 if it was answered. */
  readonly code: number;
  readonly details: string;
  readonly response: CheckResponse | undefined;
}

export interface CheckClient {
  check(request: CheckRequest | Buffer, metadata?: Record<string, string | string[]>): Promise<Outcome>;
  /** The status of a service, or the code of the call's status. */
  health(service?: string): Promise<number | { code: number }>;
  /** Calls a method by its path with an empty message; returns the code of the status. */
  call(path: string): Promise<number>;
  close(): void;
}

/** @param number clients with other numbers do not share a connection */
export function connectTo(
  port: number,
  channel: ChannelCredentials = credentials.createInsecure(),
  number = 0,
): CheckClient {
  const client = new Client(`127.0.0.1:${port}`, channel, {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.use_local_subchannel_pool': 1,
    'grpc.primary_user_agent': `test-${number}`,
  });
  const { check, health } = protocol;

  function ask<Response>(
    path: string,
    bytes: Buffer,
    read: (bytes: Buffer) => Response,
    metadata = new Metadata(),
  ): Promise<{ error: ServiceError | null; response: Response | undefined }> {
    return new Promise((resolve) => {
      const deadline = Date.now() + 20_000;
      client.makeUnaryRequest(
        path,
        (sent: Buffer) => sent,
        read,
        bytes,
        metadata,
        { deadline },
        (error, response) => resolve({ error, response }),
      );
    });
  }

  return {
    async check(request, headers = {}) {
      const metadata = new Metadata();
      for (const [name, values] of Object.entries(headers))
        for (const value of [values].flat()) metadata.add(name, value);
      const bytes = Buffer.isBuffer(request) ? request : check.requestSerialize({ message: request, length: 0 });
      const { error, response } = await ask(check.path, bytes, check.responseDeserialize, metadata);
      return { code: error?.code ?? 0, details: error?.details ?? '', response };
    },
    async health(service = '') {
      const bytes = health.requestSerialize({ message: { service }, length: 0 });
      const { error, response } = await ask(health.path, bytes, health.responseDeserialize);
      return error === null ? response!.status : { code: error.code };
    },
    async call(path) {
      const { error } = await ask(path, Buffer.alloc(0), (bytes) => bytes);
      return error?.code ?? 0;
    },
    close: () => client.close(),
  };
}

/** A check of a request, as Envoy writes it. */
export function checkOf(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  more: { readonly http?: object; readonly source?: object; readonly attributes?: object } = {},
): CheckRequest {
  return {
    attributes: {
      source: { address: { socketAddress: { address: '192.0.2.7' } }, ...more.source },
      request: { http: { method, path, host: 'shop.example', scheme: 'https', headers, ...more.http } },
      ...more.attributes,
    },
  };
}

/** What became of a check: the status that the client gets; `allowed` if its request goes forward. */
export function clientSees({ code, response }: Outcome): number | 'allowed' | `error ${number}` {
  if (code !== 0 || response === undefined) return `error ${code}`;
  // A message that was not sent is null by its prototype.
  if (response.deniedResponse) return response.deniedResponse.status.code;
  return response.okResponse && (response.status?.code ?? 0) === 0 ? 'allowed' : 'error 0';
}

export function headersOf(
  options: readonly { readonly header: { key: string; value: string } }[],
): Record<string, string> {
  return Object.fromEntries(options.map(({ header: { key, value } }) => [key, value]));
}

export type { ProtoStruct };
