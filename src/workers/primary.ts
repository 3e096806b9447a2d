import cluster, { type Worker } from 'node:cluster';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { surplusOf } from './connection-balance.js';
import type { FromPrimary, FromWorker, ServingUrls, WorkerAnswer, WorkerCounts } from './messages.js';

export interface PrimaryOptions {
  readonly workers: number;
  /** Worker n has its journal in `<spoolDir>/<n>`. */
  readonly spoolDir: string;
  /** Worker n is called `<instance>-<n>`. */
  readonly instance: string;
  readonly logger: Logger;
  /** Hears that a worker cannot start while none ever served; the service ends then. */
  readonly onFailure: (message: string, code: number) => void;
}

/** A place for a worker; processes come and go in it. */
interface Slot {
  readonly number: number;
  process: Worker | undefined;
  isServing: boolean;
  /** Of clients, as it said last. */
  connections: number;
  startedAt: number;
  /** How often its process ended by itself. */
  restarts: number;
  /** Pause before the next start after a crash, in milliseconds; it doubles while starts fail. */
  pauseMs: number;
  /** True while its process ends so that another one takes its place. */
  isReplaced: boolean;
  /** Hears once whether the next process came to serve. */
  onSettled: ((isServing: boolean) => void) | undefined;
  /** What the process said when it could not start. */
  failure: { readonly message: string; readonly code: number } | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** A question of one worker to all. */
interface Question {
  readonly asker: Slot;
  readonly number: number;
  readonly expected: Set<number>;
  readonly answers: WorkerAnswer[];
  readonly timer: NodeJS.Timeout;
}

/** How long the workers may take to answer a question, in milliseconds. */
const answerMs = 1_000;
const firstPauseMs = 100;
const longestPauseMs = 10_000;
/** A worker that lived so long, in milliseconds, was no failed start. */
const steadyMs = 30_000;
/** A worker stops within 15 seconds; one that has not by then, in milliseconds, is ended. */
const stopMs = 20_000;
/** Exit code of a worker that says nothing about why it ends. */
const unknownFailure = 1;

/**
 * The process that starts the workers, starts another one where one ends, and passes on what is asked of all of them. It serves
 * nothing itself, and needs nothing of the service but this file.
 *
 *     const primary = new Primary({ workers: 4, spoolDir: './data', instance: 'pdp-1', logger, onFailure });
 *     const { url } = await primary.start();
 */
export class Primary {
  private readonly slots: readonly Slot[];
  private readonly questions = new Map<number, Question>();
  private lastQuestion = 0;
  private phase: 'starting' | 'serving' | 'stopping' = 'starting';
  private rolling: Promise<void> = Promise.resolve();
  private onServing: (urls: ServingUrls) => void = () => undefined;
  private onEnded: () => void = () => undefined;

  constructor(private readonly options: PrimaryOptions) {
    this.slots = Array.from({ length: options.workers }, (_, i) => ({
      number: i + 1,
      process: undefined,
      isServing: false,
      connections: 0,
      startedAt: 0,
      restarts: 0,
      pauseMs: firstPauseMs,
      isReplaced: false,
      onSettled: undefined,
      failure: undefined,
      timer: undefined,
    }));
  }

  /** Starts all workers; resolves when all of them serve. */
  start(): Promise<ServingUrls> {
    // Workers accept connections themselves. Where Node accepts them here and hands them on, which is its default, one that is
    // on its way to a worker that is killed stays open, and its client waits for ever.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    // Structured clone, since metrics hold what JSON does not have, such as NaN.
    cluster.setupPrimary({ serialization: 'advanced' });
    const serving = new Promise<ServingUrls>((resolve) => {
      this.onServing = resolve;
    });
    for (const slot of this.slots) this.fork(slot);
    return serving;
  }

  /** Lets every worker stop in its own way; resolves when all have ended. */
  async stop(): Promise<void> {
    this.phase = 'stopping';
    const ended = new Promise<void>((resolve) => {
      this.onEnded = resolve;
    });
    for (const slot of this.slots) {
      clearTimeout(slot.timer);
      if (!slot.isReplaced) end(slot);
    }
    if (this.processes.length > 0) await ended;
  }

  /** Ends every worker at once. */
  kill(): void {
    this.phase = 'stopping';
    for (const { process } of this.slots) process?.process.kill('SIGKILL');
  }

  /** Lets every worker read its policy sets again. */
  reload(): void {
    for (const { process } of this.slots) process?.process.kill('SIGHUP');
  }

  /**
   * Replaces the workers one after another, each when the one before serves, so that the others answer meanwhile. Where a new
   * one does not come to serve, the rest stay as they are.
   */
  replaceAll(): Promise<void> {
    this.rolling = this.rolling.then(() => this.roll());
    return this.rolling;
  }

  get counts(): WorkerCounts {
    const serving = this.slots.filter(({ isServing }) => isServing).length;
    const restarts = this.slots.reduce((sum, slot) => sum + slot.restarts, 0);
    return { wanted: this.slots.length, serving, restarts };
  }

  private get processes(): readonly Worker[] {
    return this.slots.flatMap(({ process }) => process ?? []);
  }

  private fork(slot: Slot): void {
    const { spoolDir, instance } = this.options;
    const worker = cluster.fork({
      VERDICT_SPOOL_DIR: join(spoolDir, String(slot.number)),
      VERDICT_INSTANCE: `${instance}-${slot.number}`,
    });
    Object.assign(slot, {
      process: worker,
      isServing: false,
      connections: 0,
      startedAt: performance.now(),
      failure: undefined,
    });
    worker.on('message', (message: FromWorker) => this.hear(slot, message));
    worker.once('exit', (code, signal) => this.ended(slot, worker, code, signal));
    // A worker that ends while something is sent to it; its end is seen by `exit`.
    worker.on('error', () => undefined);
  }

  private hear(slot: Slot, message: FromWorker): void {
    if (message.kind === 'listening') this.place(slot);
    else if (message.kind === 'connections') this.balance(slot, message.count);
    else if (message.kind === 'serving') this.served(slot, message);
    else if (message.kind === 'failed') slot.failure = message;
    else if (message.kind === 'ask') this.ask(slot, message.question, message.topic);
    else this.answered(slot, message.question, message.value);
  }

  private place(slot: Slot): void {
    const { number, restarts } = slot;
    send(slot, { kind: 'placed', of: this.options.instance, number, restarts });
  }

  private balance(slot: Slot, connections: number): void {
    slot.connections = connections;
    if (this.phase !== 'serving' || !slot.isServing) return;
    const serving = this.slots.filter(({ isServing }) => isServing);
    const count = surplusOf(
      connections,
      serving.map((each) => each.connections),
    );
    if (count > 0) send(slot, { kind: 'release', count });
  }

  private served(slot: Slot, urls: ServingUrls): void {
    slot.isServing = true;
    settle(slot, true);
    const { logger } = this.options;
    logger.info({ worker: slot.number, pid: slot.process?.process.pid }, 'a worker serves');
    if (this.phase !== 'starting' || this.slots.some(({ isServing }) => !isServing)) return;
    this.phase = 'serving';
    this.onServing(urls);
  }

  private ended(slot: Slot, worker: Worker, code: number | null, signal: string | null): void {
    slot.process = undefined;
    slot.isServing = false;
    for (const [number] of this.questions) this.without(number, slot);
    if (this.phase === 'stopping') {
      if (this.processes.length === 0) this.onEnded();
      return;
    }
    if (this.phase === 'starting') {
      this.kill();
      const { message, code: exit } = slot.failure ?? {
        message: `worker ${slot.number} ended before it served, with ${signal ?? code}`,
        code: unknownFailure,
      };
      this.options.onFailure(message, exit);
      return;
    }
    if (slot.isReplaced) {
      slot.isReplaced = false;
      this.fork(slot);
      return;
    }
    settle(slot, false);
    const lived = performance.now() - slot.startedAt;
    if (lived > steadyMs) slot.pauseMs = firstPauseMs;
    const { pauseMs } = slot;
    slot.pauseMs = Math.min(longestPauseMs, 2 * pauseMs);
    slot.restarts++;
    this.options.logger.error(
      { worker: slot.number, pid: worker.process.pid, code, signal, why: slot.failure?.message, pauseMs },
      'a worker ended; another one is started',
    );
    slot.timer = setTimeout(() => this.fork(slot), pauseMs);
  }

  private async roll(): Promise<void> {
    for (const slot of this.slots) {
      if (this.phase !== 'serving') return;
      // One that is about to be started is a new one anyway.
      if (slot.process === undefined) continue;
      const settled = new Promise<boolean>((resolve) => {
        slot.onSettled = resolve;
      });
      slot.isReplaced = true;
      slot.isServing = false;
      end(slot);
      if (!(await settled)) {
        this.options.logger.error({ worker: slot.number }, 'a new worker does not serve; the others are not replaced');
        return;
      }
    }
    this.options.logger.info('all workers were replaced');
  }

  private ask(asker: Slot, number: number, topic: string): void {
    const asked = this.slots.filter(({ isServing }) => isServing);
    const question = ++this.lastQuestion;
    const timer = setTimeout(() => this.finish(question), answerMs);
    const expected = new Set(asked.map(({ number }) => number));
    this.questions.set(question, { asker, number, expected, answers: [], timer });
    for (const slot of asked) send(slot, { kind: 'asked', question, topic });
    if (asked.length === 0) this.finish(question);
  }

  private answered(slot: Slot, question: number, value: unknown): void {
    this.questions.get(question)?.answers.push({ worker: slot.number, value });
    this.without(question, slot);
  }

  /** Nothing more is expected of this worker. */
  private without(question: number, { number }: Slot): void {
    const { expected } = this.questions.get(question) ?? {};
    if (expected?.delete(number) && expected.size === 0) this.finish(question);
  }

  private finish(question: number): void {
    const asked = this.questions.get(question);
    if (asked === undefined) return;
    this.questions.delete(question);
    clearTimeout(asked.timer);
    const answers = asked.answers.sort((a, b) => a.worker - b.worker);
    send(asked.asker, { kind: 'answers', question: asked.number, answers, counts: this.counts });
  }
}

/** Lets the process of a slot stop in its own way, within its time. */
function end({ process }: Slot): void {
  process?.process.kill('SIGTERM');
  const timer = setTimeout(() => process?.process.kill('SIGKILL'), stopMs).unref();
  process?.once('exit', () => clearTimeout(timer));
}

function settle(slot: Slot, isServing: boolean): void {
  slot.onSettled?.(isServing);
  slot.onSettled = undefined;
}

function send({ process }: Slot, message: FromPrimary): void {
  // One that is ending has no channel any more; its end is seen by `exit`.
  if (process?.isConnected()) process.send(message, () => undefined);
}
