/** Runs a simulation: one reader of the log, and threads that answer what it reads. */
import { Worker } from 'node:worker_threads';
import type { PolicyProblem } from '../../core/problem.js';
import type { LogGap } from '../../decision-log/log-gap.js';
import type { StoredEntries } from '../../policy-store/data/entries.js';
import { Turns } from '../../turns/turns.js';
import type { Assignment, FromThread, Missing, Portion, SetContent, ThreadData, ToThread } from './messages.js';
import { SimulationTally, type TallyParts } from './simulation-tally.js';

/** What a simulation reads. */
export interface SimulationSource {
  /** The log in portions, in any order; the reading ends when nobody asks for the next one. */
  portions(): AsyncIterable<{
    readonly portion?: Portion | undefined;
    readonly gaps?: readonly LogGap[] | undefined;
    /** Replicas that may have decided more in the time asked for than is read. */
    readonly unshipped?: readonly string[] | undefined;
  }>;
  /** A version of the set that records name. */
  version(version: string): Promise<SetContent | Missing>;
}

export interface SimulationOptions extends Assignment {
  readonly threads: number;
  /** Most memory of a thread, in MiB. */
  readonly memoryMb: number;
  /** Ends it with what was counted: also while the candidate compiles, and while the last portions are answered. */
  readonly signal: AbortSignal;
  /** Called when the candidate has been compiled in all threads, before any decision is answered; nothing is answered if it throws. */
  readonly onReady?: (candidate: { readonly hasLiveData: boolean }) => void;
  readonly onProgress?: (answered: number, changed: number) => void;
}

export interface SimulationRun {
  readonly tally: TallyParts;
  /** Replicas that may have decided more than was read. */
  readonly unshipped?: readonly string[];
  readonly isCancelled: boolean;
}

/** The candidate cannot be compiled. */
export class CandidateRefused extends Error {
  override readonly name = 'CandidateRefused';

  constructor(readonly problems: readonly PolicyProblem[]) {
    super('the candidate does not load');
  }
}

/** A line of an export holds no record. */
export class UnreadableExport extends Error {
  override readonly name = 'UnreadableExport';

  constructor(
    readonly line: number,
    readonly why: string,
  ) {
    super(`line ${line} ${why}`);
  }
}

/** A thread ended before its work: it ran out of memory, or there is a fault in it. */
export class SimulationFailed extends Error {
  override readonly name = 'SimulationFailed';
}

/** Portions that a thread has at a time: the next one lies there when it has done one. */
const portionsAhead = 2;

/**
 * Answers all that a source reads, and adds up what the threads counted.
 *
 * @throws CandidateRefused, UnreadableExport, SimulationFailed, and what the source throws
 */
export async function runSimulation(source: SimulationSource, options: SimulationOptions): Promise<SimulationRun> {
  const { signal, threads: count, memoryMb, onReady, onProgress, ...assignment } = options;
  const tally = new SimulationTally();
  const told = () =>
    onProgress?.(
      threads.reduce((sum, { answered }) => sum + answered, 0),
      threads.reduce((sum, { changed }) => sum + changed, 0),
    );
  const stopped = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const stop = () => {
    Atomics.store(stopped, 0, 1);
    for (const thread of threads) thread.stop();
  };
  signal.addEventListener('abort', stop, { once: true });
  const data = { assignment, stopped };
  const threads = Array.from({ length: count }, () => new SimulationThread(source, data, memoryMb, told));
  try {
    const begun = await unlessAborted(signal, Promise.all(threads.map((thread) => thread.ready)));
    if (begun === undefined) return { tally: tally.parts, isCancelled: true };
    const late = new Set<string>();
    onReady?.({ hasLiveData: threads.some(({ hasLiveData }) => hasLiveData) });
    for await (const { portion, gaps = [], unshipped = [] } of until(signal, source.portions())) {
      for (const { lost } of gaps) tally.lose(lost);
      for (const writer of unshipped) late.add(writer);
      if (portion === undefined) continue;
      await unlessAborted(signal, Promise.race(threads.map((thread) => thread.hasRoom)));
      if (signal.aborted) break;
      const free = threads.reduce((least, thread) => (thread.waiting < least.waiting ? thread : least));
      free.give(portion);
    }
    for (const parts of await Promise.all(threads.map((thread) => thread.finish()))) tally.add(parts);
    return { tally: tally.parts, unshipped: [...late], isCancelled: signal.aborted };
  } finally {
    signal.removeEventListener('abort', stop);
    await Promise.all(threads.map((thread) => thread.end()));
  }
}

/**
 * What is read until the signal says stop, also while the next one is waited for. Each read has a promise of its own to race
 * against: one that all reads shared would keep what they gave for as long as it is not settled.
 */
export async function* until<Value>(signal: AbortSignal, values: AsyncIterable<Value>): AsyncGenerator<Value> {
  const iterator = values[Symbol.asyncIterator]();
  try {
    while (!signal.aborted) {
      const next = await unlessAborted(signal, iterator.next());
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  } finally {
    // A read that waits for more ends when the source is closed.
    iterator.return?.().catch(() => undefined);
  }
}

/** Undefined when the signal says stop first. */
async function unlessAborted<Value>(signal: AbortSignal, read: Promise<Value>): Promise<Value | undefined> {
  if (signal.aborted) {
    // Nobody else hears of it.
    read.catch(() => undefined);
    return undefined;
  }
  const aborted = new Deferred<undefined>();
  const stop = () => aborted.resolve(undefined);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([read, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** A promise that others settle. Nobody has to wait for it: a rejection of which nobody heard ends no process. */
class Deferred<Value> {
  resolve!: (value: Value) => void;
  reject!: (error: Error) => void;
  readonly promise = new Promise<Value>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.promise.catch(() => undefined);
  }
}

class SimulationThread {
  answered = 0;
  changed = 0;
  /** Whether its candidate is asked with live data; known when it is ready. */
  hasLiveData = false;
  /** Portions that were given and are not done. */
  waiting = 0;
  readonly ready: Promise<void>;
  private readonly worker: Worker;
  private readonly begun = new Deferred<void>();
  private readonly result = new Deferred<TallyParts>();
  private room = new Deferred<void>();
  private isEnded = false;
  private failure: Error | undefined;

  constructor(
    private readonly source: SimulationSource,
    data: ThreadData,
    memoryMb: number,
    private readonly onProgress: () => void,
  ) {
    this.ready = this.begun.promise;
    this.room.resolve();
    this.worker = new Worker(workerUrl, {
      workerData: data,
      // It reads what others wrote, so it gets nothing of the process's environment.
      env: {},
      argv: [],
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
    });
    this.worker.on('message', (message: FromThread) => this.hear(message));
    this.worker.on('error', (error) => this.fail(new SimulationFailed(whyOf(error), { cause: error })));
    this.worker.on('exit', () => this.fail(new SimulationFailed('a thread of the simulation ended')));
  }

  /** Resolves when there is room for a portion; rejects when the thread has failed. */
  get hasRoom(): Promise<void> {
    return this.room.promise;
  }

  give(portion: Portion): void {
    this.waiting++;
    if (this.waiting >= portionsAhead) this.room = new Deferred<void>();
    if (this.failure !== undefined) this.room.reject(this.failure);
    this.say({ kind: 'portion', portion });
  }

  /** `ThreadData.stopped` is set. */
  stop(): void {
    this.say({ kind: 'stop' });
  }

  finish(): Promise<TallyParts> {
    this.say({ kind: 'finish' });
    return this.result.promise;
  }

  async end(): Promise<void> {
    this.isEnded = true;
    await this.worker.terminate();
  }

  private hear(message: FromThread): void {
    switch (message.kind) {
      case 'ready':
        this.hasLiveData = message.hasLiveData;
        this.begun.resolve();
        break;
      case 'refused':
        this.fail(new CandidateRefused(message.problems));
        break;
      case 'wanted':
        this.send(message.version).catch((error) => this.fail(error));
        break;
      case 'done':
        this.waiting--;
        this.answered = message.answered;
        this.changed = message.changed;
        this.room.resolve();
        this.onProgress();
        break;
      case 'unreadable':
        this.fail(new UnreadableExport(message.line, message.why));
        break;
      case 'result':
        this.result.resolve(message.tally);
        break;
      default:
        message satisfies never;
    }
  }

  /** A message is copied at once, and a set can have a million entries: in between others have their turns. */
  private async send(version: string): Promise<void> {
    const content = await this.source.version(version);
    if (typeof content === 'string' || content.data === undefined) {
      this.say({ kind: 'version', version, content });
      return;
    }
    const { data, ...files } = content;
    const turns = new Turns();
    for (const entries of piecesOf(data)) {
      if (turns.isOver) await turns.next();
      if (this.isEnded) return;
      this.say({ kind: 'entries', version, entries });
    }
    this.say({ kind: 'version', version, content: { ...files, data: { roles: [], entities: [] } } });
  }

  private say(message: ToThread): void {
    if (!this.isEnded) this.worker.postMessage(message);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of [this.begun, this.result, this.room]) reject(error);
  }
}

/** Entries of a message. Entities can be large. */
export const rolesAtOnce = 1_000;
export const entitiesAtOnce = 32;

/** Entries in messages' lengths. */
export function* piecesOf({ roles, entities }: StoredEntries): Generator<StoredEntries> {
  for (let from = 0; from < roles.length; from += rolesAtOnce)
    yield { roles: roles.slice(from, from + rolesAtOnce), entities: [] };
  for (let from = 0; from < entities.length; from += entitiesAtOnce)
    yield { roles: [], entities: entities.slice(from, from + entitiesAtOnce) };
}

/** A thread needs the compiled file, also when tests run the TypeScript source. */
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/pdp/simulation/worker.js' : './worker.js',
  import.meta.url,
);

function whyOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? 'a thread of the simulation ran out of memory'
    : `a thread of the simulation ended with an error: ${(error as Error).message}`;
}
