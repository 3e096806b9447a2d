import { BlockList, isIP } from 'node:net';
import { quote } from '../core/quote.js';

const ipv4 = '((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';

/** RFC 3986, section 3.2.2: eight groups, of which `::` stands for those that are left out. */
function ipv6(): string {
  const group = '[0-9A-Fa-f]{1,4}';
  const last = `(${group}:${group}|${ipv4})`;
  const upTo = (groups: number) => `((${group}:){0,${groups}}${group})?`;
  return [
    `(${group}:){6}${last}`,
    `::(${group}:){5}${last}`,
    ...[0, 1, 2, 3, 4].map((before) => `${upTo(before)}::(${group}:){${4 - before}}${last}`),
    `${upTo(5)}::${group}`,
    `${upTo(6)}::`,
  ].join('|');
}

/** What `addressList` accepts, as a regular expression for the OpenAPI document. */
export const addressPattern = [
  `^(${ipv4}(/(0{0,2}\\d|0?[12]\\d|0?3[0-2]))?`,
  `(${ipv6()})(/(0{0,2}\\d|0?\\d\\d|1[01]\\d|12[0-8]))?)$`,
].join('|');

/**
 * A list of addresses and ranges: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
 *
 * @throws Error that names the first entry that is neither
 */
export function addressList(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address, prefix, ...more] = range.split('/') as [string, string?];
    // A zone (`fe80::1%eth0`) has a meaning on one machine only, so an entry with a zone is refused.
    const family = address.includes('%') ? 0 : isIP(address);
    const bits = family === 4 ? 32 : 128;
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (family === 0 || more.length > 0 || !(length <= bits)) {
      throw new Error(`${quote(range)} is not an address or a range such as 10.0.0.0/8`);
    }
    list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  }
  const holds = (address: string) => {
    // An IPv4 client on a socket of both families.
    const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6');
  };
  // Answers by address. Callers have few addresses, and asking the list takes longer than all other checks of a key.
  const known = new Map<string, boolean>();
  return (address) => {
    let answer = known.get(address);
    if (answer === undefined) {
      answer = holds(address);
      if (known.size >= maxKnown) known.clear();
      known.set(address, answer);
    }
    return answer;
  };
}

const maxKnown = 1_000;

/** The address that limits count by. An IPv6 client usually has a whole /64, so its addresses count as one. */
export function addressGroup(address: string): string {
  if (isIP(address) !== 6 || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('::') as [string, string?];
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - after.length;
  return `${[...groups, ...Array<string>(missing).fill('0'), ...after].slice(0, 4).join(':')}::/64`;
}
