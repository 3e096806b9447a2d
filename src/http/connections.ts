import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { callerKey } from '../auth/caller.js';

export interface UnreadLimits {
  /** Longest time that bytes of an answer may wait for the client to read them, in milliseconds. */
  readonly waitMs: number;
  /** Most bytes that may wait to be read, for all clients (`bytes`) and for those of one caller (`bytesOfCaller`). */
  readonly bytes: number;
  readonly bytesOfCaller: number;
}

/** A connection that was closed because its answers were not read. */
export interface UnreadConnection {
  readonly caller: string;
  readonly address: string | undefined;
  readonly unsentBytes: number;
  readonly waitedMs: number;
}

interface Mark {
  /** Bytes given to the connection since it was opened. */
  readonly total: number;
  /** When the last of them was written. */
  readonly at: number;
}

interface Connection {
  readonly socket: HttpSocket;
  /** Answers that may be unfinished, oldest first. All but the first belong to requests that have not been started. */
  responses: ServerResponse[];
  /** The request that was started last. */
  request: FastifyRequest | undefined;
  /** The key of the current request's caller, or of the request before it. */
  callerKey: string;
  /** While bytes wait: how many there were at each look. The first mark is the oldest that has not left the process. */
  marks: Mark[];
  /** While the service stops: since when no request has arrived, and the number of bytes received until then. */
  idle: { readonly since: number; readonly bytesRead: number } | undefined;
  /** Whether its client is to close it after the next answer. */
  isReleased: boolean;
}

const connectionKey = Symbol('connection');
/** Marks that Node's HTTP server keeps on a socket, since Node 10. */
type HttpSocket = Socket & { _paused?: boolean; parser?: { resume?(): void } | null };
type WatchedSocket = HttpSocket & { [connectionKey]?: Connection };

/**
 * Most unanswered requests of one connection. One read of the socket brings fewer, so a client that reads its answers
 * does not reach it.
 */
const maxPipelined = 4_000;
/** How long a sum of unsent bytes is used again, in milliseconds. */
const ledgerMs = 50;
/** Bytes that waited less than this, in milliseconds, are not counted as unread. */
const readingMs = 1_000;
/** How often waiting bytes are looked at, in milliseconds; more often if `waitMs` is shorter. */
const lookMs = 1_000;
/** While the service stops, a connection without a request for this long, in milliseconds, is closed. */
const idleMs = 1_000;
/** How long a client has to close its side once the service has closed its own, in milliseconds. */
const lingerMs = 1_000;

/**
 * Watches the connections of a server and closes those whose clients do not read their answers (P10).
 *
 * Node ends no connection whose reader has stopped reading: its answers stay in memory for ever, and where requests are
 * pipelined there are many. Here every byte of an answer has `waitMs` to leave this process, so reading a byte now and
 * then does not help. A connection without unsent bytes, such as a stream between two events, stays open. Bytes in the
 * kernel's buffers have left the process.
 *
 * The service closes a connection in two steps. Closing a socket that has unread input makes the kernel send a reset,
 * and the client could lose an answer that it has not read yet.
 */
export class Connections {
  private readonly all = new Set<Connection>();
  private ledger: { readonly at: number; readonly total: number; readonly byCaller: ReadonlyMap<string, number> };
  private stopping = false;

  constructor(
    server: Server,
    private readonly limits: UnreadLimits,
    private readonly onUnread: (connection: UnreadConnection) => void = () => undefined,
  ) {
    this.ledger = { at: Number.NEGATIVE_INFINITY, total: 0, byCaller: new Map() };
    // TLS connections are sockets of their own, over those of 'connection'.
    const opened = 'setSecureContext' in server ? 'secureConnection' : 'connection';
    server.on(opened, (socket: Socket) => this.opened(socket));
    const looking = setInterval(() => this.look(), Math.min(lookMs, Math.ceil(limits.waitMs / 10))).unref();
    server.once('close', () => clearInterval(looking));
    // Node calls it when the server is closed, to cut what is idle, whatever the client may be about to send.
    server.closeIdleConnections = () => this.stop();
  }

  /**
   * Returns a request listener that starts the requests of one connection one after another, each when the one before
   * is answered. Node alone starts all pipelined requests that one read brings, hundreds of them, before another
   * connection is served.
   */
  inOrder(begin: RequestListener): RequestListener {
    return (request, response) => {
      const connection = (request.socket as WatchedSocket)[connectionKey];
      if (connection === undefined) {
        begin(request, response);
        return;
      }
      const { responses, socket } = connection;
      while (responses.length > 0 && isOver(responses[0]!)) responses.shift();
      const before = responses.at(-1);
      responses.push(response);
      connection.idle = undefined;
      if (before === undefined) {
        if (connection.isReleased) response.shouldKeepAlive = false;
        begin(request, response);
        return;
      }
      if (responses.length > maxPipelined) {
        socket.destroy();
        return;
      }
      pauseReading(socket);
      before.once('close', () => {
        // No further request is started on a closed connection.
        if (socket.destroyed) return;
        if (responses.at(-1) === response) resumeReading(socket);
        begin(request, response);
      });
    };
  }

  /** Notes which request a connection carries. */
  carries(request: FastifyRequest): void {
    const connection = (request.raw.socket as WatchedSocket)[connectionKey];
    if (connection !== undefined) connection.request = request;
  }

  /**
   * True if long answers may be made for a caller: its unread bytes are within its bound. `key` is from `callerKey`.
   */
  hasRoomFor(key: string): boolean {
    if (performance.now() - this.ledger.at > ledgerMs) this.count();
    const { total, byCaller } = this.ledger;
    return total < this.limits.bytes && (byCaller.get(key) ?? 0) < this.limits.bytesOfCaller;
  }

  /** Connections that are open. */
  get open(): number {
    return this.all.size;
  }

  /**
   * Has this many connections closed, each with the answer to its next request, which says `Connection: close`. Those that wait
   * for it already count.
   */
  release(count: number): void {
    let left = count;
    for (const connection of this.all) if (connection.isReleased) left--;
    for (const connection of this.all) {
      if (left <= 0) return;
      if (connection.isReleased) continue;
      connection.isReleased = true;
      left--;
    }
  }

  /** Bytes of answers that wait to be read. */
  get unsentBytes(): number {
    this.count();
    return this.ledger.total;
  }

  private opened(socket: WatchedSocket): void {
    const connection: Connection = {
      socket,
      responses: [],
      request: undefined,
      callerKey: '',
      marks: [],
      idle: undefined,
      isReleased: false,
    };
    socket[connectionKey] = connection;
    this.all.add(connection);
    socket.once('close', () => this.all.delete(connection));
    // Node calls it to close a connection after the last answer.
    socket.destroySoon = () => closeInTwoSteps(socket);
  }

  private count(): void {
    let total = 0;
    const byCaller = new Map<string, number>();
    for (const connection of this.all) {
      const unsent = unsentOn(connection);
      if (unsent === 0) continue;
      total += unsent;
      const key = callerOn(connection);
      byCaller.set(key, (byCaller.get(key) ?? 0) + unsent);
    }
    this.ledger = { at: performance.now(), total, byCaller };
  }

  private look(): void {
    const now = performance.now();
    const { waitMs } = this.limits;
    const waiting: { connection: Connection; unsent: number; waitedMs: number }[] = [];
    for (const connection of this.all) {
      const unsent = unsentOn(connection);
      if (unsent === 0) {
        connection.marks = [];
        // A finished request would otherwise stay in memory as long as its connection.
        if (connection.responses.every(isOver)) {
          callerOn(connection);
          connection.responses = [];
          connection.request = undefined;
        }
        continue;
      }
      const waitedMs = waitOn(connection, unsent, now);
      if (waitedMs >= waitMs) this.end(connection, unsent, waitedMs);
      else if (waitedMs >= readingMs) waiting.push({ connection, unsent, waitedMs });
    }
    this.endBeyondBounds(waiting);
  }

  /** While more bytes are unread than the bound allows, closes the connection that has waited longest. */
  private endBeyondBounds(waiting: { connection: Connection; unsent: number; waitedMs: number }[]): void {
    this.count();
    let { total } = this.ledger;
    const byCaller = new Map(this.ledger.byCaller);
    waiting.sort((a, b) => b.waitedMs - a.waitedMs);
    for (const { connection, unsent, waitedMs } of waiting) {
      const key = callerOn(connection);
      const ofCaller = byCaller.get(key) ?? 0;
      if (total <= this.limits.bytes && ofCaller <= this.limits.bytesOfCaller) continue;
      total -= unsent;
      byCaller.set(key, ofCaller - unsent);
      this.end(connection, unsent, waitedMs);
    }
  }

  private end(connection: Connection, unsentBytes: number, waitedMs: number): void {
    const { socket } = connection;
    this.onUnread({
      caller: callerOn(connection),
      address: socket.remoteAddress,
      unsentBytes,
      waitedMs: Math.round(waitedMs),
    });
    socket.destroy();
  }

  /**
   * Closes each connection when it has nothing to answer: a busy one after its answer, which says `Connection: close`,
   * an idle one after `idleMs` without a request. A request that arrives meanwhile is answered.
   */
  private stop(): void {
    if (this.stopping) return;
    this.stopping = true;
    const closing = setInterval(() => {
      for (const connection of this.all) this.closeIfIdle(connection);
      if (this.all.size === 0) clearInterval(closing);
    }, 50).unref();
  }

  private closeIfIdle(connection: Connection): void {
    const { socket, responses, idle } = connection;
    if (socket.writableEnded || !responses.every(isOver)) return;
    const now = performance.now();
    if (idle === undefined) connection.idle = { since: now, bytesRead: socket.bytesRead };
    // Bytes that arrived since then are the beginning of a request.
    else if (idle.bytesRead === socket.bytesRead && now - idle.since >= idleMs) closeInTwoSteps(socket);
  }
}

/**
 * Stops reading from the socket until `resumeReading`; at most 64 KiB have been read ahead. Pausing the socket is not
 * enough: Node resumes it whenever a body is read, unless its own mark says that Node paused it. In a version of Node
 * without that mark, `maxPipelined` is the bound.
 */
function pauseReading(socket: HttpSocket): void {
  socket._paused = true;
  socket.pause();
}

function resumeReading(socket: HttpSocket): void {
  socket._paused = false;
  socket.parser?.resume?.();
  socket.resume();
}

/**
 * Sends what is left and the end of the stream, then closes when the client has closed its side, or after `lingerMs`.
 */
function closeInTwoSteps(socket: Socket): void {
  if (socket.destroyed) return;
  // Later input cannot be answered and must not be read as a request.
  socket.removeAllListeners('data');
  socket.on('data', () => undefined);
  socket.resume();
  socket.end();
  const lingering = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(lingering));
}

/** How long the oldest unsent byte has waited, in milliseconds, as exactly as `lookMs` allows. */
function waitOn(connection: Connection, unsent: number, now: number): number {
  const { socket, marks } = connection;
  const left = socket.bytesWritten - socket.writableLength;
  while (marks.length > 0 && marks[0]!.total <= left) marks.shift();
  const total = left + unsent;
  if (marks.length === 0 || total > marks.at(-1)!.total) marks.push({ total, at: now });
  return now - marks[0]!.at;
}

/** Unsent bytes of a connection, including answers to later requests, which wait until the earlier ones are written. */
function unsentOn({ socket, responses }: Connection): number {
  let unsent = socket.writableLength;
  for (const response of responses) if (response.socket === null) unsent += response.writableLength;
  return unsent;
}

function isOver(response: ServerResponse): boolean {
  return response.writableFinished || response.destroyed;
}

function callerOn(connection: Connection): string {
  const { request } = connection;
  // Undefined until the gate has established it.
  if (request?.caller !== undefined) connection.callerKey = callerKey(request.caller, request.ip);
  return connection.callerKey;
}
