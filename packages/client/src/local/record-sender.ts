/** Sends the records of a journal to the service, in batches, one after the other. */
import { Deadline } from '../deadline.js';
import { type VerdictError, VerdictProblem, VerdictUnavailable } from '../errors.js';
import type { Transport } from '../transport.js';
import { type Outbox, textOf } from './journal.js';
import type { Warn } from './local-warning.js';
import { timeText } from './record-text.js';
import { copyTexts, lengthOf, type StoredText } from './text-store.js';

/** What the service says of records. */
interface Taken {
  readonly next: number;
  readonly disputed: number;
  readonly refused: readonly { readonly number: number; readonly code: string; readonly message: string }[];
}

/** Most records of a batch, and most bytes: proxies take a megabyte, often. */
const mostRecords = 2_000;
const mostBytes = 900_000;
/** Records that are there wait for others so long, unless there are as many as half a batch, in milliseconds. */
const gatherMs = 200;
/** The first pause after a failure, and the longest, in milliseconds. */
const firstPauseMs = 500;
const longestPauseMs = 10_000;
/** For how long records of an earlier process that are refused are not sent again, in milliseconds. */
const longestRestMs = 60_000;

export interface SenderOptions {
  readonly transport: Transport;
  readonly timeoutMs: number;
  readonly warn: Warn;
  /** Called before records are sent: what is sent must be in the folder, if there is one. */
  prepare(): void;
  /** Called when some of an outbox was taken. */
  onTaken(outbox: Outbox): void;
  /** Moves what is left of this process's outbox into another one, which it returns. */
  renew(): Outbox;
}

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

  /** @param outboxes those of earlier processes first; the last one is that of this process */
  constructor(
    private readonly outboxes: Outbox[],
    private readonly options: SenderOptions,
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
    this.options.prepare();
    const texts: StoredText[] = [];
    let length = 0;
    for (const entry of outbox.head(this.mostOfBatch)) {
      const text = textOf(entry);
      length += text.end - text.start + 1;
      if (texts.length > 0 && length > mostBytes) break;
      texts.push(text);
    }
    const isLast = this.isClosed && outbox === this.outboxes.at(-1) && texts.length === outbox.size;
    const { instance, first } = outbox;
    try {
      const isOwn = outbox === this.outboxes.at(-1);
      // It may know more of an earlier process than its file has: what was sent, and not written.
      const mostNext = () => (isOwn ? outbox.next : Number.MAX_SAFE_INTEGER);
      const read = (value: unknown) => (isAnswer(value, first, mostNext()) ? value : undefined);
      const taken = await this.options.transport.call(
        { path: '/v1/decision-records', body: bodyOf(instance, first, texts, isLast), maxMiB: 16, read },
        new Deadline(this.options.timeoutMs),
      );
      this.tell(taken);
      this.isEndSent ||= isLast;
      this.isUnsentTold = false;
      this.mostOfBatch = Math.min(mostRecords, this.mostOfBatch * 2);
      outbox.dropBefore(Math.min(taken.next, outbox.next));
      this.options.onTaken(outbox);
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
    }
    if (isCode(error, 'instance_taken') && outbox === this.outboxes.at(-1)) {
      this.outboxes[this.outboxes.length - 1] = this.options.renew();
      return true;
    }
    // What is too much, or not understood, is found by halves. A proxy says so with a page.
    const isOfSome = error.status === 413 || (error.status === 400 && !isCode(error, 'clock_off'));
    if (isOfSome && count > 1) {
      this.mostOfBatch = Math.ceil(count / 2);
      return true;
    }
    const [entry] = outbox.head(1);
    if (isOfSome && count === 1 && entry !== undefined && entry.kind !== 'lost') {
      const { time = Date.now() } = entry;
      outbox.replaceFirst({ kind: 'lost', count: 1, from: time, to: time });
      this.options.warn({ kind: 'records_refused', message: `a record is not taken: ${error.message}`, cause: error });
      return true;
    }
    this.rest(error);
    const isAway = error instanceof VerdictUnavailable && error.kind !== 'malformed';
    if (!isAway && outbox !== this.outboxes.at(-1)) {
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
    this.options.warn({ kind: 'records_unsent', message: `records are not taken: ${error.message}`, cause: error });
  }

  private tell({ disputed, refused }: Taken): void {
    if (disputed > 0) {
      const message = `the service came to another answer for ${disputed} of the decisions that were made here`;
      this.options.warn({ kind: 'records_disputed', message });
    }
    const [one] = refused;
    if (one === undefined) return;
    const message = `${refused.length} of the records were refused, the first for ${one.code}: ${one.message}`;
    this.options.warn({ kind: 'records_refused', message });
  }
}

const encoder = new TextEncoder();
const comma = 0x2c;
const bracket = 0x5d;
const brace = 0x7d;

function bodyOf(
  instance: string,
  first: number,
  records: readonly StoredText[],
  isLast: boolean,
): Uint8Array<ArrayBuffer> {
  const ofEnd = isLast ? ',"end":true' : '';
  const head = encoder.encode(
    `{"instance":"${instance}","first":${first},"sentAt":"${timeText(Date.now())}"${ofEnd},"records":[`,
  );
  // Behind the last record stands the bracket, where others have a comma.
  const end = head.length + (records.length === 0 ? 1 : lengthOf(records));
  const body = new Uint8Array(end + 1);
  body.set(head);
  copyTexts(records, body, head.length, comma);
  body[end - 1] = bracket;
  body[end] = brace;
  return body;
}

function isCode(error: VerdictError, code: string): boolean {
  return error instanceof VerdictProblem && error.code === code;
}

/** What an answer says is taken was sent, now or before: it does not claim what it was not given. */
function isAnswer(value: unknown, first: number, mostNext: number): value is Taken {
  if (typeof value !== 'object' || value === null) return false;
  const { next, disputed, refused } = value as Partial<Record<keyof Taken, unknown>>;
  if (!(Number.isSafeInteger(next) && (next as number) >= first && (next as number) <= mostNext)) return false;
  const isRefusal = (item: unknown) => typeof item === 'object' && item !== null;
  return Number.isSafeInteger(disputed) && Array.isArray(refused) && refused.every(isRefusal);
}
