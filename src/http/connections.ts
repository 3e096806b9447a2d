import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { callerKey } from '../auth/caller.js';

export interface UnreadLimits {
  /** Longest time that bytes of an answer may wait for their reader, in milliseconds. */
  readonly waitMs: number;
  /** Most bytes that may wait for all readers, and for those of one caller. */
  readonly bytes: number;
  readonly bytesOfCaller: number;
}

/** What is known of a connection that was ended because its answers were not read. */
export interface UnreadConnection {
  readonly caller: string;
  readonly address: string | undefined;
  readonly unsentBytes: number;
  readonly waitedMs: number;
}

interface Mark {
  /** Bytes given to the connection since it was opened. */
  readonly total: number;
  /** When they were all there. */
  readonly at: number;
}

interface Connection {
  readonly socket: HttpSocket;
  /** Those not known to be finished, oldest first; all but the first belong to requests that are not begun. */
  responses: ServerResponse[];
  /** The last one that was begun. */
  request: FastifyRequest | undefined;
  /** Of its caller, or of the one before. */
  callerKey: string;
  /** While bytes wait: how many there were at each look. The first is the oldest that has not left. */
  marks: Mark[];
  /** While the service stops: since when nothing has been asked, and how many bytes had come by then. */
  idle: { readonly since: number; readonly bytesRead: number } | undefined;
}

const connectionKey = Symbol('connection');
/** A socket as Node's HTTP server marks it, since Node 10. */
type HttpSocket = Socket & { _paused?: boolean; parser?: { resume?(): void } | null };
type WatchedSocket = HttpSocket & { [connectionKey]?: Connection };

/** Most requests of one connection that are not answered: more than one read brings, so that nobody who reads comes to it. */
const maxPipelined = 4_000;
/** A sum of unsent bytes is good for this long, in milliseconds. */
const ledgerMs = 50;
/** Bytes that waited less than this, in milliseconds, are not taken to be unread, however many there are. */
const readingMs = 1_000;
/** How often the time of waiting bytes is looked at, in milliseconds; where less is allowed, more often. */
const lookMs = 1_000;
/** While the service stops, a connection without a request for this long, in milliseconds, is closed. */
const idleMs = 1_000;
/** How long a client has to close its side once the service has closed its own, in milliseconds. */
const lingerMs = 1_000;

/**
 * The connections of a server, and what waits on them to be read.
 *
 * Node ends no connection whose reader has stopped reading: its answers stay in memory for ever, and where requests are
 * pipelined there are many. Here every byte of an answer has `waitMs` to leave this process; a reader who takes a byte now
 * and then gains nothing by it, and one who has been sent everything (a stream of events between two of them) is left alone.
 * What the kernel keeps for a reader has left.
 *
 * And a connection that the service closes is closed in two steps, so that an answer on its way is not lost: to close with
 * bytes unread makes the kernel send a reset, which takes the answer from a client that has not read it yet.
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
   * The listener for requests that begins one of each connection at a time: the next when the one before it is answered. By
   * itself Node begins all that one read brings, hundreds of pipelined requests, before anybody else is heard.
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
        begin(request, response);
        return;
      }
      if (responses.length > maxPipelined) {
        socket.destroy();
        return;
      }
      pauseReading(socket);
      before.once('close', () => {
        // Of a connection that has ended nothing more is begun.
        if (socket.destroyed) return;
        if (responses.at(-1) === response) resumeReading(socket);
        begin(request, response);
      });
    };
  }

  /** Says whose request it is that a connection carries. */
  carries(request: FastifyRequest): void {
    const connection = (request.raw.socket as WatchedSocket)[connectionKey];
    if (connection !== undefined) connection.request = request;
  }

  /** Whether more may be kept for a caller than it reads at once; `key` as `callerKey` makes it. */
  hasRoomFor(key: string): boolean {
    if (performance.now() - this.ledger.at > ledgerMs) this.count();
    const { total, byCaller } = this.ledger;
    return total < this.limits.bytes && (byCaller.get(key) ?? 0) < this.limits.bytesOfCaller;
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
    };
    socket[connectionKey] = connection;
    this.all.add(connection);
    socket.once('close', () => this.all.delete(connection));
    // By this Node closes a connection once its last answer is written.
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
        // A finished request is not kept for as long as its connection.
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

  /** With more unread than may be kept, who has waited longest goes first. */
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
   * Closes connections as they come to have nothing to answer: those that are busy after their answer, which says
   * `Connection: close`, the others when nothing has been asked on them for a while. A request that is on its way meanwhile
   * is answered.
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
    // What has come since is the beginning of a request.
    else if (idle.bytesRead === socket.bytesRead && now - idle.since >= idleMs) closeInTwoSteps(socket);
  }
}

/**
 * Reads no more than has been read, 64 KiB at most, until `resumeReading`. To pause the socket is not enough: Node resumes it
 * whenever a body is taken, unless it has paused it itself, for which it has a mark of its own. Where a version of Node has
 * none, `maxPipelined` is what holds.
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

/** Sends what is left and the end, reads on until the client's end comes, and only then, or after a while, closes. */
function closeInTwoSteps(socket: Socket): void {
  if (socket.destroyed) return;
  // Whatever comes now cannot be answered any more, and must not be read as a request.
  socket.removeAllListeners('data');
  socket.on('data', () => undefined);
  socket.resume();
  socket.end();
  const lingering = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(lingering));
}

/** How long the oldest byte has waited, to the exactness of the looks at it. */
function waitOn(connection: Connection, unsent: number, now: number): number {
  const { socket, marks } = connection;
  const left = socket.bytesWritten - socket.writableLength;
  while (marks.length > 0 && marks[0]!.total <= left) marks.shift();
  const total = left + unsent;
  if (marks.length === 0 || total > marks.at(-1)!.total) marks.push({ total, at: now });
  return now - marks[0]!.at;
}

/** What a connection holds, with the answers to later requests, which wait until the earlier ones are written. */
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
