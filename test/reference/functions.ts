/** The built-in functions, each written straight from its rule. The name comes first, then the pattern. */
import { RE2JS } from 're2js';

/** Something went wrong while a rule was looked at; `code` says what in one word. */
export class EvaluationError extends Error {
  override readonly name = 'EvaluationError';
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export type Matching = (name: string, pattern: string) => boolean;

export const matchings: Readonly<Record<string, Matching>> = {
  keyMatch,
  keyMatch2: (name, pattern) => anchored(name, stars(pattern).replace(/:[^/]+/g, '[^/]+')),
  keyMatch3: (name, pattern) => anchored(name, stars(pattern).replace(/\{[^/]+\}/g, '[^/]+')),
  keyMatch4,
  keyMatch5: (name, pattern) => anchored(name.split('?')[0]!, stars(pattern).replace(/\{[^/]+\}/g, '[^/]+')),
  regexMatch,
  globMatch,
  ipMatch,
};

export const getters: Readonly<Record<string, (...texts: string[]) => string>> = {
  keyGet: (name, pattern) => {
    const star = pattern!.indexOf('*');
    return star >= 0 && keyMatch(name!, pattern!) ? name!.slice(star) : '';
  },
  keyGet2: (name, pattern, variable) => captured(name!, stars(pattern!), /:([^/]+)/g, '([^/]+)', variable!),
  keyGet3: (name, pattern, variable) => captured(name!, stars(pattern!), /\{([^/]+?)\}/g, '([^/]+?)', variable!),
};

function keyMatch(name: string, pattern: string): boolean {
  const star = pattern.indexOf('*');
  return star < 0 ? name === pattern : name.startsWith(pattern.slice(0, star));
}

const stars = (pattern: string) => pattern.replaceAll('/*', '/.*');

export function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch {
    throw new EvaluationError('function_error', `not a regular expression: ${pattern}`);
  }
}

/** RE2 finds the pattern anywhere in the text. */
export function regexMatch(text: string, pattern: string): boolean {
  return compile(pattern).matcher(text).find();
}

function anchored(name: string, expression: string): boolean {
  return regexMatch(name, `^${expression}$`);
}

function keyMatch4(name: string, pattern: string): boolean {
  const variables: string[] = [];
  const expression = stars(pattern).replace(/\{([^/]+)\}/g, (_, variable: string) => {
    variables.push(variable);
    return '([^/]+)';
  });
  const matcher = compile(`^${expression}$`).matcher(name);
  if (!matcher.find()) return false;
  if (matcher.groupCount() !== variables.length) throw new EvaluationError('function_error', `groups in ${pattern}`);
  const bound = new Map<string, string | null>();
  return variables.every((variable, i) => {
    const text = matcher.group(i + 1);
    if (!bound.has(variable)) bound.set(variable, text);
    return bound.get(variable) === text;
  });
}

function captured(name: string, pattern: string, variable: RegExp, group: string, wanted: string): string {
  const variables = [...pattern.matchAll(variable)].map((match) => match[1]);
  const matcher = compile(`^${pattern.replace(variable, group)}$`).matcher(name);
  const index = variables.indexOf(wanted);
  return matcher.find() && index >= 0 ? (matcher.group(index + 1) ?? '') : '';
}

/** Alternatives are written out first; what is left is matched piece by piece, trying every length of a star. */
export function globMatch(name: string, pattern: string): boolean {
  return alternatives(pattern).some((plain) => globFrom([...name], [...plain]));
}

/** `a{b,c{d,e}}` → `ab`, `acd`, `ace`. */
function alternatives(pattern: string): string[] {
  let depth = 0;
  let open = -1;
  const cuts: number[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i];
    if (character === '\\') {
      if (++i === pattern.length) throw new EvaluationError('function_error', `nothing is escaped: ${pattern}`);
    } else if (character === '[' && depth === 0) i = endOfClass(pattern, i);
    else if (character === '{' && depth++ === 0) open = i;
    else if (character === ',' && depth === 1) cuts.push(i);
    else if (character === '}' && depth === 0)
      throw new EvaluationError('function_error', `a brace too many: ${pattern}`);
    else if (character === '}' && --depth === 0) {
      const bounds = [open, ...cuts, i];
      const rest = pattern.slice(i + 1);
      return bounds
        .slice(1)
        .flatMap((end, n) => alternatives(pattern.slice(0, open) + pattern.slice(bounds[n]! + 1, end) + rest));
    }
  }
  if (depth > 0) throw new EvaluationError('function_error', `a brace is not closed: ${pattern}`);
  return [pattern];
}

function endOfClass(pattern: string | readonly string[], start: number): number {
  let i = start + 1;
  if (pattern[i] === '!' || pattern[i] === '^') i++;
  if (pattern[i] === ']') throw new EvaluationError('function_error', 'an empty class');
  for (; i < pattern.length; i++) {
    if (pattern[i] === '\\') i++;
    else if (pattern[i] === ']') return i;
  }
  throw new EvaluationError('function_error', 'a class is not closed');
}

function globFrom(name: readonly string[], pattern: readonly string[]): boolean {
  /** What is known of the rest of the name and the rest of the pattern, so that nothing is tried twice. */
  const known = new Map<string, boolean>();
  const rest = (from: number, at: number, segmentStart: boolean): boolean => {
    const key = `${from} ${at} ${segmentStart}`;
    const answer = known.get(key) ?? matchRest(from, at, segmentStart);
    known.set(key, answer);
    return answer;
  };
  const matchRest = (from: number, at: number, segmentStart: boolean): boolean => {
    const first = pattern[at];
    if (first === undefined) return from === name.length;
    // The end of a pattern may stand for nothing: `/a/**` matches `/a`.
    if (from === name.length) return ['*', '**', '/**', '**/', '/**/'].includes(pattern.slice(at).join(''));
    if (first === '*') {
      if (pattern[at + 1] === '*' && segmentStart) {
        if (pattern[at + 2] === undefined) return true;
        if (pattern[at + 2] === '/') {
          const starts = [from, ...name.flatMap((character, i) => (i >= from && character === '/' ? [i + 1] : []))];
          return starts.some((start) => rest(start, at + 3, true));
        }
      }
      // Any other row of stars is one star.
      let next = at + 1;
      while (pattern[next] === '*') next++;
      const slash = name.indexOf('/', from);
      const end = slash < 0 ? name.length : slash;
      return Array.from({ length: end - from + 1 }, (_, n) => from + n).some((start) => rest(start, next, false));
    }
    if (first === '?') return name[from] !== '/' && rest(from + 1, at + 1, false);
    if (first === '[') {
      const end = endOfClass(pattern, at);
      return inClass(name[from]!, pattern.slice(at + 1, end)) && rest(from + 1, end + 1, false);
    }
    const escaped = first === '\\' ? 1 : 0;
    return name[from] === pattern[at + escaped] && rest(from + 1, at + escaped + 1, name[from] === '/');
  };
  return rest(0, 0, true);
}

function inClass(character: string, characters: readonly string[]): boolean {
  const negated = characters[0] === '!' || characters[0] === '^';
  const point = character.codePointAt(0)!;
  let found = false;
  for (let i = negated ? 1 : 0; i < characters.length; i++) {
    if (characters[i] === '\\') i++;
    const low = characters[i]!.codePointAt(0)!;
    let high = low;
    if (characters[i + 1] === '-' && i + 2 < characters.length) {
      i += 2;
      if (characters[i] === '\\') i++;
      high = characters[i]!.codePointAt(0)!;
    }
    if (low <= point && point <= high) found = true;
  }
  return found !== negated;
}

/** An address as 128 bits, IPv4 as `::ffff:a.b.c.d`. */
export function parseAddress(text: string): bigint | undefined {
  if (!text.includes(':')) {
    const v4 = parseIPv4(text);
    return v4 === undefined ? undefined : 0xffff_0000_0000n + v4;
  }
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    const v4 = parseIPv4(dotted[2]!);
    if (v4 === undefined) return undefined;
    return parseAddress(`${dotted[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array<string>(missing).fill('0'), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.reduce((bits, group) => (bits << 16n) + BigInt(`0x${group}`), 0n);
}

function parseIPv4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.reduce((bits, part) => (bits << 8n) + BigInt(part), 0n);
}

function ipMatch(address: string, range: string): boolean {
  const bits = parseAddress(address);
  if (bits === undefined) throw new EvaluationError('function_error', `not an address: ${address}`);
  const single = parseAddress(range);
  if (single !== undefined) return bits === single;
  const [network = '', prefix = '', ...more] = range.split('/');
  const base = parseAddress(network);
  const bitsOfFamily = network.includes(':') ? 128 : 32;
  const length = /^\d{1,3}$/.test(prefix) && more.length === 0 ? Number(prefix) : Number.NaN;
  if (base === undefined || !(length <= bitsOfFamily)) {
    throw new EvaluationError('function_error', `not an address or a range: ${range}`);
  }
  const free = BigInt(bitsOfFamily - length);
  const start = (base >> free) << free;
  // An IPv4 range holds no IPv6 address and an IPv6 range no IPv4 address; `::ffff:a.b.c.d` is IPv4.
  return isIPv4(start) === isIPv4(bits) && bits >> free === base >> free;
}

const isIPv4 = (bits: bigint) => bits >> 32n === 0xffffn;

/** True strictly between two UTC times, `_` being open; anything that is not a time counts as "no". */
export function timeMatch(start: string | undefined, end: string | undefined, now: number): boolean {
  if (start === undefined || end === undefined) return false;
  if (start !== '_' && !(now > parseTime(start))) return false;
  return end === '_' || now < parseTime(end);
}

function parseTime(text: string): number {
  const parts = /^(\d{4})-(\d\d)-(\d\d) (\d{1,2}):(\d\d):(\d\d)$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined) return Number.NaN;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  if (hour > 23 || minute > 59 || second > 59) return Number.NaN;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return Number.NaN;
  return date.setUTCHours(hour, minute, second);
}
