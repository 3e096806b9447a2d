/** A network between a replica and its server: TCP on loopback, which a test slows, silences and cuts. */
import { once } from 'node:events';
import { createServer, type Server, type Socket, connect as tcp } from 'node:net';
import { onTestFinished } from 'vitest';

type Pair = readonly [near: Socket, far: Socket];

export class Link {
  private readonly pairs = new Set<Pair>();
  private readonly lost = new Set<Pair>();
  private state: 'open' | 'silent' | 'cut' = 'open';
  private delayMs = 0;

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {}

  /** Opens a link to this port of loopback; it goes when the test ends. */
  static async to(target: number): Promise<Link> {
    const server = createServer();
    const link = new Link(server, target);
    server.on('connection', (near) => link.accept(near));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      link.dropAll();
    });
    return link;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  /** The same URL, by this link. */
  through(url: string): string {
    return url.replace(`:${this.target}/`, `:${this.port}/`);
  }

  /** Each piece of data arrives so many milliseconds later, in both directions. */
  slow(ms: number): void {
    this.delayMs = ms;
  }

  /** No byte passes any more and nobody is told, as when a cable is pulled. */
  silence(): void {
    this.state = 'silent';
  }

  /** Every connection is dropped, and new ones are. */
  cut(): void {
    this.state = 'cut';
    this.dropAll();
  }

  /** New connections work. Those that were silent stay so for ever: each side believes in the other. */
  open(): void {
    if (this.state === 'silent') for (const pair of this.pairs) this.lost.add(pair);
    this.state = 'open';
    this.delayMs = 0;
  }

  private accept(near: Socket): void {
    if (this.state === 'cut') return void near.destroy();
    const far = tcp(this.target, '127.0.0.1');
    const pair = [near, far] as const;
    this.pairs.add(pair);
    this.pass(near, far, pair);
    this.pass(far, near, pair);
  }

  private pass(from: Socket, to: Socket, pair: Pair): void {
    const isHeld = () => this.state === 'silent' || this.lost.has(pair);
    const waiting: Buffer[] = [];
    from.setNoDelay(true);
    from.on('data', (chunk) => {
      if (isHeld()) return;
      if (this.delayMs === 0 && waiting.length === 0) return void to.write(chunk);
      waiting.push(chunk);
      setTimeout(() => {
        const next = waiting.shift()!;
        if (!isHeld() && to.writable) to.write(next);
      }, this.delayMs);
    });
    from.on('error', () => undefined);
    from.on('close', () => {
      // By a silent link the other side hears nothing.
      if (isHeld()) return;
      this.pairs.delete(pair);
      to.destroy();
    });
  }

  private dropAll(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
    this.pairs.clear();
    this.lost.clear();
  }
}
