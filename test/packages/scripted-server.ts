/** A server that answers as a test says, also in ways in which no service should; and a relay to a real one. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';

export interface Asked {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface ScriptedServer {
  readonly url: string;
  /** All that it was asked, in order. */
  readonly asked: Asked[];
  /** How many connections were opened to it. */
  readonly connections: () => number;
  stop(): Promise<void>;
}

/** @param answer writes what the client gets; what it does not end stays open */
export async function scripted(
  answer: (asked: Asked, response: ServerResponse, request: IncomingMessage) => void,
): Promise<ScriptedServer> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const one = { path: request.url!, headers: request.headers, body };
    asked.push(one);
    answer(one, response, request);
  });
  return { ...(await listening(server)), asked };
}

/** Passes bytes to a service and back, `most` of the answer at a time of each connection, and then breaks it off. */
export async function relay(to: string, most: () => number = () => Number.POSITIVE_INFINITY) {
  const { hostname, port } = new URL(to);
  const server = createTcpServer((client) => {
    const service = connect(Number(port), hostname);
    let left = most();
    client.pipe(service);
    service.on('data', (bytes) => {
      const part = bytes.subarray(0, Math.min(left, bytes.length));
      left -= part.length;
      client.write(part, () => {
        if (left <= 0) client.destroy();
      });
    });
    const end = () => {
      client.destroy();
      service.destroy();
    };
    for (const socket of [client, service]) socket.on('error', end).on('close', end);
  });
  return listening(server);
}

export async function listening(
  server: Server,
): Promise<{ url: string; connections: () => number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket.on('close', () => sockets.delete(socket)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  };
  return { url: `http://127.0.0.1:${port}`, connections: () => connections, stop };
}

export function sendJson(
  response: ServerResponse,
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
