/** The client's request in a `CheckRequest`. */
import type { RequestLimits } from '../../../core/asked/attribute-count.js';
import type { Json } from '../../../core/request.js';
import { VerdictError } from '../../../errors.js';
import { partialBody, readGatewayBody } from '../../gateway-body.js';
import type { GatewayBody, GatewayRequest } from '../../gateway-request.js';
import type { CheckedHttp, CheckRequest } from './check-protocol.js';
import { jsonOfStruct } from './proto-json.js';

export interface ClientRequest {
  readonly request: GatewayRequest;
  /** @throws VerdictError `malformed_request` for a header that may have come twice */
  readonly header: (name: string) => string | undefined;
  /** The same of `Authorization`, of which only a bearer token counts. */
  readonly authorization: () => string | undefined;
  readonly body: () => GatewayBody | Promise<GatewayBody>;
}

/** Returns undefined if the message is not about an HTTP request. */
export function clientRequestOf({ attributes }: CheckRequest, limits: RequestLimits): ClientRequest | undefined {
  const http = attributes?.request?.http;
  if (!attributes || !http?.method) return undefined;
  const headers = headersOf(http);
  const { source, contextExtensions, metadataContext, routeMetadataContext } = attributes;
  const request: GatewayRequest = {
    method: http.method,
    target: http.path ?? '',
    host: http.host || undefined,
    scheme: http.scheme || undefined,
    clientAddress: source?.address?.socketAddress?.address ?? '',
    headers: headers.values,
    certificate: source?.principal || undefined,
    // Envoy's own words for the route go before what other systems wrote into its metadata.
    route: () => ({ ...structsOf(routeMetadataContext?.filterMetadata), ...contextExtensions }),
    metadata: () => structsOf(metadataContext?.filterMetadata),
  };
  return {
    request,
    header: (name) => oneHeader(headers, name),
    authorization: () => authorizationIn(headers),
    body: () => bodyOf(http, headers.values, limits),
  };
}

interface Headers {
  readonly values: Readonly<Record<string, string>>;
  /** How often each came; undefined if Envoy joined those that came twice. */
  readonly counts: ReadonlyMap<string, number> | undefined;
}

/** With `encode_raw_headers` Envoy sends a list, else a map, in which several values of a header are one with commas. */
function headersOf({ headers = {}, headerMap }: CheckedHttp): Headers {
  const listed = headerMap?.headers ?? [];
  if (listed.length === 0) return { values: headers, counts: undefined };
  const values: Record<string, string> = Object.create(null);
  const counts = new Map<string, number>();
  for (const { key = '', value = '', rawValue } of listed) {
    const name = key.toLowerCase();
    const text = rawValue !== undefined && rawValue.length > 0 ? rawValue.toString() : value;
    const count = counts.get(name) ?? 0;
    values[name] = count === 0 ? text : `${values[name]},${text}`;
    counts.set(name, count + 1);
  }
  return { values, counts };
}

function oneHeader({ values, counts }: Headers, name: string): string | undefined {
  if (!Object.hasOwn(values, name)) return undefined;
  const value = values[name]!;
  if (counts !== undefined && counts.get(name)! > 1) {
    throw new VerdictError('malformed_request', `The header ${name} comes ${counts.get(name)} times.`);
  }
  // Two parties may have set it, and one may be the client.
  if (counts === undefined && value.includes(',')) {
    throw new VerdictError('malformed_request', `The header ${name} comes twice, or holds a comma.`);
  }
  // As Node reads headers: byte by byte.
  return Buffer.from(value).toString('latin1');
}

function authorizationIn(headers: Headers): string | undefined {
  const value = Object.hasOwn(headers.values, 'authorization') ? headers.values.authorization! : '';
  // Other schemes have commas in one value.
  const mayBeTwo = headers.counts !== undefined || /\bbearer\b/i.test(value);
  return mayBeTwo ? oneHeader(headers, 'authorization') : undefined;
}

function bodyOf(
  { body = '', rawBody }: CheckedHttp,
  headers: Readonly<Record<string, string>>,
  limits: RequestLimits,
): GatewayBody | Promise<GatewayBody> {
  const headerOf = (name: string) => (Object.hasOwn(headers, name) ? headers[name] : undefined);
  const partial = headerOf('x-envoy-auth-partial-body');
  if (partial !== undefined && partial !== 'false') return partialBody;
  // This character stands for bytes that are not text: the server behind Envoy gets the bytes.
  if (body.includes('\ufffd')) return { fault: 'The body is not text; let Envoy send it with pack_as_bytes.' };
  const bytes = rawBody !== undefined && rawBody.length > 0 ? rawBody : Buffer.from(body);
  const announced = headerOf('transfer-encoding') ?? headerOf('content-length') ?? '0';
  if (bytes.length === 0 && announced !== '0') return { fault: 'The gateway does not send the body.' };
  return readGatewayBody(bytes, limits);
}

function structsOf(structs: CheckedMetadata | undefined): Record<string, Json> {
  const json: Record<string, Json> = Object.create(null);
  for (const [name, struct] of Object.entries(structs ?? {})) json[name] = jsonOfStruct(struct);
  return json;
}

type CheckedMetadata = Readonly<Record<string, Parameters<typeof jsonOfStruct>[0]>>;
