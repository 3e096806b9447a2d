/**
 * Scans a body of any length for what strict JSON refuses, some bytes at a time, so that no turn is long. It accepts
 * any bytes: `JSON.parse` says afterwards whether they are JSON.
 */
import { pointerStep } from '../core/json-pointer.js';

const quoteCode = 0x22;
const commaCode = 0x2c;
const colonCode = 0x3a;
const openBracketCode = 0x5b;
const backslashCode = 0x5c;
const closeBracketCode = 0x5d;
const letterUCode = 0x75;
const openBraceCode = 0x7b;
const closeBraceCode = 0x7d;
const spaceCode = 0x20;

/** Up to this number of members, comparing each name with those before is cheaper than a set. */
const fewMembers = 16;
/** Seed of the hash of names. It is random, so that no client can construct names with equal hashes. */
const hashSeed = Math.floor(Math.random() * 0x7fffffff);

export interface ScanLimits {
  /** Levels of objects and arrays; the outermost value is 1. */
  readonly depth: number;
  /** Most members, elements and brackets. It bounds the time that parsing takes. */
  readonly values: number;
}

/** The list whose elements are scanned one by one: a member of the outermost object. */
export interface ScannedList {
  readonly member: string;
  /** Most elements that are kept. Further ones are only counted. */
  readonly limit: number;
}

export interface ScanFault {
  readonly kind: 'strict' | 'values';
  /** RFC 6901 pointer. */
  readonly pointer: string;
  readonly detail: string;
  /** For too many values: the first members of the object that holds the last value. */
  readonly members?: readonly string[];
}

/** Most members that a fault names. */
const maxNamed = 20;

/** The bytes of an element, from `start` up to but without `end`, with the blanks around it. */
export interface ScannedElement {
  readonly start: number;
  readonly end: number;
  /** True if it holds more values than the limit. It has not been checked then. */
  readonly oversized: boolean;
}

export class JsonScan {
  /** The first fault. The scan ends there. */
  fault: ScanFault | undefined;
  readonly elements: ScannedElement[] = [];
  /** How many elements there are, those beyond the limit included. */
  count = 0;
  /** The brackets of the list; `listStart` is -1 while there is none. */
  listStart = -1;
  listEnd = -1;
  /** Bytes between values, outside the list. */
  blanks = 0;

  private offset = 0;
  private inString = false;
  private stringStart = 0;
  private escaped = false;
  /** The last string that ended: a member's name where a colon follows. */
  private nameStart = 0;
  private nameEnd = 0;
  private nameEscaped = false;
  // The names of the open objects, outermost first. Those at depth d start at #nameStarts[d - 1].
  private names = 0;
  private readonly hashes: number[] = [];
  private readonly starts: number[] = [];
  /** Ends of names; negative where the name holds an escape. */
  private readonly ends: number[] = [];
  private readonly nameStarts: number[] = [];
  /**
   * One entry for each open value. An array: the index of its element. An object: -1 before a member's colon, -2 behind
   * it.
   */
  private readonly places: number[] = [];
  private readonly largeObjects: (Set<string> | undefined)[] = [];
  /** Number of values: within the list, of the current element; outside, of everything else. */
  private values = 0;
  private valuesOutside = 0;
  private listFollows = false;
  private inList = false;
  private elementStart = 0;
  /** Depth below the list while an oversized element is passed over; -1 otherwise. */
  private skipping = -1;

  constructor(
    private body: Buffer,
    private limits: ScanLimits,
    private readonly list?: ScannedList,
  ) {}

  /**
   * Starts again with another body, after a scan without a list. The arrays are reused, which costs less than new ones.
   */
  restart(body: Buffer, limits: ScanLimits): void {
    this.body = body;
    this.limits = limits;
    this.fault = undefined;
    this.blanks = 0;
    this.offset = 0;
    this.inString = false;
    this.nameStart = 0;
    this.nameEnd = 0;
    this.nameEscaped = false;
    this.names = 0;
    this.nameStarts.length = 0;
    this.values = 0;
  }

  /** Scans about `bytes` bytes. Returns true at the end of the body or at a fault. */
  run(bytes: number): boolean {
    const { body } = this;
    const end = Math.min(body.length, this.offset + bytes);
    let offset = this.offset;
    while (offset < end) {
      if (this.inString) {
        // Bytes of characters beyond ASCII are all above 0x7f.
        let byte = 0;
        while (offset < end) {
          byte = body[offset]!;
          if (byte === quoteCode || byte === backslashCode) break;
          offset++;
        }
        if (offset >= end) break;
        if (byte === backslashCode) {
          this.escaped = true;
          const next = this.afterEscape(offset);
          if (next === -1) return true;
          offset = next;
          continue;
        }
        this.inString = false;
        this.nameStart = this.stringStart;
        this.nameEnd = offset++;
        this.nameEscaped = this.escaped;
        continue;
      }
      switch (body[offset]!) {
        case quoteCode:
          this.inString = true;
          this.escaped = false;
          this.stringStart = offset + 1;
          break;
        case openBraceCode:
          this.open(offset, -1);
          break;
        case openBracketCode:
          this.open(offset, 0);
          break;
        case closeBraceCode:
        case closeBracketCode:
          this.close(offset);
          break;
        case commaCode:
          this.comma(offset);
          break;
        case colonCode:
          this.colon();
          break;
        case spaceCode:
        case 0x09:
        case 0x0a:
        case 0x0d:
          if (!this.inList) this.blanks++;
      }
      if (this.fault !== undefined) return true;
      offset++;
    }
    this.offset = offset;
    return offset >= body.length;
  }

  private open(offset: number, place: -1 | 0): void {
    if (this.skipping >= 0) {
      this.skipping++;
      return;
    }
    const depth = this.nameStarts.length;
    if (depth === this.limits.depth) {
      this.fail(`nested deeper than ${depth} levels`);
      return;
    }
    this.countValue();
    if (this.skipping >= 0) {
      this.skipping++;
      return;
    }
    if (this.listFollows && depth === 1 && place === 0) {
      this.inList = true;
      this.valuesOutside = this.values;
      this.values = 0;
      this.listStart = offset;
      this.elementStart = offset + 1;
    }
    this.listFollows = false;
    this.places[depth] = place;
    this.largeObjects[depth] = undefined;
    this.nameStarts.push(this.names);
  }

  private close(offset: number): void {
    if (this.skipping > 0) {
      this.skipping--;
      return;
    }
    if (this.inList && this.nameStarts.length === 2) {
      this.endElement(offset, true);
      this.inList = false;
      this.values = this.valuesOutside;
      this.listEnd = offset + 1;
    }
    this.names = this.nameStarts.pop() ?? 0;
  }

  private comma(offset: number): void {
    if (this.skipping > 0) return;
    const depth = this.nameStarts.length;
    if (depth === 0) return;
    if (depth === 1) this.listFollows = false;
    if (this.inList && depth === 2) this.endElement(offset, false);
    const place = this.places[depth - 1]!;
    if (place < 0) {
      this.places[depth - 1] = -1;
      return;
    }
    this.places[depth - 1] = place + 1;
    this.countValue();
  }

  private colon(): void {
    if (this.skipping >= 0) return;
    const depth = this.nameStarts.length;
    if (depth === 0) return;
    const start = this.nameStart;
    const end = this.nameEnd;
    const escaped = this.nameEscaped;
    const hash = this.hash(start, end, escaped);
    const first = this.nameStarts[depth - 1]!;
    const index = this.names++;
    this.hashes[index] = hash;
    this.starts[index] = start;
    this.ends[index] = escaped ? -end : end;
    this.places[depth - 1] = -2;
    if (depth === 1) this.listFollows = this.list !== undefined && this.name(index) === this.list.member;
    if (this.isProto(index)) {
      this.fail('__proto__ as a member name');
    } else if (index - first < fewMembers) {
      for (let i = first; i < index; i++) {
        if (this.hashes[i] === hash && this.name(i) === this.name(index)) this.fail('duplicate member name');
      }
    } else {
      let large = this.largeObjects[depth - 1];
      if (large === undefined) {
        large = new Set();
        for (let i = first; i < index; i++) large.add(this.name(i));
        this.largeObjects[depth - 1] = large;
      }
      const name = this.name(index);
      if (large.has(name)) this.fail('duplicate member name');
      large.add(name);
    }
    this.countValue();
  }

  /** Counts a value. Too many are a fault; an element of the list with too many is passed over. */
  private countValue(): void {
    if (++this.values <= this.limits.values) return;
    if (!this.inList) {
      const first = this.nameStarts.at(-1) ?? this.names;
      const named = Math.min(this.names - first, maxNamed);
      this.fault ??= {
        kind: 'values',
        pointer: '',
        detail: `holds more than ${this.limits.values} values`,
        members: Array.from({ length: named }, (_, n) => this.pointer(first + n)),
      };
      return;
    }
    this.passOver();
  }

  private passOver(): void {
    this.skipping = this.nameStarts.length - 2;
    this.nameStarts.length = 2;
    this.places.length = 2;
    this.names = this.nameStarts[1]!;
  }

  private endElement(offset: number, last: boolean): void {
    const start = this.elementStart;
    const oversized = this.skipping >= 0;
    this.skipping = -1;
    this.values = 0;
    this.elementStart = offset + 1;
    if (last && this.count === 0 && this.isBlank(start, offset)) return;
    if (this.count++ < this.list!.limit) this.elements.push({ start, end: offset, oversized });
  }

  private isBlank(start: number, end: number): boolean {
    for (let i = start; i < end; i++) if (this.body[i]! > spaceCode) return false;
    return true;
  }

  /**
   * Where the escape at `offset` ends; -1 for one that is refused. Escapes that JSON does not have are left to
   * `JSON.parse`.
   */
  private afterEscape(offset: number): number {
    const { body } = this;
    if (body[offset + 1] !== letterUCode || this.skipping >= 0) return offset + 2;
    const unit = this.unit(offset);
    if (unit === 0) return this.fail('NUL in a string');
    if (unit >= 0xdc00 && unit <= 0xdfff) return this.fail('lone surrogate in a string');
    if (unit < 0xd800 || unit > 0xdbff) return offset + 2;
    const next = this.unit(offset + 6);
    return next >= 0xdc00 && next <= 0xdfff ? offset + 12 : this.fail('lone surrogate in a string');
  }

  /** The code unit of the escape (`\u00e9`) at `offset`; -1 where there is none. */
  private unit(offset: number): number {
    const { body } = this;
    if (body[offset] !== backslashCode || body[offset + 1] !== letterUCode) return -1;
    let unit = 0;
    for (let i = offset + 2; i < offset + 6; i++) {
      const digit = hexDigit(body[i]);
      if (digit === -1) return -1;
      unit = unit * 16 + digit;
    }
    return unit;
  }

  private fail(detail: string): -1 {
    this.fault ??= { kind: 'strict', pointer: this.pointer(), detail };
    return -1;
  }

  private hash(start: number, end: number, escaped: boolean): number {
    if (escaped)
      return hashOf(Buffer.from(decodeName(this.body.toString('utf8', start, end))), 0, Number.POSITIVE_INFINITY);
    return hashOf(this.body, start, end);
  }

  private name(index: number): string {
    const end = this.ends[index]!;
    if (end >= 0) return this.body.toString('utf8', this.starts[index], end);
    return decodeName(this.body.toString('utf8', this.starts[index], -end));
  }

  /** `\u005f_proto__` is `__proto__`. */
  private isProto(index: number): boolean {
    const end = this.ends[index]!;
    if (end >= 0 && (end - this.starts[index]! !== 9 || this.body[this.starts[index]!] !== 0x5f)) return false;
    return this.name(index) === '__proto__';
  }

  /** JSON pointer of the current value, or of another member of the same object by its index. */
  private pointer(index = this.names - 1): string {
    const steps: string[] = [];
    const depth = this.nameStarts.length;
    for (let level = 0; level < depth; level++) {
      const place = this.places[level]!;
      if (place >= 0) steps.push(String(place));
      else if (place === -2) {
        steps.push(this.name(level + 1 < depth ? this.nameStarts[level + 1]! - 1 : index));
      }
    }
    return steps.map((step) => `/${pointerStep(step)}`).join('');
  }
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = hashSeed;
  const stop = Math.min(end, bytes.length);
  for (let i = start; i < stop; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Returns a name unchanged if it is not a JSON string. */
function decodeName(name: string): string {
  try {
    return JSON.parse(`"${name}"`) as string;
  } catch {
    return name;
  }
}
