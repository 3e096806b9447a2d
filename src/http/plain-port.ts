import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { VerdictError } from '../errors.js';
import { problemOf, problemType } from './problem.js';
import { requestIdHeader, requestIdOf } from './request-ids.js';

/**
 * The port without TLS, beside the port with TLS. It redirects browsers that ask for a page and refuses everything
 * else. A client that sends its key here has exposed it; an answer would hide that.
 *
 * @param publicUrl where the service is, from the configuration: `Host` could be anything
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
