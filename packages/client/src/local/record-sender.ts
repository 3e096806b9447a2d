/** Sends the records of a journal to the service, in batches, one after the other. */
import { Deadline } from '../deadline.js';
import { type VerdictError, VerdictProblem, VerdictUnavailable } from '../errors.js';
import type { Transport } from '../transport.js';
import type { Outbox } from './journal.js';
import type { Warn } from './local-warning.js';
import { textOf, timeText } from './record-text.js';

/** What the service says of records. */
interface Taken {
  readonly next: number;
  readonly disputed: number;
  readonly refused: readonly { readonly number: number; readonly code: string; readonly message: string }[];
}

/** Most records of a batch, and most characters. */
const mostRecords = 1_000;
const mostLength = 2 ** 19;
/** Records that are there wait for others so long, unless there are as many as half a batch, in milliseconds. */
const gatherMs = 200;
/** The first pause after a failure, and the longest, in milliseconds. */
const firstPauseMs = 500;
const longestPauseMs = 10_000;
/** For how long records of an earlier process that are refused are not sent again, in milliseconds. */
const longestRestMs = 60_000;

export class RecordSender {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sending: Promise<void> | undefined;
  private pauseMs = 0;
  private mostOfBatch = mostRecords;
  /** Outboxes of earlier processes that the service refuses, such as those of another caller. */
  private readonly restsUntil = new Map<Outbox, number>();
  private isUrgent = false;
  private isEndSent = false;
  private isUnsentTold = false;
  private isClosed = false;

  /**
   * @param outboxes those of earlier processes first; the last one is that of this process
   * @param onTaken called when some of an outbox was taken
   * @param prepare called before records are sent: what is sent must be in the folder, if there is one
   */
  constructor(
    private readonly transport: Transport,
    private readonly outboxes: Outbox[],
    private readonly timeoutMs: number,
    private readonly warn: Warn,
    private readonly prepare: () => void,
    private readonly onTaken: (outbox: Outbox) => void,
  ) {}

  /** Called with each record: it leaves soon, at once where many wait. */
  note(waiting: number): void {
    if (this.isClosed || this.sending !== undefined || this.pauseMs > 0) return;
    if (waiting >= mostRecords / 2) this.later(0);
    else if (this.timer === undefined) this.later(gatherMs);
  }

  /** Sends what is left, once, and says that nothing follows. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.sending;
    this.pauseMs = 0;
    await this.sendAll();
    // One that recorded nothing is not known to the service, and need not be.
    const own = this.outboxes.at(-1) as Outbox;
    if (!this.isEndSent && own.size === 0 && own.next > 1 && this.pauseMs === 0) await this.sendPart(own);
  }

  private later(ms: number): void {
    if (this.timer !== undefined && (ms > 0 || this.isUrgent)) return;
    clearTimeout(this.timer);
    this.isUrgent = ms === 0;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.sending = this.sendAll().finally(() => {
        this.sending = undefined;
        if (this.isClosed) return;
        if (this.pauseMs > 0) this.later(this.pauseMs);
        else if (this.waiting > 0) this.note(this.waiting);
      });
    }, ms);
    // A process is not kept alive by what it could not get rid of; `close` waits for it.
    (this.timer as { unref?: () => void }).unref?.();
  }

  /** Number of records that can be sent. */
  private get waiting(): number {
    const now = performance.now();
    const open = this.outboxes.filter((outbox) => now >= (this.restsUntil.get(outbox) ?? 0));
    return open.reduce((sum, { size }) => sum + size, 0);
  }

  /** Does not reject. */
  private async sendAll(): Promise<void> {
    for (const outbox of this.outboxes) {
      if (performance.now() < (this.restsUntil.get(outbox) ?? 0)) continue;
      while (outbox.size > 0 && (await this.sendPart(outbox)));
      // Where the service is away, it is so for the others, too. What it refuses of an earlier process does not hold up the others.
      if (this.pauseMs > 0) return;
    }
  }

  /** @returns whether some were taken, or something else can be sent in their place */
  private async sendPart(outbox: Outbox): Promise<boolean> {
    this.prepare();
    const texts: string[] = [];
    let length = 0;
    for (const entry of outbox.head(this.mostOfBatch)) {
      const text = textOf(entry);
      if (texts.length > 0 && length + text.length > mostLength) break;
      texts.push(text);
      length += text.length;
    }
    const isLast = this.isClosed && outbox === this.outboxes.at(-1) && texts.length === outbox.size;
    const { instance, first } = outbox;
    const body = () =>
      `{"instance":"${instance}","first":${first},"sentAt":"${timeText(Date.now())}"${isLast ? ',"end":true' : ''},"records":[${texts.join()}]}`;
    const isTaken = (value: unknown): value is Taken => isAnswer(value, first, outbox.next);
    try {
      const read = (value: unknown) => (isTaken(value) ? value : undefined);
      const taken = await this.transport.call(
        { path: '/v1/decision-records', body: body(), maxMiB: 16, read },
        new Deadline(this.timeoutMs),
      );
      this.tell(taken);
      this.isEndSent ||= isLast;
      this.isUnsentTold = false;
      this.mostOfBatch = Math.min(mostRecords, this.mostOfBatch * 2);
      outbox.dropBefore(taken.next);
      this.onTaken(outbox);
      // One that takes nothing of it is not asked again at once.
      this.pauseMs = taken.next > first || texts.length === 0 ? 0 : firstPauseMs;
      return this.pauseMs === 0;
    } catch (error) {
      const known = error instanceof VerdictProblem || error instanceof VerdictUnavailable;
      // Such as a key that no header can have.
      const failure = known ? error : new VerdictUnavailable('no_key', (error as Error).message, { cause: error });
      return this.isMended(failure, outbox, texts.length);
    }
  }

  private isMended(error: VerdictProblem | VerdictUnavailable, outbox: Outbox, count: number): boolean {
    if (error instanceof VerdictProblem) {
      const { next } = error.problem as { readonly next?: unknown };
      if (
        error.code === 'records_missing' &&
        Number.isSafeInteger(next) &&
        (next as number) < outbox.first &&
        (next as number) > 0
      ) {
        // It had them, and has them no longer: its database is that of an earlier day.
        outbox.precede(next as number, Date.now());
        return true;
      }
      // What is too much, or not understood, is found by halves.
      if ([400, 413].includes(error.status) && error.code !== 'clock_off' && count > 0) {
        if (count > 1) {
          this.mostOfBatch = Math.ceil(count / 2);
          return true;
        }
        const [entry] = outbox.head(1);
        if (entry !== undefined && entry.kind !== 'lost') {
          const time = entry.kind === 'record' ? entry.time : Date.now();
          outbox.replaceFirst({ kind: 'lost', count: 1, from: time, to: time });
          this.warn({ kind: 'records_refused', message: `a record is not taken: ${error.message}`, cause: error });
          return true;
        }
      }
    }
    this.rest(error);
    if (error instanceof VerdictProblem && outbox !== this.outboxes.at(-1)) {
      this.restsUntil.set(outbox, performance.now() + longestRestMs);
      this.pauseMs = 0;
    }
    return false;
  }

  private rest(error: VerdictError): void {
    const { retryAfterMs = 0 } = error as { readonly retryAfterMs?: number | undefined };
    this.pauseMs = Math.max(retryAfterMs, Math.min(longestPauseMs, Math.max(firstPauseMs, this.pauseMs * 2)));
    if (this.isUnsentTold) return;
    this.isUnsentTold = true;
    this.warn({ kind: 'records_unsent', message: `records are not taken: ${error.message}`, cause: error });
  }

  private tell({ disputed, refused }: Taken): void {
    if (disputed > 0) {
      const message = `the service came to another answer for ${disputed} of the decisions that were made here`;
      this.warn({ kind: 'records_disputed', message });
    }
    const [one] = refused;
    if (one === undefined) return;
    const message = `${refused.length} of the records were refused, the first for ${one.code}: ${one.message}`;
    this.warn({ kind: 'records_refused', message });
  }
}

/** An answer is about what was sent, now or in a try before: it does not claim what it was not given. */
function isAnswer(value: unknown, first: number, end: number): value is Taken {
  if (typeof value !== 'object' || value === null) return false;
  const { next, disputed, refused } = value as Partial<Record<keyof Taken, unknown>>;
  if (!(Number.isSafeInteger(next) && (next as number) >= first && (next as number) <= end)) return false;
  const isRefusal = (item: unknown) => typeof item === 'object' && item !== null;
  return Number.isSafeInteger(disputed) && Array.isArray(refused) && refused.every(isRefusal);
}
