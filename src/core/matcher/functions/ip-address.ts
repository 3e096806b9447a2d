/** IP addresses and ranges as Go's `net` reads them: no leading zeros, no zones, no short forms. */

import { stepsForText } from '../../step-budget.js';

/** 16 bytes; an IPv4 address in its IPv6 form, so that `10.0.0.1` and `::ffff:10.0.0.1` are the same. */
export interface IpAddress {
  readonly bytes: Uint8Array;
  readonly isV4: boolean;
}

/** The addresses whose first `prefixLength` of 128 bits are those of `bytes`; IPv4 and IPv6 ranges share no address. */
export interface IpRange extends IpAddress {
  readonly prefixLength: number;
}

/** Steps for parsing an address or a range, well-formed or not, by its text alone. */
export function stepsToParseAddress(text: string): number {
  return (text.includes(':') ? 300 : 20) + stepsForText(text.length);
}

/** Returns undefined if the text is not an address. */
export function parseIpAddress(text: string): IpAddress | undefined {
  const bytes = text.includes(':') ? parseV6(text) : parseV4(text);
  return bytes && { bytes, isV4: isV4(bytes) };
}

/** Reads an address, or a range such as `10.0.0.0/8`; `undefined` when the text is neither. */
export function parseIpRange(text: string): IpRange | undefined {
  const slash = text.indexOf('/');
  const address = parseIpAddress(slash === -1 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  if (slash === -1) return { ...address, prefixLength: 128 };

  const digits = text.slice(slash + 1);
  const isWrittenAsV4 = !text.includes(':');
  if (!/^\d+$/.test(digits) || Number(digits) > (isWrittenAsV4 ? 32 : 128)) return undefined;
  const prefixLength = Number(digits) + (isWrittenAsV4 ? 96 : 0);
  // A prefix that does not fix the part which marks an IPv4 address is a range of IPv6 addresses only.
  return { bytes: address.bytes, isV4: address.isV4 && prefixLength >= 96, prefixLength };
}

export function isInRange(address: IpAddress, range: IpRange): boolean {
  if (address.isV4 !== range.isV4) return false;
  const wholeBytes = range.prefixLength >> 3;
  for (let index = 0; index < wholeBytes; index++) {
    if (address.bytes[index] !== range.bytes[index]) return false;
  }
  const bits = range.prefixLength & 7;
  if (bits === 0) return true;
  const difference = (address.bytes[wholeBytes] as number) ^ (range.bytes[wholeBytes] as number);
  return difference >> (8 - bits) === 0;
}

function isV4(bytes: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) {
    if (bytes[index] !== 0) return false;
  }
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseV4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  bytes[10] = bytes[11] = 0xff;
  return writeV4(text, bytes, 12) ? bytes : undefined;
}

/** Reads four numbers with dots between them into `bytes` from `offset` on; false when the text is something else. */
function writeV4(text: string, bytes: Uint8Array, offset: number): boolean {
  let index = 0;
  for (let part = 0; part < 4; part++) {
    const start = index;
    let value = 0;
    while (index - start < 3 && isDigit(text.charCodeAt(index))) value = value * 10 + text.charCodeAt(index++) - zero;
    const hasLeadingZero = index - start > 1 && text.charCodeAt(start) === zero;
    if (index === start || value > 255 || hasLeadingZero) return false;
    bytes[offset + part] = value;
    if (part < 3 && text.charCodeAt(index++) !== dot) return false;
  }
  return index === text.length;
}

function isDigit(code: number): boolean {
  return code >= zero && code <= zero + 9;
}

const zero = 0x30;
const dot = 0x2e;

/** RFC 4291, section 2.2: eight groups; `::` stands for one or more of them; the last two may be written dotted. */
function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::', 3);
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] as string, halves.length === 1);
  const tail = parseGroups(halves[1] ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const length = head.length + tail.length;
  if (halves.length === 1 ? length !== 16 : length > 14) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of groups with colons between them. */
function parseGroups(text: string, mayEndDotted: boolean): Uint8Array | undefined {
  const bytes = new Uint8Array(18);
  let length = 0;
  for (let start = 0; start < text.length && length < 16; length += 2) {
    const colon = text.indexOf(':', start);
    const group = text.slice(start, colon === -1 ? text.length : colon);
    if (!/^[0-9a-f]{1,4}$/i.test(group)) {
      const isDotted = colon === -1 && mayEndDotted && writeV4(group, bytes, length);
      return isDotted ? bytes.subarray(0, length + 4) : undefined;
    }
    const value = Number.parseInt(group, 16);
    bytes[length] = value >> 8;
    bytes[length + 1] = value & 0xff;
    if (colon === -1) return bytes.subarray(0, length + 2);
    start = colon + 1;
  }
  return text === '' ? bytes.subarray(0, 0) : undefined;
}
