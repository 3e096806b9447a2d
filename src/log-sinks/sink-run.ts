import { setTimeout as delay } from 'node:timers/promises';
import type { RecordFeed } from '../decision-log/record-feed.js';
import type { StreamPosition } from '../decision-log/stream-position.js';
import { Turns } from '../turns/turns.js';
import type { OutgoingRecord, RecordSink } from './record-sink.js';
import type { SinkOffsets } from './sink-offsets.js';

export interface SinkRunOptions {
  readonly sink: RecordSink;
  /** This process's own records. */
  readonly feed: RecordFeed;
  readonly offsets: SinkOffsets;
  readonly instance: string;
  /** Called once when sending begins to fail, once when it works again, and for records that are not sent at all. */
  readonly onProblem: (what: string, error: unknown) => void;
}

export interface LogSinkStatus {
  readonly name: string;
  /** Records that the receiver has taken since the start. */
  readonly sent: number;
  /** Records that it refused for what is in them. */
  readonly refused: number;
  /** Records that were not in the journal any more, or could not be read. */
  readonly lost: number;
  /** Attempts that failed. */
  readonly failures: number;
  /** Records of the journal that it does not have yet. */
  readonly lag: number;
  /** Age of the oldest record that is being sent, in seconds; 0 when none is. */
  readonly lagSeconds: number;
  /** Why nothing is sent now; undefined while it works. */
  readonly problem: string | undefined;
}

/** Wait for more records behind the first, in milliseconds: a request costs as much as some hundred records. */
const patienceMs = 200;
const firstPauseMs = 250;
const longestPauseMs = 5_000;

/**
 * Sends the records of the journal to one sink, in order, behind the answers. What the receiver has is noted afterwards, so
 * records are sent again after a crash, and none is left out; those that a receiver got twice have the same id.
 */
export class SinkRun {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private position: StreamPosition | undefined;
  private isHinted = true;
  private wake: (() => void) | undefined;
  private sending: readonly OutgoingRecord[] = [];
  private sent = 0;
  private refused = 0;
  private lost = 0;
  private failures = 0;
  private problem: string | undefined;

  constructor(private readonly options: SinkRunOptions) {}

  /** Every record up to this sequence is done with; 0 before it is known. */
  get doneTo(): number {
    return this.position === undefined ? 0 : sequenceOf(this.position);
  }

  async status(): Promise<LogSinkStatus> {
    const { sink, feed } = this.options;
    const { sent, refused, lost, failures, problem } = this;
    const oldest = this.sending[0]?.record.time;
    const lagSeconds = oldest === undefined ? 0 : Math.max(0, (Date.now() - Date.parse(oldest)) / 1_000);
    const end = await feed.end().then(sequenceOf, () => this.doneTo);
    return { name: sink.name, sent, refused, lost, failures, lag: Math.max(0, end - this.doneTo), lagSeconds, problem };
  }

  start(): void {
    this.running = this.run();
  }

  /** Sends what is left for at most `ms` milliseconds. */
  async stop(ms: number): Promise<void> {
    this.stopping.abort();
    this.wake?.();
    const ending = new AbortController();
    const last = this.finish();
    await Promise.race([last, delay(ms, undefined, { signal: ending.signal }).catch(() => undefined)]);
    ending.abort();
    await Promise.race([this.options.sink.close().catch(() => undefined), delay(500)]);
  }

  private async finish(): Promise<void> {
    await this.running;
    // What came while it stopped; a failure leaves it to the next start.
    if (this.problem === undefined) while (!(await this.step().catch(() => true)));
  }

  private async run(): Promise<void> {
    const { feed, sink, onProblem } = this.options;
    const subscription = feed.subscribe(() => {
      this.isHinted = true;
      this.wake?.();
    });
    let pauseMs = firstPauseMs;
    while (!this.stopping.signal.aborted) {
      try {
        this.isHinted = false;
        const isEnd = await this.step();
        if (this.problem !== undefined) onProblem(`decision records are sent to ${sink.name} again`, undefined);
        this.problem = undefined;
        pauseMs = firstPauseMs;
        if (isEnd) await this.untilHinted();
      } catch (error) {
        this.failures++;
        if (this.problem === undefined) onProblem(`decision records cannot be sent to ${sink.name}`, error);
        this.problem = error instanceof Error ? error.message : String(error);
        // Replicas that lost a receiver at once do not come back at once.
        await this.rest(pauseMs * (0.5 + Math.random()));
        pauseMs = Math.min(longestPauseMs, pauseMs * 2);
      }
    }
    subscription.end();
  }

  /** Sends some records; says whether there were no more. */
  private async step(): Promise<boolean> {
    const { feed, sink, offsets, instance } = this.options;
    this.position ??= await this.begin();
    const { records, position, isEnd } = await feed.readOn(this.position);
    const [first] = records;
    // What was deleted before the sink was there is not lost to it.
    if (first !== undefined && offsets.of(sink.name)?.journal !== position.log)
      this.note(positionAt(position, first.record.sequence - 1));
    const turns = new Turns();
    const outgoing: OutgoingRecord[] = [];
    for (const { record } of records) {
      if (turns.isOver) await turns.next();
      outgoing.push({ record, text: JSON.stringify(record) });
    }
    this.sending = outgoing;
    if (outgoing.length > 0) {
      const refused = await sink.send(outgoing, { journal: position.log, instance });
      this.sent += outgoing.length - refused.length;
      this.noteRefused(refused);
    }
    this.sending = [];
    this.noteLost(sequenceOf(position) - sequenceOf(this.position) - outgoing.length);
    this.note(position);
    return isEnd;
  }

  /** Where it left off; in another journal, and for the first time, before the oldest record. */
  private async begin(): Promise<StreamPosition> {
    const { feed, offsets, sink } = this.options;
    const end = await feed.end();
    const offset = offsets.of(sink.name);
    return positionAt(end, offset?.journal === end.log ? offset.sequence : 0);
  }

  private note(position: StreamPosition): void {
    this.position = position;
    const { offsets, sink } = this.options;
    const [known, sequence] = [offsets.of(sink.name), sequenceOf(position)];
    if (known?.journal !== position.log || known.sequence !== sequence)
      offsets.note(sink.name, { journal: position.log, sequence });
  }

  private noteRefused(refused: readonly OutgoingRecord[]): void {
    if (refused.length === 0) return;
    const { sink, onProblem } = this.options;
    this.refused += refused.length;
    const ids = refused.slice(0, 5).map(({ record }) => record.id);
    onProblem(`${sink.name} does not take ${refused.length} decision records: ${ids.join(', ')}`, undefined);
  }

  /** Sequences have no hole: what is not among the records was deleted, or cannot be read. */
  private noteLost(missing: number): void {
    if (missing <= 0) return;
    this.lost += missing;
    const { sink, onProblem } = this.options;
    onProblem(
      `${missing} decision records are not in the journal any more, and ${sink.name} never got them`,
      undefined,
    );
  }

  private async untilHinted(): Promise<void> {
    if (!this.isHinted) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        if (this.stopping.signal.aborted) resolve();
      });
      this.wake = undefined;
    }
    await this.rest(patienceMs);
  }

  private async rest(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

/** A process's own feed has one writer. */
function sequenceOf({ writers }: StreamPosition): number {
  const [sequence = 0] = writers.values();
  return sequence;
}

function positionAt({ log, writers }: StreamPosition, sequence: number): StreamPosition {
  const [writer] = writers.keys();
  return { log, writers: new Map([[writer!, sequence]]) };
}
