/** Requests that two readers could read differently, refused before anything else looks at them. */
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { VerdictError } from '../errors.js';

/** Headers that may occur once: Node keeps the first of two, and a proxy in front may have kept the last. */
const singleHeaders = ['host', 'content-type', 'content-encoding', 'origin'];
/** `singleHeaders` by the length of the name: one comparison finds whether a header is one of them. */
const singleHeaderByLength: readonly (string | undefined)[] = Array.from({ length: 32 }, (_, length) =>
  singleHeaders.find((name) => name.length === length),
);
const jsonType = /^application\/json[ \t]*(;|$)/i;
/** JSON is always UTF-8. A reader that followed another `charset` parameter would read other letters. */
const otherCharset = /;[ \t]*charset=(?!"?utf-8"?[ \t]*(;|$))/i;
/** A host of RFC 3986 section 3.2.2, and a port. */
const hostFormat = /^[\w.~!$&'()*+,;=%:[\]-]*$/;

/** Connections that end with a refusal. Bytes that still arrive on them are not read as requests and get no answer. */
export const refusedConnections = new WeakSet<object>();

/**
 * Refuses what Node's parser accepts and two readers could read differently: a version that is neither HTTP/1.0 nor
 * 1.1, a header that comes twice, no `Host` or a second one in the target, chunks in HTTP/1.0 (RFC 9112 section 6.1),
 * an encoded body (none is ever unpacked). The connection is closed, since two readers could disagree where its next
 * request begins.
 */
export function refusalOfAmbiguous(request: FastifyRequest, reply: FastifyReply): VerdictError | undefined {
  // A gateway that asks about a request passes its headers on, and not its body.
  const fault = faultOf(request.raw, request.routeOptions.config?.forGateways === true);
  if (fault === undefined) return undefined;
  refusedConnections.add(request.raw.socket);
  reply.header('connection', 'close');
  return new VerdictError('malformed_request', fault);
}

/**
 * A POST says that it is JSON though it has no body: a form of another site can send one without a body, and cannot send
 * that type. To be called after the gate was added, so that a stranger gets 401.
 */
export function wantContentType(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { 'content-type': type } = request.headers;
    if (request.method !== 'POST' || (type !== undefined && isJson(type)) || takesNoBody(request)) done();
    else done(notJson(type));
  });
}

function isJson(type: string): boolean {
  return type === 'application/json' || (jsonType.test(type) && !otherCharset.test(type));
}

/**
 * True for a route that reads no body: it answers 404 or 405 in any case, or answers a gateway, which passes on the
 * headers of another request.
 */
function takesNoBody({ is404, routeOptions: { config } }: FastifyRequest): boolean {
  return is404 || config.wrongMethod === true || config.forGateways === true;
}

export function notJson(type: string | undefined): VerdictError {
  const given = type === undefined ? 'and no content type was given' : `not ${type}`;
  return new VerdictError('malformed_request', `The body must be application/json, ${given}.`);
}

function faultOf(
  { httpVersionMajor, httpVersionMinor, headers, rawHeaders, url = '' }: IncomingMessage,
  forGateways: boolean,
): string | undefined {
  if (httpVersionMajor !== 1 || httpVersionMinor > 1) return 'Only HTTP/1.1 and HTTP/1.0 are spoken here.';
  const { host, 'transfer-encoding': transfer, 'content-encoding': coding } = headers;
  if (transfer !== undefined) {
    if (httpVersionMinor === 0) return 'HTTP/1.0 has no chunks.';
    if (transfer.toLowerCase() !== 'chunked') return 'No transfer coding but "chunked" is read.';
  }
  if (host === undefined ? httpVersionMinor === 1 : !hostFormat.test(host))
    return 'The header Host is missing or malformed.';
  if (!url.startsWith('/') && namesAnotherHost(url, host)) return 'The target and the header Host name two hosts.';
  if (!forGateways && coding !== undefined && coding.toLowerCase() !== 'identity')
    return 'No encoded body is unpacked.';
  const repeated = repeatedHeader(rawHeaders);
  return repeated === undefined ? undefined : `The header ${repeated} comes twice.`;
}

/** The first of `singleHeaders` that occurs twice. No two of them have names of the same length. */
function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  let seenLengths = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index]!;
    const name = singleHeaderByLength[raw.length];
    if (name === undefined || (raw !== name && raw.toLowerCase() !== name)) continue;
    const bit = 1 << name.length;
    if ((seenLengths & bit) !== 0) return name;
    seenLengths |= bit;
  }
  return undefined;
}

/** True if the target is absolute, `http://host/path` (RFC 9112 section 3.2.2), and its host is not that of `Host`. */
function namesAnotherHost(url: string, host: string | undefined): boolean {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url)?.[1];
  return authority !== undefined && authority.toLowerCase() !== host?.toLowerCase();
}
