/** How the key index is written down (1764400000003-key-pages.ts), and how its entries are put in order. */
import type { Turns } from '../../turns/turns.js';
import { keyBytes } from '../record-keys.js';

/** Most rows of a segment: an ordinal has two bytes. */
export const segmentRows = 65_536;
/** A key and an ordinal, by which entries are in order. */
export const placeBytes = keyBytes + 2;
/** Bytes of an entry. */
export const pageEntryBytes = placeBytes + 2;
/** Entries of a page: with less than 100 bytes beside them it fills one of PostgreSQL's. */
const pageEntries = 800;
/** Bytes of a row in the list of its segment. */
export const listBytes = 30;
/** Rows from one mark to the next. */
export const markedRows = 256;
export const markBytes = 6;

/** A key and the mask of its places, as a row of `decision_group` has them. */
const rowEntryBytes = keyBytes + 2;
/** Entries between two looks at the clock: a millisecond. */
const entriesAtOnce = 16_384;
const digitValues = 65_536;

/** A row as its segment lists it. Times in milliseconds since 1970. */
export interface ListedRow {
  readonly writer: number;
  readonly first: number;
  readonly since: number;
  readonly until: number;
  readonly count: number;
  /** The size of its text. */
  readonly bytes: number;
}

export function encodeList(rows: readonly ListedRow[]): Buffer {
  const list = Buffer.allocUnsafe(rows.length * listBytes);
  let at = 0;
  for (const { writer, first, since, until, count, bytes } of rows) {
    at = list.writeUInt32BE(writer, at);
    at = list.writeUIntBE(first, at, 6);
    at = list.writeUIntBE(since, at, 6);
    at = list.writeUIntBE(until, at, 6);
    at = list.writeUInt32BE(count, at);
    at = list.writeUInt32BE(bytes, at);
  }
  return list;
}

/** The row whose bytes begin at `at`. */
export function decodeListed(list: Buffer, at = 0): ListedRow {
  return {
    writer: list.readUInt32BE(at),
    first: list.readUIntBE(at + 4, 6),
    since: list.readUIntBE(at + 10, 6),
    until: list.readUIntBE(at + 16, 6),
    count: list.readUInt32BE(at + 22),
    bytes: list.readUInt32BE(at + 26),
  };
}

export function encodeMarks(rows: readonly ListedRow[]): Buffer {
  const marks = Buffer.allocUnsafe(Math.ceil(rows.length / markedRows) * markBytes);
  for (let i = 0; i * markedRows < rows.length; i++) {
    marks.writeUIntBE(rows[i * markedRows]!.until, i * markBytes, markBytes);
  }
  return marks;
}

/** A key and an ordinal, in the order of entries. */
export function placeOf(key: Buffer, ordinal: number): Buffer {
  const place = Buffer.allocUnsafe(placeBytes);
  key.copy(place);
  place.writeUInt16BE(ordinal, keyBytes);
  return place;
}

export interface KeyPage {
  readonly low: Buffer;
  readonly entries: Buffer;
}

/** The entries of a segment while it is made. */
export class SegmentEntries {
  /** The first, second and third 16 bits of each key, then its ordinal and its mask. */
  private readonly high: Uint16Array;
  private readonly middle: Uint16Array;
  private readonly low: Uint16Array;
  private readonly ordinals: Uint16Array;
  private readonly masks: Uint16Array;
  private size = 0;

  /** @param most entries that there may be */
  constructor(most: number) {
    this.high = new Uint16Array(most);
    this.middle = new Uint16Array(most);
    this.low = new Uint16Array(most);
    this.ordinals = new Uint16Array(most);
    this.masks = new Uint16Array(most);
  }

  get count(): number {
    return this.size;
  }

  /** @param keys as `decision_group` has them; where a mask has no bit, the key can be at any place */
  add(ordinal: number, keys: Buffer): void {
    for (let at = 0; at + rowEntryBytes <= keys.length; at += rowEntryBytes) {
      this.high[this.size] = keys.readUInt16BE(at);
      this.middle[this.size] = keys.readUInt16BE(at + 2);
      this.low[this.size] = keys.readUInt16BE(at + 4);
      this.ordinals[this.size] = ordinal;
      this.masks[this.size] = keys.readUInt16BE(at + keyBytes) || 0xffff;
      this.size++;
    }
  }

  /** @param ordinals the new ones, by those of the page */
  addPage(entries: Buffer, ordinals: Uint16Array): void {
    for (let at = 0; at < entries.length; at += pageEntryBytes) {
      this.high[this.size] = entries.readUInt16BE(at);
      this.middle[this.size] = entries.readUInt16BE(at + 2);
      this.low[this.size] = entries.readUInt16BE(at + 4);
      this.ordinals[this.size] = ordinals[entries.readUInt16BE(at + keyBytes)]!;
      this.masks[this.size] = entries.readUInt16BE(at + placeBytes);
      this.size++;
    }
  }

  /** The pages, in order. Ends the turn whenever it is over. */
  async *pages(turns: Turns): AsyncGenerator<KeyPage> {
    const order = await this.sorted(turns);
    for (let from = 0; from < this.size; from += pageEntries) {
      if (turns.isOver) await turns.next();
      const end = Math.min(this.size, from + pageEntries);
      const entries = Buffer.allocUnsafe((end - from) * pageEntryBytes);
      let at = 0;
      for (let i = from; i < end; i++) {
        const entry = order[i]!;
        at = entries.writeUInt16BE(this.high[entry]!, at);
        at = entries.writeUInt16BE(this.middle[entry]!, at);
        at = entries.writeUInt16BE(this.low[entry]!, at);
        at = entries.writeUInt16BE(this.ordinals[entry]!, at);
        at = entries.writeUInt16BE(this.masks[entry]!, at);
      }
      yield { low: entries.subarray(0, placeBytes), entries };
    }
  }

  /**
   * The places of the entries in the order of their keys and ordinals, by radix, since its time depends on nothing but their
   * number: keys are of ids that callers choose.
   */
  private async sorted(turns: Turns): Promise<Uint32Array> {
    let order: Uint32Array = new Uint32Array(this.size);
    for (let i = 0; i < order.length; i++) order[i] = i;
    for (const digits of [this.ordinals, this.low, this.middle, this.high])
      order = await sortedBy(digits, order, turns);
    return order;
  }
}

async function sortedBy(digits: Uint16Array, order: Uint32Array, turns: Turns): Promise<Uint32Array> {
  const starts = new Uint32Array(digitValues + 1);
  for (let i = 0; i < order.length; i++) {
    if (i % entriesAtOnce === 0 && turns.isOver) await turns.next();
    starts[digits[i]! + 1]!++;
  }
  for (let digit = 0; digit < digitValues; digit++) starts[digit + 1]! += starts[digit]!;
  const sorted = new Uint32Array(order.length);
  for (let i = 0; i < order.length; i++) {
    if (i % entriesAtOnce === 0 && turns.isOver) await turns.next();
    const entry = order[i]!;
    sorted[starts[digits[entry]!]!++] = entry;
  }
  return sorted;
}
