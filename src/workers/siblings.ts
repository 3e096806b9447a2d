import cluster from 'node:cluster';
import type { FromPrimary, FromWorker, WorkerCounts, WorkerPlace } from './messages.js';

/** What all workers answered to one question. */
export interface AllAnswers<T> {
  /** In the order of the workers. A worker that did not answer in time is left out. */
  readonly answers: readonly { readonly worker: number; readonly value: T }[];
  readonly counts: WorkerCounts;
}

/** One question that every worker answers. */
export interface WorkersQuestion<T> {
  /** What this worker says. */
  own(): Promise<T>;

  /** Asks all workers; undefined where there is one process alone, or the primary does not answer. */
  ask(): Promise<AllAnswers<T> | undefined>;
}

/** The channel to the primary. */
export interface PrimaryChannel {
  send(message: FromWorker): void;
  listen(hear: (message: FromPrimary) => void): void;
}

/** The connections of clients to this worker. */
export interface OwnConnections {
  readonly open: number;
  /** Lets clients close some, and open others. */
  release(count: number): void;
}

/** How often a worker says how many connections it has, in milliseconds. */
const balanceMs = 1_000;
/** How long a worker waits for the primary, in milliseconds; the primary itself waits less for the others. */
const patienceMs = 3_000;

/**
 * The other workers of this service. A caller's connection ends at one of them, but what it asks about, such as the metrics
 * and the health, is the whole service.
 *
 *     const scrape = siblings.question('metrics', () => registry.getMetricsAsJSON());
 *     await scrape.ask();   // undefined in a service of one process
 */
export class Siblings {
  private readonly topics = new Map<string, () => Promise<unknown>>();
  private readonly waiting = new Map<number, (answers: AllAnswers<unknown> | undefined) => void>();
  private lastQuestion = 0;
  private ownPlace: WorkerPlace | undefined;
  private connections: OwnConnections | undefined;

  constructor(private readonly primary: PrimaryChannel | undefined = channelToPrimary()) {
    primary?.listen((message) => this.hear(message));
    primary?.send({ kind: 'listening' });
  }

  /** True if this process is one of several workers. */
  get areThere(): boolean {
    return this.primary !== undefined;
  }

  /** Which worker this process is; undefined where it is none, or has not been told yet. */
  get place(): WorkerPlace | undefined {
    return this.ownPlace;
  }

  /** Declares how this worker answers a question, and returns the way to ask all of them. */
  question<T>(topic: string, answer: () => Promise<T>): WorkersQuestion<T> {
    this.topics.set(topic, answer);
    return { own: answer, ask: () => this.ask(topic) as Promise<AllAnswers<T> | undefined> };
  }

  /** From now on the workers have about as many connections each. Returns what ends that. */
  balance(connections: OwnConnections): () => void {
    const { primary } = this;
    if (primary === undefined) return () => undefined;
    this.connections = connections;
    const timer = setInterval(() => primary.send({ kind: 'connections', count: connections.open }), balanceMs).unref();
    return () => clearInterval(timer);
  }

  private ask(topic: string): Promise<AllAnswers<unknown> | undefined> {
    const { primary } = this;
    if (primary === undefined) return Promise.resolve(undefined);
    const question = ++this.lastQuestion;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.waiting.get(question)?.(undefined), patienceMs).unref();
      this.waiting.set(question, (answers) => {
        clearTimeout(timer);
        this.waiting.delete(question);
        resolve(answers);
      });
      primary.send({ kind: 'ask', question, topic });
    });
  }

  private hear(message: FromPrimary): void {
    if (message.kind === 'answers') this.waiting.get(message.question)?.(message);
    else if (message.kind === 'placed') this.ownPlace = message;
    else if (message.kind === 'release') this.connections?.release(message.count);
    else void this.answer(message);
  }

  /** A question that cannot be answered is left open: the primary goes on without this worker. */
  private async answer({ question, topic }: { question: number; topic: string }): Promise<void> {
    const value = await this.topics
      .get(topic)?.()
      .catch(() => undefined);
    if (value !== undefined) this.primary?.send({ kind: 'answer', question, value });
  }
}

/** Undefined unless this process is a worker. */
function channelToPrimary(): PrimaryChannel | undefined {
  if (!cluster.isWorker) return undefined;
  return {
    send: sendToPrimary,
    listen: (hear) => void process.on('message', hear),
  };
}

/** Sends to the primary. One that is gone hears nothing, and this worker is told so by its channel. */
export function sendToPrimary(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}
