import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { VerdictError } from '../errors.js';
import { problemOf, problemType } from './problem.js';
import { requestIdHeader, requestIdOf } from './request-ids.js';

/**
 * The port without TLS beside the one with it: a browser that looks for a page is sent there, everything else is refused.
 * Nothing is read but the first lines: a client that sends its key here has already lost it, and must not get an answer
 * that hides it.
 *
 * @param publicUrl where the service is, by configuration; `Host` is whatever the client says
 */
export function createPlainPort(publicUrl: () => string): Server {
  const server = createServer({ maxHeaderSize: 8 * 1024, requestTimeout: 5_000, headersTimeout: 5_000 });
  server.maxConnections = 1_000;
  server.keepAliveTimeout = 1;
  return server.on('request', (request, response) => answer(request, response, publicUrl()));
}

function answer(request: IncomingMessage, response: ServerResponse, publicUrl: string): void {
  response.setHeader('connection', 'close');
  if (isPageVisit(request)) {
    response.writeHead(308, { location: publicUrl + pathOf(request.url) }).end();
    return;
  }
  const requestId = requestIdOf(request.headers);
  const error = new VerdictError('forbidden', 'The service is reached over HTTPS alone.');
  response
    .writeHead(error.status, { 'content-type': problemType, [requestIdHeader]: requestId })
    .end(JSON.stringify(problemOf(error, requestId)));
}

function isPageVisit({ method, headers }: IncomingMessage): boolean {
  const hasCredential = headers.authorization !== undefined || headers['x-api-key'] !== undefined;
  return (method === 'GET' || method === 'HEAD') && !hasCredential && (headers.accept ?? '').includes('text/html');
}

/** A path and query of this site: `//elsewhere` and an absolute URL would lead away. */
function pathOf(url = '/'): string {
  return /^\/(?![/\\])[\x21-\x7e]*$/.test(url) ? url : '/';
}
