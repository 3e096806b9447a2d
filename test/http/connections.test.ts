/** Readers who do not read, and connections that are closed while somebody is about to. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { anonymous, callerKey } from '../../src/auth/caller.js';
import { Connections, type UnreadConnection, type UnreadLimits } from '../../src/http/connections.js';
import { makeAuthority } from '../security/certificates.js';

const limits: UnreadLimits = { waitMs: 300, bytes: 1 << 30, bytesOfCaller: 1 << 30 };
const megabyte = Buffer.alloc(1024 * 1024, 'x');

let server: Server;
let connections: Connections;
let unread: UnreadConnection[];
/** Requests that were worked on. */
let begun: number;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Serves as many megabytes as the path says, at once; `/slow` begins its answer and has nothing more to send. */
async function serve(own: Partial<UnreadLimits> = {}, made: Server = createServer()): Promise<number> {
  server = made;
  unread = [];
  begun = 0;
  connections = new Connections(server, { ...limits, ...own }, (connection) => unread.push(connection));
  const begin = connections.inOrder((request, response) => {
    begun++;
    connections.carries({ raw: request, caller: anonymous, ip: '127.0.0.1' } as unknown as FastifyRequest);
    if (request.url === '/slow') response.write('x');
    else response.end(Buffer.concat(Array(Number(request.url!.slice(1))).fill(megabyte)));
  });
  server.on('request', begin);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function ask(socket: Socket, ...paths: string[]): Socket {
  sockets.push(socket);
  socket.on('error', () => undefined);
  socket.write(paths.map((path) => `GET /${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  return socket;
}
const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

describe('a connection whose answers are not read', () => {
  it('is ended when bytes have waited too long', async () => {
    const port = await serve();
    ask(connect(port, '127.0.0.1').pause(), '32');
    await expect.poll(() => unread.length).toBe(1);
    expect(unread[0]!.unsentBytes).toBeGreaterThan(1024 * 1024);
    expect(unread[0]!.waitedMs).toBeGreaterThanOrEqual(300);
    await expect.poll(() => connections.unsentBytes).toBe(0);
  });

  it('is ended where TLS is spoken', async () => {
    const { cert, key } = await (await makeAuthority('Test')).issue('localhost', { server: true });
    const port = await serve({}, createTlsServer({ cert, key }));
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    ask(socket.pause(), '32');
    await expect.poll(() => unread.length, { timeout: 5_000 }).toBe(1);
  });

  it('is ended where the requests are pipelined, and only the first of them is worked on', async () => {
    const port = await serve();
    ask(connect(port, '127.0.0.1').pause(), ...Array<string>(40).fill('16'));
    await expect.poll(() => unread.length).toBe(1);
    await expect.poll(() => connections.unsentBytes).toBe(0);
    expect(begun).toBe(1);
  });

  it('is ended though it takes a byte now and then', async () => {
    const port = await serve();
    const socket = ask(connect(port, '127.0.0.1').pause(), '32');
    const drip = setInterval(() => socket.read(1), 20);
    await expect.poll(() => unread.length).toBe(1);
    clearInterval(drip);
  });

  it('is left alone while it has nothing to read, and when it was slow in time', async () => {
    const port = await serve({ waitMs: 3_000 });
    const waiting = ask(connect(port, '127.0.0.1'), 'slow');
    await once(waiting, 'data');
    const reader = ask(connect(port, '127.0.0.1').pause(), '32');
    await expect.poll(() => connections.unsentBytes).toBeGreaterThan(1024 * 1024);
    reader.resume();
    await expect.poll(() => connections.unsentBytes).toBe(0);
    await delay(3_500);
    expect(unread).toEqual([]);
    expect([waiting.destroyed, reader.destroyed]).toEqual([false, false]);
  });
});

describe('pipelined requests', () => {
  it('are answered in order, each when the one before it is, and bodies among them are read', async () => {
    const port = await serve();
    const order: string[] = [];
    server.removeAllListeners('request').on(
      'request',
      connections.inOrder(async (request, response) => {
        order.push(`begin ${request.url}`);
        let length = 0;
        for await (const chunk of request) length += chunk.length;
        order.push(`end ${request.url} ${length}`);
        response.end('x');
      }),
    );
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    const body = 'y'.repeat(300_000);
    const post = (path: string) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    socket.write(post('/1') + post('/2') + post('/3'));
    let answers = 0;
    socket.on('data', (chunk) => {
      answers += String(chunk).split('HTTP/1.1 200').length - 1;
    });
    await expect.poll(() => answers).toBe(3);
    expect(order).toEqual([1, 2, 3].flatMap((n) => [`begin /${n}`, `end /${n} ${body.length}`]));
  });

  it('of any number are all answered to a client that reads', async () => {
    const port = await serve();
    const socket = ask(connect(port, '127.0.0.1'), ...Array<string>(10_000).fill('0'));
    let answers = 0;
    let rest = '';
    socket.on('data', (chunk) => {
      const text = rest + chunk;
      answers += text.split('HTTP/1.1 200').length - 1;
      rest = text.slice(-11);
      if (rest.includes('HTTP/1.1 20')) rest = rest.slice(rest.lastIndexOf('H'));
    });
    await expect.poll(() => answers, { timeout: 20_000 }).toBe(10_000);
  });
});

describe('bytes that wait to be read', () => {
  it('are bounded per caller and in all', async () => {
    const key = callerKey(anonymous, '127.0.0.1');
    const port = await serve({ waitMs: 60_000, bytesOfCaller: 16 * 1024 * 1024 });
    expect(connections.hasRoomFor(key)).toBe(true);
    ask(connect(port, '127.0.0.1').pause(), '40');
    await expect.poll(() => connections.hasRoomFor(key)).toBe(false);
    expect(connections.hasRoomFor('key other')).toBe(true);
    await expect.poll(() => unread.length, { timeout: 5_000 }).toBe(1);
    await expect.poll(() => connections.hasRoomFor(key)).toBe(true);
  });

  it('beyond the bounds are those of the connections that have waited longest', async () => {
    const port = await serve({ waitMs: 60_000, bytes: 32 * 1024 * 1024 });
    ask(connect(port, '127.0.0.1').pause(), '30');
    await expect.poll(() => connections.unsentBytes).toBeGreaterThan(16 * 1024 * 1024);
    await delay(1_100);
    const newer = ask(connect(port, '127.0.0.1').pause(), '30');
    await expect.poll(() => connections.hasRoomFor('key other')).toBe(false);
    await expect.poll(() => unread.length, { timeout: 5_000 }).toBe(1);
    await delay(1_500);
    expect(unread).toHaveLength(1);
    expect(newer.destroyed).toBe(false);
    expect(connections.hasRoomFor('key other')).toBe(true);
  });
});

describe('a server that closes', () => {
  it('lets a client read its answer that is still sending, and hears no more requests from it', async () => {
    const port = await serve();
    let asked = 0;
    server.on('request', () => asked++);
    server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'));
    const socket = ask(connect(port, '127.0.0.1').pause(), '4');
    await expect.poll(() => asked).toBe(1);
    // To close with bytes unread would make the kernel send a reset, and the client lose what it has not read.
    for (let n = 0; n < 20; n++) socket.write('GET /1 HTTP/1.1\r\nHost: x\r\n\r\n');
    let length = 0;
    let failed: Error | undefined;
    socket.on('error', (error) => {
      failed = error;
    });
    socket.on('data', (chunk) => {
      length += chunk.length;
    });
    const end = once(socket, 'end');
    socket.resume();
    await end;
    expect(failed).toBeUndefined();
    expect(length).toBeGreaterThan(4 * 1024 * 1024);
  });

  it('closes a connection that asks nothing, and answers one that still does', async () => {
    const port = await serve();
    const idle = ask(connect(port, '127.0.0.1'), '0');
    const late = ask(connect(port, '127.0.0.1'), '0');
    await Promise.all([once(idle, 'data'), once(late, 'data')]);
    const ended = once(idle, 'end');
    const stopped = new Promise((resolve) => server.close(resolve));
    await delay(500);
    late.write('GET /0 HTTP/1.1\r\nHost: x\r\n\r\n');
    const [answer] = await once(late, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200/);
    await ended;
    await closed(late);
    await stopped;
    expect(unread).toEqual([]);
  });
});

describe('a connection that is released', () => {
  it('is closed with the answer to its next request, and counts as released until then', async () => {
    const port = await serve();
    const idle = connect(port, '127.0.0.1');
    sockets.push(idle);
    const busy = connect(port, '127.0.0.1');
    sockets.push(busy);
    await expect.poll(() => connections.open).toBe(2);
    connections.release(1);
    connections.release(1);
    let text = '';
    for (const socket of [idle, busy]) {
      socket.on('data', (chunk) => {
        text += String(chunk);
      });
      ask(socket, '0');
    }
    await expect.poll(() => connections.open).toBe(1);
    expect(text.match(/Connection: close/g)).toHaveLength(1);
    expect(text.match(/HTTP\/1.1 200 OK/g)).toHaveLength(2);
    connections.release(2);
    for (const socket of [idle, busy]) if (!socket.destroyed && socket.writable) ask(socket, '0');
    await expect.poll(() => connections.open).toBe(0);
    expect(text.match(/HTTP\/1.1 200 OK/g)).toHaveLength(3);
  });
});
