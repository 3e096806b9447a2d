/** Numbers decisions, keeps their records until the service has them, and loses them where there is no room, in a way that shows. */
import type { EngineDecision } from '@verdict/engine';
import type { Transport } from '../transport.js';
import type { DecideRequest } from '../types.js';
import { type JournalEntry, numbersOf, Outbox } from './journal.js';
import type { JournalFolder } from './journal-folder.js';
import type { Warn } from './local-warning.js';
import { RecordSender } from './record-sender.js';

export interface RecorderOptions {
  readonly transport: Transport;
  readonly folder: JournalFolder | undefined;
  readonly maxRecords: number;
  readonly timeoutMs: number;
  readonly warn: Warn;
}

/** What is recorded beside question and answer. */
export interface AboutRecord {
  readonly requestId: string | undefined;
  readonly traceparent: string | undefined;
  /** Of the question, in characters. */
  readonly length: number;
}

/** A record with a question of so many characters counts as one more. */
const lengthOfOne = 4_096;

/** How long a record may be in memory alone where there is a folder, in milliseconds: what a kill loses. */
const writeMs = 20;

export class Recorder {
  /** The name of this process to the service: 128 random bits. */
  readonly instance: string;
  private readonly own: Outbox;
  private readonly left: readonly Outbox[];
  private readonly sender: RecordSender;
  /** Records of the own outbox that are not in the folder. */
  private unwritten: JournalEntry[] = [];
  private writtenTo = 1;
  private writing: ReturnType<typeof setTimeout> | undefined;
  private isLossTold = false;
  private isFolderTold = false;

  constructor(private readonly options: RecorderOptions) {
    const { transport, folder, timeoutMs, warn } = options;
    this.instance = newInstance();
    this.own = new Outbox(this.instance);
    this.left = this.leftIn(folder);
    const outboxes = [...this.left, this.own];
    const onTaken = (outbox: Outbox) => this.taken(outbox);
    this.sender = new RecordSender(transport, outboxes, timeoutMs, warn, () => this.write(), onTaken);
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

  get unsent(): number {
    return this.left.reduce((sum, { size }) => sum + size, this.own.size);
  }

  get hasRoom(): boolean {
    return this.left.reduce((sum, { weight }) => sum + weight, this.own.weight) < this.options.maxRecords;
  }

  /** @returns the number of the decision */
  record(
    time: number,
    head: string,
    question: DecideRequest,
    given: EngineDecision,
    { requestId, traceparent, length }: AboutRecord,
  ): number {
    if (!this.hasRoom) return this.lose(time);
    // An explanation may be long, and is not recorded.
    const answer = given.explanation === undefined ? given : { ...given, explanation: undefined };
    const weight = 1 + Math.floor(length / lengthOfOne);
    const entry = { kind: 'record', weight, time, head, question, answer, requestId, traceparent } as const;
    const number = this.own.add(entry);
    this.written(entry);
    this.sender.note(this.own.size);
    return number;
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
    this.inFolder((folder) => folder.dropBefore(outbox.instance, outbox.first));
  }

  private written(entry: JournalEntry): void {
    if (this.options.folder === undefined) return;
    this.unwritten.push(entry);
    this.writing ??= setTimeout(() => this.write(), writeMs);
  }

  private write(): void {
    clearTimeout(this.writing);
    this.writing = undefined;
    if (this.unwritten.length === 0) return;
    const [entries, first] = [this.unwritten, this.writtenTo];
    this.unwritten = [];
    this.writtenTo = entries.reduce((number, entry) => number + numbersOf(entry), first);
    this.inFolder((folder) => folder.append(this.instance, first, merged(entries)));
  }

  private inFolder(work: (folder: JournalFolder) => void): void {
    const { folder, warn } = this.options;
    if (folder === undefined) return;
    try {
      work(folder);
      this.isFolderTold = false;
    } catch (cause) {
      if (this.isFolderTold) return;
      this.isFolderTold = true;
      const message = `records are in memory alone: ${(cause as Error).message}`;
      warn({ kind: 'journal', message, cause });
    }
  }
}

/** Losses that follow each other are one. */
function merged(entries: readonly JournalEntry[]): readonly JournalEntry[] {
  const all: JournalEntry[] = [];
  for (const entry of entries) {
    const last = all.at(-1);
    if (entry.kind === 'lost' && last?.kind === 'lost') {
      last.count += entry.count;
      last.to = Math.max(last.from, entry.to);
    } else all.push(entry.kind === 'lost' ? { ...entry } : entry);
  }
  return all;
}

function newInstance(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
