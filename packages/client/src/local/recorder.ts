/** Numbers decisions, keeps their records until the service has them, and loses them where there is no room, in a way that shows. */
import type { Transport } from '../transport.js';
import { type JournalEntry, type JournalRecord, numbersOf, Outbox, weightOfBytes } from './journal.js';
import type { JournalFolder } from './journal-folder.js';
import type { Warn } from './local-warning.js';
import { RecordSender } from './record-sender.js';
import { type AboutRecord, type RecordedAnswer, recordText, withRequestId } from './record-text.js';
import { readText, TextStore } from './text-store.js';

export interface RecorderOptions {
  readonly transport: Transport;
  readonly folder: JournalFolder | undefined;
  readonly maxRecords: number;
  readonly timeoutMs: number;
  readonly warn: Warn;
}

/** How long nothing is written after a failure, in milliseconds. */
const restMs = 5_000;

/** How long a record may be in memory alone where there is a folder, in milliseconds: what a kill loses. */
const writeMs = 20;

export class Recorder {
  private own: Outbox;
  private readonly left: readonly Outbox[];
  private readonly sender: RecordSender;
  /** Records of the own outbox that are not in the folder. */
  private unwritten: JournalEntry[] = [];
  private writtenTo = 1;
  private writing: ReturnType<typeof setTimeout> | undefined;
  private readonly texts = new TextStore();
  private isLossTold = false;
  private isFolderTold = false;
  /** Until then nothing is written into the folder, by the monotonic clock. */
  private restsUntil = 0;

  constructor(private readonly options: RecorderOptions) {
    const { transport, folder, timeoutMs, warn } = options;
    this.own = new Outbox(newInstance());
    this.left = this.leftIn(folder);
    this.sender = new RecordSender([...this.left, this.own], {
      transport,
      timeoutMs,
      warn,
      prepare: () => this.write(),
      onTaken: (outbox) => this.taken(outbox),
      renew: () => this.renew(),
    });
    if (this.unsent > 0) this.sender.note(this.unsent);
  }

  private leftIn(folder: JournalFolder | undefined): readonly Outbox[] {
    try {
      return folder?.left() ?? [];
    } catch (cause) {
      const message = `what earlier processes left cannot be read: ${(cause as Error).message}`;
      this.options.warn({ kind: 'journal', message, cause });
      return [];
    }
  }

  /** The name of this process to the service: 128 random bits. */
  get instance(): string {
    return this.own.instance;
  }

  get unsent(): number {
    return this.left.reduce((sum, { size }) => sum + size, this.own.size);
  }

  get hasRoom(): boolean {
    return this.left.reduce((sum, { weight }) => sum + weight, this.own.weight) < this.options.maxRecords;
  }

  /**
   * @param question JSON of what a record holds of it
   * @returns the number of the decision
   */
  record(about: AboutRecord, question: string, answer: RecordedAnswer): number {
    const { time, requestId } = about;
    if (!this.hasRoom) return this.lose(time);
    const entry = this.entryOf(recordText(about, question, answer), time, requestId !== undefined);
    const number = this.own.add(entry);
    this.written(entry);
    this.sender.note(this.own.size);
    return number;
  }

  private entryOf(record: string, time: number | undefined, hasRequestId: boolean): JournalRecord {
    const text = this.texts.add(record);
    return { kind: 'record', text, weight: weightOfBytes(text.end - text.start), time, hasRequestId };
  }

  async close(): Promise<void> {
    await this.sender.close();
    this.write();
    const { folder, warn } = this.options;
    if (this.unsent > 0) {
      const where = folder === undefined ? 'and are lost' : 'and stay in the folder of the journal';
      warn({ kind: 'records_unsent', message: `${this.unsent} records could not be sent, ${where}` });
    }
    folder?.close();
  }

  private lose(time: number): number {
    if (!this.isLossTold) {
      this.isLossTold = true;
      const message = `the journal has ${this.options.maxRecords} records that the service does not take: what is decided now is not recorded`;
      this.options.warn({ kind: 'records_lost', message });
    }
    const number = this.own.lose(time);
    this.written({ kind: 'lost', count: 1, from: time, to: time });
    return number;
  }

  private taken(outbox: Outbox): void {
    if (this.hasRoom) this.isLossTold = false;
    // What could not be written, and is there by now, need not be.
    if (outbox === this.own) {
      let done = 0;
      while (done < this.unwritten.length && this.writtenTo < outbox.first) {
        this.writtenTo += numbersOf(this.unwritten[done++] as JournalEntry);
      }
      this.unwritten = this.unwritten.slice(done);
    }
    this.inFolder((folder) => folder.dropBefore(outbox.instance, outbox.first));
  }

  /**
   * Begins another instance with all that is left: the service says that this one is of another caller, as it is where the key is one
   * of another name by now. Records are found by the ids that were given out, as their `requestId`.
   */
  private renew(): Outbox {
    const before = this.own;
    this.own = new Outbox(newInstance());
    let number = before.first;
    for (const entry of before.head(before.size)) {
      const requestId = `${before.instance}-${number}`;
      number += numbersOf(entry);
      const isNamed = entry.kind === 'lost' || entry.hasRequestId;
      this.own.add(
        isNamed ? { ...entry } : this.entryOf(withRequestId(readText(entry.text), requestId), entry.time, true),
      );
    }
    before.dropBefore(before.next);
    this.inFolder((folder) => folder.dropBefore(before.instance, before.next));
    if (this.options.folder !== undefined) this.unwritten = [...this.own.head(this.own.size)];
    this.writtenTo = 1;
    return this.own;
  }

  private written(entry: JournalEntry): void {
    if (this.options.folder === undefined) return;
    const last = this.unwritten.at(-1);
    if (entry.kind === 'lost' && last?.kind === 'lost') {
      last.count += entry.count;
      last.to = Math.max(last.from, entry.to);
    } else this.unwritten.push(entry);
    this.writing ??= setTimeout(() => this.write(), writeMs);
  }

  private write(): void {
    clearTimeout(this.writing);
    this.writing = undefined;
    if (this.unwritten.length === 0) return;
    // What cannot be written now is tried again with what comes, and not at once.
    if (performance.now() < this.restsUntil) return;
    const entries = this.unwritten;
    const isWritten = this.inFolder((folder) => folder.append(this.own.instance, this.writtenTo, entries));
    if (!isWritten) {
      this.restsUntil = performance.now() + restMs;
      return;
    }
    this.isFolderTold = false;
    this.unwritten = [];
    this.writtenTo = entries.reduce((number, entry) => number + numbersOf(entry), this.writtenTo);
  }

  /** @returns whether it could be done */
  private inFolder(work: (folder: JournalFolder) => void): boolean {
    const { folder, warn } = this.options;
    if (folder === undefined) return true;
    try {
      work(folder);
      return true;
    } catch (cause) {
      if (this.isFolderTold) return false;
      this.isFolderTold = true;
      const message = `records are in memory alone: ${(cause as Error).message}`;
      warn({ kind: 'journal', message, cause });
      return false;
    }
  }
}

function newInstance(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
