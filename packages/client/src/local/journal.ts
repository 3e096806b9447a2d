/**
 * The records of decisions that the service does not have yet, under numbers without a hole. What is full loses the newest, and says
 * so in the place of what was lost: older records are the ones that others may refer to by now.
 */
import { lossText } from './record-text.js';
import { type StoredText, storedText } from './text-store.js';

export interface JournalRecord {
  readonly kind: 'record';
  /** As the service takes it: JSON. */
  readonly text: StoredText;
  /** What it takes of the room of the journal: 1, or more where it is long. */
  readonly weight: number;
  /** When it was decided, in milliseconds since 1970; undefined for one of an earlier process. */
  readonly time: number | undefined;
  readonly hasRequestId: boolean;
}

export interface LostRecords {
  readonly kind: 'lost';
  count: number;
  /** Milliseconds since 1970. */
  readonly from: number;
  to: number;
}

export type JournalEntry = JournalRecord | LostRecords;

/** How many numbers an entry has. */
export function numbersOf(entry: JournalEntry): number {
  return entry.kind === 'lost' ? entry.count : 1;
}

function weightOf(entry: JournalEntry): number {
  return entry.kind === 'lost' ? 1 : entry.weight;
}

/** An entry as the service takes it. */
export function textOf(entry: JournalEntry): StoredText {
  return entry.kind === 'lost' ? storedText(lossText(entry)) : entry.text;
}

/** A record of so many bytes counts as one more. */
const bytesOfOne = 4_096;

/** What a text of so many bytes takes of the room of a journal. */
export function weightOfBytes(bytes: number): number {
  return 1 + Math.floor(bytes / bytesOfOne);
}

/** The entries of one instance that the service does not have. */
export class Outbox {
  private entries: JournalEntry[] = [];
  /** Entries in front that are done with; they are cut off now and then. */
  private done = 0;
  private wholeWeight = 0;
  private firstNumber: number;
  private nextNumber: number;

  constructor(
    readonly instance: string,
    first = 1,
  ) {
    this.firstNumber = first;
    this.nextNumber = first;
  }

  /** The number of the first entry that is left. */
  get first(): number {
    return this.firstNumber;
  }

  /** The number that the next entry gets. */
  get next(): number {
    return this.nextNumber;
  }

  /** Number of entries that are left. */
  get size(): number {
    return this.entries.length - this.done;
  }

  /** What the entries that are left take of the room of the journal. */
  get weight(): number {
    return this.wholeWeight;
  }

  /** The last entry, if it is left. */
  get last(): JournalEntry | undefined {
    return this.size === 0 ? undefined : this.entries.at(-1);
  }

  /** @returns its number, or that of the first of those that were lost */
  add(entry: JournalEntry): number {
    const number = this.nextNumber;
    this.entries.push(entry);
    this.wholeWeight += weightOf(entry);
    this.nextNumber = number + numbersOf(entry);
    return number;
  }

  /** Counts one more that was lost. @returns its number */
  lose(time: number): number {
    const { last } = this;
    if (last?.kind !== 'lost') return this.add({ kind: 'lost', count: 1, from: time, to: time });
    last.count++;
    last.to = Math.max(last.from, time);
    return this.nextNumber++;
  }

  /** The first entries, as many as are wanted. */
  head(most: number): readonly JournalEntry[] {
    return this.entries.slice(this.done, this.done + most);
  }

  /** Forgets all before a number. Of records that were lost together a part may stay. */
  dropBefore(number: number): void {
    while (this.size > 0 && this.firstNumber < number) {
      const entry = this.entries[this.done] as JournalEntry;
      const count = numbersOf(entry);
      if (entry.kind === 'lost' && this.firstNumber + count > number) {
        entry.count -= number - this.firstNumber;
        this.firstNumber = number;
        return;
      }
      this.firstNumber += count;
      this.wholeWeight -= weightOf(entry);
      this.done++;
    }
    if (this.done > 1_000 && this.done * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.done);
      this.done = 0;
    }
  }

  /** Puts in the place of the first entry that as many records were lost. */
  replaceFirst(lost: LostRecords): void {
    this.wholeWeight += weightOf(lost) - weightOf(this.entries[this.done] as JournalEntry);
    this.entries[this.done] = lost;
  }

  /** Makes it begin earlier, with records that are gone. */
  precede(number: number, time: number): void {
    const count = this.firstNumber - number;
    this.wholeWeight += 1;
    this.entries.splice(0, this.done, { kind: 'lost', count, from: time, to: time });
    this.done = 0;
    this.firstNumber = number;
  }
}
