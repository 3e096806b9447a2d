/** IP addresses and ranges as Go's `net` reads them: no leading zeros, no zones, no short forms. */

/** 16 bytes; an IPv4 address in its IPv6 form, so that `10.0.0.1` and `::ffff:10.0.0.1` are the same. */
export interface IpAddress {
  readonly bytes: Uint8Array;
  readonly isV4: boolean;
}

/** The addresses whose first `prefixLength` of 128 bits are those of `bytes`; IPv4 and IPv6 ranges share no address. */
export interface IpRange extends IpAddress {
  readonly prefixLength: number;
}

/** `undefined` when the text is no address. */
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
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

function parseV4(text: string): Uint8Array | undefined {
  const numbers = parseDottedNumbers(text);
  if (numbers === undefined) return undefined;
  const bytes = new Uint8Array(16);
  bytes.fill(0xff, 10, 12);
  bytes.set(numbers, 12);
  return bytes;
}

function parseDottedNumbers(text: string): readonly number[] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const parts = match.slice(1);
  const isValid = parts.every((part) => Number(part) <= 255 && (part === '0' || !part.startsWith('0')));
  return isValid ? parts.map(Number) : undefined;
}

/** RFC 4291, section 2.2: eight groups; `::` stands for one or more of them; the last two may be written dotted. */
function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
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
function parseGroups(text: string, mayEndDotted: boolean): readonly number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      const numbers = mayEndDotted && index === groups.length - 1 ? parseDottedNumbers(group) : undefined;
      if (numbers === undefined) return undefined;
      bytes.push(...numbers);
    }
  }
  return bytes;
}
