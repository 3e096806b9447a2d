import { Worker } from 'node:worker_threads';
import type { Json } from '../core/request.js';
import type { Reply, StockQuestion, StockSet } from './messages.js';

export interface StockCasbinLimits {
  /** Most memory of the thread, in MiB. A thread that needs more ends. */
  readonly memoryMb: number;
  /** Longest time for one evaluation, in milliseconds. */
  readonly evaluationMs: number;
  /** Longest time for an answer, with its time in the queue, in milliseconds. */
  readonly answerMs: number;
  /** Longest time for loading a set, in milliseconds. */
  readonly loadMs: number;
  /** Most questions that may wait. */
  readonly queue: number;
}

export const defaultStockCasbinLimits: StockCasbinLimits = Object.freeze({
  memoryMb: 512,
  evaluationMs: 1_000,
  answerMs: 3_000,
  loadMs: 30_000,
  queue: 1_000,
});

export type StockFailure =
  | 'stock_casbin_error'
  | 'stock_casbin_timeout'
  | 'stock_casbin_overloaded'
  | 'stock_casbin_crashed'
  | 'stock_casbin_stopped';

/** Stock Casbin's answer, or why there is none; never an allow in place of a failure. */
export type StockAnswer =
  | Extract<Reply, { kind: 'answer' }>
  | { readonly kind: 'failure'; readonly code: StockFailure; readonly message: string };

type Outcome = StockAnswer | { readonly kind: 'done' };
type Failure = Extract<StockAnswer, { kind: 'failure' }>;

interface Job {
  readonly question: StockQuestion;
  readonly limitMs: number;
  settle(outcome: Outcome): void;
  settled: boolean;
}

/**
 * Stock Casbin in a thread of its own, which is ended and replaced when an evaluation takes too long or too much
 * memory. It is asked one question at a time: if the thread has to end, only that question fails, and the others go to
 * the next thread.
 *
 *     const stock = new StockCasbin();
 *     await stock.load({ key: 'v1', model, rules, definitions: { r: 'r', p: 'p', e: 'e', m: 'm' }, roleMatching: [] });   // rejects if it cannot load
 *     await stock.enforce('v1', ['alice', 'data1', 'read']);   // { kind: 'answer', allowed: true, rule: [...] }
 *     await stock.stop();
 */
export class StockCasbin {
  private readonly sets = new Map<string, StockSet>();
  /** Keys of `sets` that the current thread has loaded. */
  private loaded = new Set<string>();
  private worker: Worker | undefined;
  private queue: Job[] = [];
  private running: Job | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  /** Number of threads that were ended because they took too long, or ended by themselves. */
  replaced = 0;

  constructor(private readonly limits: StockCasbinLimits = defaultStockCasbinLimits) {}

  /** Resolves when the set can be asked; rejects with the reason why stock Casbin does not load it. */
  async load(set: StockSet): Promise<void> {
    const outcome = await this.ask({ kind: 'load', set }, this.limits.loadMs);
    if (outcome.kind === 'failure') throw new Error(outcome.message);
    this.sets.set(set.key, set);
  }

  holds(key: string): boolean {
    return this.sets.has(key);
  }

  forget(key: string): void {
    if (!this.sets.delete(key) || !this.loaded.delete(key)) return;
    void this.ask({ kind: 'forget', key }, this.limits.loadMs);
  }

  /** Asks one question of a loaded set, with the values of the request definition in their order. Never rejects. */
  enforce(key: string, values: readonly (Json | undefined)[]): Promise<StockAnswer> {
    if (this.queue.length >= this.limits.queue) {
      return Promise.resolve(failure('stock_casbin_overloaded', 'too many questions wait for stock Casbin'));
    }
    if (!this.sets.has(key)) return Promise.resolve(failure('stock_casbin_error', 'this set is not loaded'));
    return this.ask({ kind: 'enforce', key, values }, this.limits.evaluationMs, this.limits.answerMs).then((outcome) =>
      outcome.kind === 'done' ? failure('stock_casbin_error', 'stock Casbin gave no answer') : outcome,
    );
  }

  /** Questions that are waiting or being answered. */
  get pending(): number {
    return this.queue.length + (this.running === undefined ? 0 : 1);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    const stopped = failure('stock_casbin_stopped', 'stock Casbin was stopped');
    const jobs = this.running === undefined ? this.queue : [this.running, ...this.queue];
    this.queue = [];
    const worker = this.discardThread();
    for (const job of jobs) settle(job, stopped);
    await worker?.terminate();
  }

  private ask(question: StockQuestion, limitMs: number, answerMs?: number): Promise<Outcome> {
    if (this.stopped) return Promise.resolve(failure('stock_casbin_stopped', 'stock Casbin was stopped'));
    return new Promise((resolve) => {
      const waiting =
        answerMs === undefined
          ? undefined
          : setTimeout(() => settle(job, failure('stock_casbin_timeout', 'the answer took too long')), answerMs);
      const job: Job = {
        question,
        limitMs,
        settled: false,
        settle: (outcome) => {
          clearTimeout(waiting);
          resolve(outcome);
        },
      };
      this.queue.push(job);
      this.next();
    });
  }

  private next(): void {
    if (this.running !== undefined || this.stopped) return;
    let job = this.queue.shift();
    while (job?.settled) job = this.queue.shift();
    if (job === undefined) return;
    const waiting = job;
    const { question } = waiting;
    const missing =
      question.kind === 'enforce' && !this.loaded.has(question.key) ? this.sets.get(question.key) : undefined;
    if (missing === undefined) {
      this.start(waiting);
      return;
    }
    // The thread is new. If it cannot load the set either, this question fails and the next one tries again.
    this.queue.unshift(waiting);
    this.start({
      question: { kind: 'load', set: missing },
      limitMs: this.limits.loadMs,
      settled: false,
      settle: (outcome) => {
        if (outcome.kind === 'failure') settle(waiting, outcome);
      },
    });
  }

  private start(job: Job): void {
    this.running = job;
    this.worker ??= this.startThread();
    this.timer = setTimeout(() => {
      this.replaceThread(failure('stock_casbin_timeout', `stock Casbin took more than ${job.limitMs} ms`));
    }, job.limitMs);
    this.worker.postMessage(job.question);
  }

  private startThread(): Worker {
    const worker = new Worker(workerUrl, {
      // The author of a matcher controls this thread, so it gets nothing of the service's environment.
      env: {},
      argv: [],
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: this.limits.memoryMb },
    });
    worker.unref();
    worker.on('message', (reply: Reply) => {
      if (worker === this.worker) this.finish(reply);
    });
    worker.on('error', (error) => {
      if (worker === this.worker) this.replaceThread(failure('stock_casbin_crashed', crashMessage(error)));
    });
    worker.on('exit', () => {
      if (worker === this.worker)
        this.replaceThread(failure('stock_casbin_crashed', 'the thread of stock Casbin ended'));
    });
    return worker;
  }

  private finish(reply: Reply): void {
    clearTimeout(this.timer);
    const job = this.running;
    this.running = undefined;
    if (job === undefined) return;
    if (job.question.kind === 'load' && reply.kind === 'done') this.loaded.add(job.question.set.key);
    settle(job, reply.kind === 'error' ? failure('stock_casbin_error', reply.message) : reply);
    this.next();
  }

  private replaceThread(reason: Failure): void {
    const job = this.running;
    void this.discardThread()?.terminate();
    this.replaced++;
    if (job !== undefined) settle(job, reason);
    this.next();
  }

  private discardThread(): Worker | undefined {
    clearTimeout(this.timer);
    const worker = this.worker;
    this.worker = undefined;
    this.running = undefined;
    this.loaded = new Set();
    return worker;
  }
}

/** A thread needs the compiled file, also when tests run the TypeScript source. */
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/stock-casbin/worker.js' : './worker.js',
  import.meta.url,
);

function settle(job: Job, outcome: Outcome): void {
  if (job.settled) return;
  job.settled = true;
  job.settle(outcome);
}

function failure(code: StockFailure, message: string): Failure {
  return { kind: 'failure', code, message };
}

function crashMessage(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? 'stock Casbin ran out of memory'
    : 'the thread of stock Casbin ended with an error';
}
