/** A `CheckRequest` as JSON, as Envoy logs it and `grpcurl` takes it, in camel case or as the proto writes its names. */
import type { Json, JsonObject } from '../../core/request.js';
import type { CheckRequest } from './grpc/check-protocol.js';
import { structOf } from './grpc/proto-json.js';

/**
 * Reads a check. Names that no member has are ignored, as the JSON of protos is read.
 *
 *     checkOfJson({ attributes: { request: { http: { method: 'GET', path: '/orders' } } } })
 *
 * @throws Error with a sentence for a member of a wrong type
 */
export function checkOfJson(json: Json): CheckRequest {
  const attributes = memberOf(objectOf(json, 'the check'), 'attributes');
  if (attributes === undefined) return {};
  const source = memberOf(attributes, 'source');
  const address = source && memberOf(source, 'address');
  const socketAddress = address && memberOf(address, 'socketAddress');
  const request = memberOf(attributes, 'request');
  const http = request && memberOf(request, 'http');
  return {
    attributes: {
      source: {
        address: { socketAddress: { address: (socketAddress && textOf(socketAddress, 'address')) ?? '' } },
        principal: (source && textOf(source, 'principal')) ?? '',
      },
      request: { http: http === undefined ? null : httpOf(http) },
      contextExtensions: textsOf(attributes, 'contextExtensions'),
      metadataContext: metadataOf(attributes, 'metadataContext'),
      routeMetadataContext: metadataOf(attributes, 'routeMetadataContext'),
    },
  };
}

function httpOf(http: JsonObject) {
  const listed = readMember(memberOf(http, 'headerMap') ?? {}, 'headers') ?? [];
  if (!Array.isArray(listed)) throw new Error('headerMap.headers must be a list');
  return {
    method: textOf(http, 'method') ?? '',
    path: textOf(http, 'path') ?? '',
    host: textOf(http, 'host') ?? '',
    scheme: textOf(http, 'scheme') ?? '',
    body: textOf(http, 'body') ?? '',
    rawBody: bytesOf(http, 'rawBody'),
    headers: textsOf(http, 'headers'),
    headerMap: {
      headers: listed.map((item) => {
        const header = objectOf(item, 'a header');
        return {
          key: textOf(header, 'key') ?? '',
          value: textOf(header, 'value') ?? '',
          rawValue: bytesOf(header, 'rawValue'),
        };
      }),
    },
  };
}

function metadataOf(
  json: JsonObject,
  name: string,
): { readonly filterMetadata: Record<string, ReturnType<typeof structOf>> } {
  const filters = memberOf(memberOf(json, name) ?? {}, 'filterMetadata') ?? {};
  return {
    filterMetadata: Object.fromEntries(
      Object.entries(filters).map(([filter, struct]) => [filter, structOf(objectOf(struct, filter))]),
    ),
  };
}

/** The member `rawBody`, or `raw_body`. */
function readMember(json: JsonObject, name: string): Json | undefined {
  const asInProto = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  for (const each of [name, asInProto]) if (Object.hasOwn(json, each)) return json[each];
  return undefined;
}

function memberOf(json: JsonObject, name: string): JsonObject | undefined {
  const value = readMember(json, name);
  return value === undefined || value === null ? undefined : objectOf(value, name);
}

function objectOf(value: Json | undefined, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new Error(`${what} must be an object`);
}

function textOf(json: JsonObject, name: string): string | undefined {
  const value = readMember(json, name);
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined;
  throw new Error(`${name} must be a text`);
}

function textsOf(json: JsonObject, name: string): Record<string, string> {
  const texts: Record<string, string> = {};
  const object = memberOf(json, name) ?? {};
  for (const key of Object.keys(object)) texts[key] = textOf(object, key) ?? '';
  return texts;
}

/** Bytes are base64 in the JSON of protos. */
function bytesOf(json: JsonObject, name: string): Buffer {
  return Buffer.from(textOf(json, name) ?? '', 'base64');
}
