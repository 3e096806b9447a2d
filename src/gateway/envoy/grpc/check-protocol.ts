/**
 * The messages of `envoy.service.auth.v3.Authorization` and of `grpc.health.v1.Health`, read from the protos in
 * `third_party` when the port is opened. A message is what protobufjs makes of its bytes: members have the names of the
 * proto in camel case, those that were not sent have their default.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

/** `google.protobuf.Value`; a member is set for its kind. */
export interface ProtoValue {
  readonly nullValue?: number;
  readonly numberValue?: number;
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly structValue?: ProtoStruct | null;
  readonly listValue?: { readonly values?: readonly ProtoValue[] } | null;
}

export interface ProtoStruct {
  readonly fields?: Readonly<Record<string, ProtoValue>>;
}

interface ProtoMetadata {
  readonly filterMetadata?: Readonly<Record<string, ProtoStruct>>;
}

/** `AttributeContext.HttpRequest` */
export interface CheckedHttp {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  readonly body?: string;
  readonly rawBody?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly headerMap?: {
    readonly headers?: readonly { readonly key?: string; readonly value?: string; readonly rawValue?: Buffer }[];
  } | null;
}

/** `envoy.service.auth.v3.CheckRequest`, as far as it is read. */
export interface CheckRequest {
  readonly attributes?: {
    readonly source?: {
      readonly address?: { readonly socketAddress?: { readonly address?: string } | null } | null;
      readonly principal?: string;
    } | null;
    readonly request?: { readonly http?: CheckedHttp | null } | null;
    readonly contextExtensions?: Readonly<Record<string, string>>;
    readonly metadataContext?: ProtoMetadata | null;
    readonly routeMetadataContext?: ProtoMetadata | null;
  } | null;
}

export interface HeaderOption {
  readonly header: { readonly key: string; readonly value: string };
  readonly appendAction: number;
}

/** `envoy.service.auth.v3.CheckResponse`, as far as it is written. */
export interface CheckResponse {
  readonly status: { readonly code: number };
  readonly okResponse?: { readonly headers: readonly HeaderOption[]; readonly headersToRemove: readonly string[] };
  readonly deniedResponse?: {
    readonly status: { readonly code: number };
    readonly headers: readonly HeaderOption[];
    readonly body: string;
  };
  readonly dynamicMetadata: ProtoStruct;
}

export interface HealthCheckResponse {
  readonly status: number;
}

/** `grpc.health.v1.HealthCheckResponse.ServingStatus` */
export const servingStatus = { serving: 1, notServing: 2 } as const;

/** A method as `@grpc/grpc-js` registers it. */
export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  /** Does not throw for other bytes: grpc-js would answer that as a fault of this service. */
  readonly requestDeserialize: (bytes: Buffer) => Received<Request>;
  readonly requestSerialize: (request: Received<Request>) => Buffer;
  readonly responseSerialize: (response: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface Received<Request> {
  /** Undefined if the bytes are something else. */
  readonly message: Request | undefined;
  /** How many bytes came. */
  readonly length: number;
}

export interface CheckProtocol {
  readonly check: UnaryMethod<CheckRequest, CheckResponse>;
  readonly health: UnaryMethod<{ readonly service?: string }, HealthCheckResponse>;
}

export const authorizationService = 'envoy.service.auth.v3.Authorization';
export const healthService = 'grpc.health.v1.Health';

const thirdParty = fileURLToPath(new URL('../../../../third_party/', import.meta.url));
const folders = ['envoy', 'xds', 'googleapis', 'protoc-gen-validate', 'grpc-proto'];
const files = ['envoy/service/auth/v3/external_auth.proto', 'grpc/health/v1/health.proto'];

/** Options of fields, which the protos import and no message needs. protobufjs has the types of `google.protobuf`. */
const onlyOptions =
  /^(?:google\/protobuf\/descriptor|validate\/|udpa\/annotations\/|xds\/annotations\/|envoy\/annotations\/)/;

/** @throws Error of the file system, or of a proto that cannot be read */
export function loadCheckProtocol(): CheckProtocol {
  const root = new protobuf.Root();
  root.resolvePath = (_from, path) => {
    if (onlyOptions.test(path)) return null;
    if (protobuf.common.get(path) !== null) return path;
    const folder = folders.find((each) => path.startsWith(`${ownFolder(each)}/`)) ?? folders[0]!;
    return join(thirdParty, folder, path);
  };
  root.loadSync(files as string[]);
  root.resolveAll();
  return {
    check: method(
      root,
      authorizationService,
      'Check',
      'envoy.service.auth.v3.CheckRequest',
      'envoy.service.auth.v3.CheckResponse',
    ),
    health: method(
      root,
      healthService,
      'Check',
      'grpc.health.v1.HealthCheckRequest',
      'grpc.health.v1.HealthCheckResponse',
    ),
  };
}

/** The first step of the paths in a folder of `third_party`. */
function ownFolder(folder: string): string {
  return { googleapis: 'google', 'grpc-proto': 'grpc', 'protoc-gen-validate': 'validate' }[folder] ?? folder;
}

function method<Request, Response>(
  root: protobuf.Root,
  service: string,
  name: string,
  requestName: string,
  responseName: string,
): UnaryMethod<Request, Response> {
  const request = root.lookupType(requestName);
  const response = root.lookupType(responseName);
  return {
    path: `/${service}/${name}`,
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes) => ({ message: decoded<Request>(request, bytes), length: bytes.length }),
    requestSerialize: ({ message }) => encoded(request, message as object),
    responseSerialize: (message) => encoded(response, message as object),
    responseDeserialize: (bytes) => response.decode(bytes) as Response,
  };
}

function decoded<Message>(type: protobuf.Type, bytes: Buffer): Message | undefined {
  try {
    return type.decode(bytes) as Message;
  } catch {
    return undefined;
  }
}

function encoded(type: protobuf.Type, message: object): Buffer {
  return type.encode(message).finish() as Buffer;
}
