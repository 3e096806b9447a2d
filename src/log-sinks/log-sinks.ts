import type { DecisionLog } from '../decision-log/decision-log.js';
import type { RecordSink } from './record-sink.js';
import type { SinkOffsets } from './sink-offsets.js';
import { type LogSinkStatus, SinkRun } from './sink-run.js';

export interface LogSinksOptions {
  readonly log: Pick<DecisionLog, 'ownFeed'>;
  readonly sinks: readonly RecordSink[];
  readonly offsets: SinkOffsets;
  readonly instance: string;
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Longest time for sending what is left at the end, in milliseconds. */
const lastSendingMs = 3_000;

/** Where decision records also go, each with its own place in the journal (docs/log-sinks.md). */
export class LogSinks {
  private readonly runs: readonly SinkRun[];

  constructor(private readonly options: LogSinksOptions) {
    const { log, sinks, offsets, instance, onProblem } = options;
    const feed = log.ownFeed;
    this.runs =
      feed === undefined ? [] : sinks.map((sink) => new SinkRun({ sink, feed, offsets, instance, onProblem }));
  }

  start(): void {
    for (const run of this.runs) run.start();
  }

  /** Sends what is left, for three seconds at most. */
  async stop(): Promise<void> {
    await Promise.all(this.runs.map((run) => run.stop(lastSendingMs)));
    await this.options.offsets.write();
  }

  statuses(): Promise<readonly LogSinkStatus[]> {
    return Promise.all(this.runs.map((run) => run.status()));
  }

  /** Every record up to this sequence is done with in all sinks. */
  get doneTo(): number {
    return Math.min(Number.MAX_SAFE_INTEGER - 1, ...this.runs.map(({ doneTo }) => doneTo));
  }
}
