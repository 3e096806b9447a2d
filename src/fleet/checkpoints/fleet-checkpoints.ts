import { setTimeout as delay } from 'node:timers/promises';
import { readCheckpoint } from '../../decision-log/proof/checkpoint.js';
import {
  type AuditHead,
  beforeFirst,
  hashOfFleetCheckpoint,
  signFleetCheckpoint,
  type TreeHead,
} from '../../decision-log/proof/fleet-checkpoint.js';
import type { NoteSigner } from '../../decision-log/proof/signed-note.js';
import type { StoredCheckpoint } from '../../decision-log/proof/stored-checkpoint.js';
import type { CheckpointSink } from './checkpoint-sink.js';
import { type CheckpointStore, keptCheckpoints, type StoredFleetCheckpoint } from './checkpoint-store.js';

export interface FleetCheckpointsOptions {
  readonly store: CheckpointStore;
  /** Has the log sign all that was committed here. */
  readonly checkpoint: () => Promise<void>;
  /** The newest checkpoint of each tree. */
  readonly heads: () => Promise<readonly StoredCheckpoint[]>;
  /** How far the audit events are chained; undefined before the first. */
  readonly auditHead: () => Promise<AuditHead | undefined>;
  /** Undefined where nothing is recorded: then none are made. */
  readonly signer: () => NoteSigner | undefined;
  readonly sinks: readonly CheckpointSink[];
  /** Hears once of each failure in a row. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** Time between two checkpoints, in milliseconds (60,000). */
  readonly everyMs?: number;
  /** Time between two looks at whether one is due, or a sink does not have all (2,000). */
  readonly lookMs?: number;
  /** How long after it was heard of last another replica waits for the one that makes them, in milliseconds (12,000). */
  readonly termMs?: number;
}

export interface SinkStatus {
  readonly name: string;
  readonly place: string;
  /** How many checkpoints it does not have. */
  readonly due: number;
  /** Attempts that failed since the start. */
  readonly failures: number;
  /** Why the last attempt failed; undefined when it did not. */
  readonly problem: string | undefined;
}

export interface FleetCheckpointStatus {
  /** Whether this replica makes them. */
  readonly leads: boolean;
  /** The newest one that this replica knows of; undefined before the first. */
  readonly newest: StoredFleetCheckpoint | undefined;
  /** Why the last look failed; undefined when it did not. */
  readonly problem: string | undefined;
  /** Of what this replica sends, while it leads. */
  readonly sinks: readonly SinkStatus[];
}

const defaultEveryMs = 60_000;
const defaultLookMs = 2_000;
const defaultTermMs = 12_000;
const sentAtOnce = 100;
const longestPauseMs = 60_000;
/** Longest time that a stop waits for the last checkpoint, in milliseconds. */
const lastMs = 3_000;
/** Longest time that what was decided last may take to be signed and shipped, in milliseconds. */
const signMs = 2_000;
/** Old ones are deleted with each thousandth new one. */
const deletedEvery = 1_000;

/** What is known of one sink. */
class Sending {
  /** Undefined: nobody knows what it has. */
  private sent: number | undefined;
  private known = 0;
  private failures = 0;
  private problem: string | undefined;
  private pauseMs = 0;
  private nextAt = 0;
  private running: Promise<void> | undefined;

  constructor(
    readonly sink: CheckpointSink,
    private readonly store: CheckpointStore,
    private readonly onProblem: (what: string, error: unknown) => void,
  ) {}

  get status(): SinkStatus {
    const { sink, failures, problem } = this;
    return { name: sink.name, place: sink.place, due: Math.max(0, this.known - (this.sent ?? 0)), failures, problem };
  }

  /** Sends all that is due up to `newest`, unless it failed a moment ago; one attempt runs at a time. */
  send(newest: number, isLast: boolean): Promise<void> {
    this.known = newest;
    if (this.running === undefined && !isLast && performance.now() < this.nextAt) return Promise.resolve();
    this.running ??= this.sendAll().then(
      () => this.ended(undefined),
      (error: unknown) => this.ended(error),
    );
    return this.running;
  }

  /** What it has is asked anew: others may have sent meanwhile. */
  forget(): void {
    this.sent = undefined;
  }

  private async sendAll(): Promise<void> {
    const { sink, store } = this;
    this.sent ??= await sink.holdsTo(await store.sentTo(sink.name), async (number) => {
      const [found] = await store.after(number - 1, 1);
      return found?.number === number ? found : undefined;
    });
    for (;;) {
      const due = await store.after(this.sent, sentAtOnce);
      if (due.length === 0) return;
      for (const checkpoint of due) {
        await sink.send(checkpoint);
        this.sent = checkpoint.number;
        await store.markSent(sink.name, checkpoint.number);
      }
      this.known = Math.max(this.known, this.sent);
    }
  }

  private ended(error: unknown): void {
    this.running = undefined;
    if (error === undefined) {
      this.problem = undefined;
      this.pauseMs = 0;
      return;
    }
    const isNew = this.problem === undefined;
    this.failures++;
    this.problem = (error as Error).message;
    this.pauseMs = Math.min(longestPauseMs, Math.max(1_000, this.pauseMs * 2));
    this.nextAt = performance.now() + this.pauseMs;
    this.forgetAfterFailure();
    if (isNew) this.onProblem(`checkpoints could not be sent to ${this.sink.place}; that is tried again`, error);
  }

  /** Part of a line may be there. */
  private forgetAfterFailure(): void {
    if (this.sink.name === 'file') this.sent = undefined;
  }
}

/**
 * Makes a checkpoint of the fleet each minute, on one replica at a time, and sends it to all sinks (decision-log/proof/fleet-checkpoint.ts).
 *
 *     const checkpoints = new FleetCheckpoints({ store, sinks: [new LogSink(…)], … });
 *     checkpoints.start();
 *     await checkpoints.stop();   // after one more, of all that was decided
 *
 * It is stored before it is sent, and what a sink does not have is sent again until it does, also after a kill.
 */
export class FleetCheckpoints {
  private readonly sendings: readonly Sending[];
  private timer: NodeJS.Timeout | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private isLooking = false;
  private leads = false;
  private newest: StoredFleetCheckpoint | undefined;
  private problem: string | undefined;
  private deletedWith = 0;

  constructor(private readonly options: FleetCheckpointsOptions) {
    const { sinks, store, onProblem } = options;
    this.sendings = sinks.map((sink) => new Sending(sink, store, onProblem));
  }

  get status(): FleetCheckpointStatus {
    const { leads, newest, problem } = this;
    return { leads, newest, problem, sinks: leads ? this.sendings.map(({ status }) => status) : [] };
  }

  start(): void {
    this.timer = setInterval(() => {
      if (this.isLooking) return;
      this.isLooking = true;
      void this.inTurn(() => this.look(false)).finally(() => {
        this.isLooking = false;
      });
    }, this.lookMs).unref();
  }

  /** Signs and sends what was decided last, for three seconds at most. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const waiting = new AbortController();
    const late = delay(lastMs, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([this.inTurn(() => this.look(true)), late]);
    waiting.abort();
    await this.options.store.close();
  }

  /** Makes one now, and sends it as far as that is possible. */
  async make(): Promise<void> {
    await this.inTurn(() => this.look(true, false));
  }

  private get lookMs(): number {
    return this.options.lookMs ?? defaultLookMs;
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.last.then(work).then(
      () => {
        this.problem = undefined;
      },
      (error: unknown) => {
        const isNew = this.problem === undefined;
        this.problem = (error as Error).message;
        if (isNew) this.options.onProblem('a checkpoint of the fleet could not be made; that is tried again', error);
      },
    );
    this.last = done;
    return done;
  }

  private async look(isAsked: boolean, isLast = isAsked): Promise<void> {
    const { store, everyMs = defaultEveryMs } = this.options;
    const led = this.leads;
    this.leads = await store.lead(this.options.termMs ?? defaultTermMs);
    this.newest = await store.newest();
    if (!this.leads) return;
    if (!led) for (const sending of this.sendings) sending.forget();
    // A clock that was put back makes none late.
    const isDue = this.newest === undefined || Math.abs(Date.now() - this.newest.time) >= everyMs;
    if (isAsked || isDue) await this.add(isAsked);
    const number = this.newest?.number ?? 0;
    const sent = this.sendings.map((sending) => sending.send(number, isAsked));
    if (isAsked) await Promise.all(sent);
    if (isLast) await store.resign();
  }

  private async add(isAsked: boolean): Promise<void> {
    const { store, heads, auditHead, signer, checkpoint: sign } = this.options;
    const key = signer();
    if (key === undefined) return;
    if (isAsked) await Promise.race([sign(), delay(signMs, undefined, { ref: false })]);
    const number = (this.newest?.number ?? 0) + 1;
    const previous = this.newest === undefined ? beforeFirst : hashOfFleetCheckpoint(this.newest.note);
    const time = Date.now();
    const audit = await auditHead();
    const note = signFleetCheckpoint(
      { number, previous, time, ...(audit !== undefined && { audit }), heads: headsOf(await heads()) },
      key,
    );
    await store.add({ number, time, note });
    this.newest = { number, time, note };
    if (number - this.deletedWith < deletedEvery) return;
    this.deletedWith = number;
    await store.deleteTo(Math.min(number - keptCheckpoints, ...(await this.sentToAll())));
  }

  private sentToAll(): Promise<number[]> {
    return Promise.all(this.sendings.map(({ sink }) => this.options.store.sentTo(sink.name)));
  }
}

/** In the order of their names. */
function headsOf(checkpoints: readonly StoredCheckpoint[]): TreeHead[] {
  return checkpoints
    .flatMap(({ note }) => readCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1)) ?? [])
    .sort((a, b) => (a.tree < b.tree ? -1 : 1));
}
