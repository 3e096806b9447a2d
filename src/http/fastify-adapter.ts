/** The HTTP server below Nest: limits, time-outs, strict bodies, request ids; all of it before any route. */
import type { RequestListener, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type FastifyHttpOptions, type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import type { Json } from '../core/request.js';
import { VerdictError } from '../errors.js';
import type { Tracing } from '../telemetry/request-span.js';
import { notJson, refusalOfAmbiguous, refusedConnections } from './ambiguous-requests.js';
import { Connections, type UnreadLimits } from './connections.js';
import type { HttpLimits } from './http-limits.js';
import { asVerdictError, problemOf, problemType, sendProblem } from './problem.js';
import { requestIdHeader, requestIdOf, traceOf } from './request-ids.js';
import { refusalOfTarget, routableTarget } from './request-target.js';
import { parseBatchBody, parseBodyOfLists, parseStrictJson, parseStrictJsonInTurns } from './strict-json.js';

declare module 'fastify' {
  interface FastifyInstance {
    readonly connections: Connections;
  }
}

/** Content type of any bytes, for routes whose operation says that they take some. Generators of clients know this one. */
export const bytesType = 'application/octet-stream';
/** Content types of the bytes that such routes take: they are archives. */
const byteTypes = [bytesType, 'application/x-tar'];

/** How clients reach the listener. */
export interface ListenerOptions {
  /** Certificate, key and related files. Without them the listener speaks plain HTTP. */
  readonly tls: TlsOptions | undefined;
  /** Proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  readonly maxConnections: number;
  readonly unread: UnreadLimits;
}

/** Levels of a body above its deepest attributes: body, `records`, item, `request`, subject. */
const levelsAboveAttributes = 5;

/**
 * Most values of a body that are not attributes: members of the request itself, and unknown ones that AuthZEN ignores.
 */
const otherValues = 2_000;
/** Bodies longer than this, in bytes, are parsed in turns. */
const atOnceBytes = 64 * 1024;

const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
/**
 * Longer than load balancers keep idle connections open (60 s is common): the balancer closes first, so no request
 * meets a closed connection.
 */
const keepAliveMs = 72_000;
/**
 * How often Node looks for connections beyond their time limits, in milliseconds. Its default of 30 s would add as much
 * to each limit.
 */
const checkTimeoutsMs = 2_000;
const beyondAscii = /[^\x20-\x7e]/;
const maxHeaderBytes = 16 * 1024;

export function createFastifyAdapter(
  limits: HttpLimits,
  { tls, trustedProxies, maxConnections, unread }: ListenerOptions,
  logger: Logger,
  tracing?: Tracing,
): FastifyAdapter {
  const logsRequests = logger.isLevelEnabled('debug');
  const serverOptions = {
    headersTimeout: headersTimeoutMs,
    maxHeaderSize: maxHeaderBytes,
    // `ambiguous-requests.ts` checks it, so that the answer is a problem document.
    requireHostHeader: false,
    connectionsCheckingInterval: checkTimeoutsMs,
  };
  const options: FastifyHttpOptions<Server> = {
    loggerInstance: logger,
    // A line and a child logger per request would cost more than the decision, and the decision log already has them.
    logController: new LogController({ disableRequestLogging: !logsRequests }),
    childLoggerFactory: (parent, bindings, _options, { headers }) =>
      logsRequests ? parent.child({ ...bindings, ...traceOf({ headers }) }) : parent,
    genReqId: ({ headers }) => requestIdOf(headers),
    bodyLimit: limits.bodyBytes,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    rewriteUrl: ({ url = '' }) => routableTarget(url),
    routerOptions: { maxParamLength: limits.idLength },
    // While the service stops, a request on an open connection is answered before the connection is closed.
    return503OnClosing: false,
    forceCloseConnections: false,
    clientErrorHandler: answerMalformedHttp,
    // For what the router refuses before any hook or filter runs: a parameter that is too long.
    frameworkErrors: (error, request, reply) => sendProblem(reply, asVerdictError(error), request.id),
  };
  const withServer = tls === undefined ? { http: serverOptions } : { https: { ...serverOptions, ...tls } };
  // No Express middleware is used, and the plugin that runs it costs time on every request (`skipMiddie`). Fastify's
  // types tell the two servers apart; nothing here depends on which it is.
  const allOptions = { ...options, ...withServer, skipMiddie: true } as unknown as FastifyHttpOptions<Server>;
  const adapter = new FastifyAdapter(allOptions);
  const fastify = adapter.getInstance() as FastifyInstance;
  fastify.server.maxConnections = maxConnections;
  // "100-continue" is answered by Node; by itself it would answer anything else with 417 and no body.
  fastify.server.on('checkExpectation', (request, response) => {
    const id = requestIdOf(request.headers);
    const error = new VerdictError('malformed_request', 'No expectation but "100-continue" is met.');
    response.writeHead(error.status, { 'content-type': problemType, [requestIdHeader]: id, connection: 'close' });
    response.end(JSON.stringify(problemOf(error, id)));
  });
  const connections = new Connections(fastify.server, unread, (connection) =>
    logger.warn(connection, 'a connection was ended: its answers were not read'),
  );
  fastify.decorate('connections', connections);
  // Fastify's own listener is the only one.
  const [begin] = fastify.server.listeners('request') as [RequestListener];
  fastify.server.removeAllListeners('request').on('request', connections.inOrder(begin));
  if (tracing !== undefined) fastify.decorateRequest('span');
  fastify.addHook('onRequest', (request, reply, done) => {
    tracing?.begin(request, reply);
    reply.header(requestIdHeader, request.id);
    connections.carries(request);
    done(refusalOfAmbiguous(request, reply) ?? refusalOfTarget(request));
  });
  // Node writes headers that go out together with a text in the text's encoding, UTF-8; on their own they are Latin-1.
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    if (typeof payload === 'string' && beyondAscii.test(request.id)) done(null, Buffer.from(payload));
    else done();
  });
  takeBodies(fastify, limits);
  return adapter;
}

/** JSON, and bytes where a route takes them; nothing else. */
function takeBodies(fastify: FastifyInstance, limits: HttpLimits): void {
  const { attributeDepth, attributeMembers, attributeElements, batchItems: items, bodyBytes: bytes } = limits;
  const depth = attributeDepth + levelsAboveAttributes;
  // The scan also counts brackets, and members that routes ignore. Attributes within their own limits are within these.
  const ofQuestions = { depth, values: 2 * (attributeMembers + attributeElements) + otherValues };
  const ofOthers = { depth, values: otherValues };
  const ofBatches = { ...ofQuestions, items, bytes };
  fastify.removeAllContentTypeParsers();
  fastify.decorateRequest('bodyBytes', 0);
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    request.bodyBytes = body.length;
    if (body.length === 0 && request.routeOptions.config.bodyOptional === true) {
      done(null, undefined);
      return;
    }
    const { config, schema } = request.routeOptions;
    // Routes of controllers, which have no schema here, take small bodies and spend more on each member.
    const { lists } = config;
    const ofRoute = schema?.body === undefined ? ofOthers : ofQuestions;
    const scanLimits = lists === undefined ? ofRoute : { depth: lists.depth, values: lists.values };
    if (config.list === undefined && body.length <= atOnceBytes) {
      try {
        done(null, parseStrictJson(body as Buffer, scanLimits));
      } catch (error) {
        done(error as VerdictError);
      }
      return;
    }
    const parse = (): Promise<Json> => {
      if (config.list !== undefined) return parseBatchBody(body as Buffer, ofBatches, config.list);
      return lists === undefined
        ? parseStrictJsonInTurns(body as Buffer, scanLimits)
        : parseBodyOfLists(body as Buffer, { ...lists, bytes });
    };
    parse().then((value) => done(null, value), done);
  });
  fastify.addContentTypeParser(byteTypes, { parseAs: 'buffer' }, (request, body, done) => {
    request.bodyBytes = body.length;
    if (request.routeOptions.config.operation?.bytes !== undefined) done(null, body);
    else done(notJson(request.headers['content-type']));
  });
  fastify.addContentTypeParser('*', (request, _payload, done) => done(notJson(request.headers['content-type'])));
}

/** Answers bytes that are not HTTP, which never reach a route, with a problem document. */
function answerMalformedHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // Bytes behind a request that closes its connection. That request has its answer; they get none.
  if (error.code === 'HPE_CLOSED_CONNECTION' || refusedConnections.has(socket)) {
    socket.end();
    return;
  }
  const problem = problemOf(
    new VerdictError(
      'malformed_request',
      error.code === 'HPE_HEADER_OVERFLOW'
        ? 'The headers are too large.'
        : 'The request is not HTTP/1.1, or came too slowly.',
    ),
    requestIdOf({}),
  );
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: ${problemType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
