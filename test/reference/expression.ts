/** A matcher's text as a tree: a tokeniser, and one level of precedence after the other. */

export class ParseError extends Error {
  override readonly name = 'ParseError';
  constructor(
    message: string,
    readonly code: 'matcher_syntax' | 'unknown_function' = 'matcher_syntax',
  ) {
    super(message);
  }
}

export type Value = null | boolean | number | string | Value[] | { readonly [name: string]: Value };

export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  /** `r_sub` alone, or `r_sub.a.b`. */
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: 'call'; readonly name: string; readonly argument: Expression | null }
  | { readonly kind: 'group'; readonly inner: Expression }
  | { readonly kind: 'prefix'; readonly operator: string; readonly operand: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression };

type Kind =
  | ('start' | 'number' | 'string' | 'time' | 'boolean' | 'variable' | 'accessor' | 'function' | 'open' | 'close')
  | ('prefix' | 'modifier' | 'logical' | 'comparator' | 'ternary' | 'separator');

interface Token {
  readonly kind: Kind;
  readonly text: string;
  readonly value?: string | number | boolean;
}

const operands: Kind[] = ['number', 'boolean', 'variable', 'accessor', 'function', 'open'];
const values: Kind[] = [...operands, 'string', 'time', 'prefix'];
const afterValue: Kind[] = ['modifier', 'comparator', 'logical', 'close', 'ternary', 'separator'];

/** Which token may follow which. Missing on purpose: what the reference lets pass and then ignores, `(a) b`. */
const follows: Record<Kind, readonly Kind[]> = {
  start: values,
  open: [...values, 'close'],
  close: afterValue,
  number: afterValue,
  boolean: afterValue,
  string: afterValue,
  variable: afterValue,
  accessor: afterValue,
  time: afterValue.filter((kind) => kind !== 'ternary'),
  modifier: values.filter((kind) => kind !== 'time'),
  comparator: values,
  logical: values,
  prefix: operands,
  ternary: values,
  separator: values,
  function: ['open'],
};

/** From the loosest to the tightest; all of them group from the left. */
const levels: readonly (readonly string[])[] = [
  [','],
  ['?', ':', '??'],
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>=', 'in', '=~', '!~'],
  ['&', '|', '^'],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
  ['**'],
];

const symbols: readonly (readonly [Kind, readonly string[]])[] = [
  ['modifier', levels.slice(5).flat()],
  ['logical', ['&&', '||']],
  ['comparator', levels[4]!.filter((symbol) => symbol !== 'in')],
  ['ternary', levels[1]!],
];

/** @param functions every name that may be called */
export function parse(text: string, functions: ReadonlySet<string>): Expression {
  const tokens = tokenise(text, functions);
  let position = 0;
  const peek = () => tokens[position];

  const parseLevel = (level: number): Expression => {
    const operators = levels[level];
    if (operators === undefined) return parseOperand();
    let left = parseLevel(level + 1);
    for (;;) {
      const token = peek();
      if (token === undefined || token.kind === 'string' || !operators.includes(token.text)) return left;
      position++;
      left = { kind: 'binary', operator: token.text, left, right: parseLevel(level + 1) };
    }
  };

  const parseOperand = (): Expression => {
    const token = peek();
    position++;
    switch (token?.kind) {
      case 'number':
      case 'string':
      case 'time':
      case 'boolean':
        return { kind: 'literal', value: token.value! };
      case 'variable':
        return { kind: 'variable', name: token.text, path: [] };
      case 'accessor': {
        const [name = '', ...path] = token.text.split('.');
        return { kind: 'variable', name, path };
      }
      case 'prefix':
        return { kind: 'prefix', operator: token.text, operand: parseOperand() };
      case 'function':
        if (tokens[position + 1]?.kind === 'close') {
          position += 2;
          return { kind: 'call', name: token.text, argument: null };
        }
        position++;
        return { kind: 'call', name: token.text, argument: parseGroup() };
      case 'open':
        // govaluate plans nothing for empty parentheses, and what has no plan is nil.
        if (peek()?.kind === 'close') {
          position++;
          return { kind: 'literal', value: null };
        }
        return { kind: 'group', inner: parseGroup() };
      default:
        throw new ParseError(`a value is missing at ${token?.text ?? 'the end'}`);
    }
  };

  const parseGroup = (): Expression => {
    const inner = parseLevel(0);
    if (peek()?.kind !== 'close') throw new ParseError('a parenthesis is not closed');
    position++;
    return inner;
  };

  const expression = parseLevel(0);
  if (position < tokens.length) throw new ParseError(`unexpected ${peek()?.text}`);
  return expression;
}

function tokenise(text: string, functions: ReadonlySet<string>): Token[] {
  const tokens: Token[] = [];
  let rest = text;
  let state: Kind = 'start';
  for (;;) {
    rest = rest.replace(/^\s+/, '');
    if (rest === '') break;
    const [token, length] = readToken(rest, state, functions);
    if (state === 'variable' && token.kind === 'open') throw new ParseError('unknown function', 'unknown_function');
    if (!follows[state].includes(token.kind)) throw new ParseError(`unexpected ${token.text}`);
    tokens.push(token);
    state = token.kind;
    rest = rest.slice(length);
  }
  return tokens;
}

/** The token at the start of `rest`, and how many characters it takes. */
function readToken(rest: string, state: Kind, functions: ReadonlySet<string>): [Token, number] {
  const hexadecimal = /^0x([0-9a-f]+)/i.exec(rest);
  if (hexadecimal) return [{ kind: 'number', text: '', value: Number(hexadecimal[0]) }, hexadecimal[0].length];
  if (/^[\p{Nd}.]/u.test(rest)) {
    const [number, length] = readRun(rest, /[\p{Nd}.]/u);
    if (!/^([0-9]+\.?[0-9]*|\.[0-9]+)$/.test(number)) throw new ParseError(`not a number: ${number}`);
    return [{ kind: 'number', text: '', value: Number(number) }, length];
  }
  if (rest.startsWith(',')) return [{ kind: 'separator', text: ',' }, 1];
  if (rest.startsWith('(')) return [{ kind: 'open', text: '(' }, 1];
  if (rest.startsWith(')')) return [{ kind: 'close', text: ')' }, 1];
  if (rest.startsWith('[')) {
    const [name, length] = readRun(rest.slice(1), /[^\]]/u, 'with spaces');
    if (rest[length + 1] !== ']') throw new ParseError('a bracket is not closed');
    return [{ kind: 'variable', text: name }, length + 2];
  }
  if (/^['"]/.test(rest)) {
    // Either quote ends a literal, whichever began it.
    const [value, length] = readRun(rest.slice(1), /[^'"]/u, 'with spaces');
    if (rest[length + 1] === undefined) throw new ParseError('a text is not closed');
    const seconds = dateSeconds(value);
    const token: Token =
      seconds === undefined ? { kind: 'string', text: value, value } : { kind: 'time', text: '', value: seconds };
    return [token, length + 2];
  }

  if (/^\p{L}/u.test(rest)) {
    const [word, length] = readRun(rest, /[\p{L}\p{Nd}_.]/u);
    if (word.includes('.')) {
      if (word.endsWith('.')) throw new ParseError(`a name after the dot is missing: ${word}`);
      return [{ kind: 'accessor', text: word }, length];
    }
    if (word === 'true' || word === 'false') return [{ kind: 'boolean', text: '', value: word === 'true' }, length];
    if (word === 'in' || word === 'IN') return [{ kind: 'comparator', text: 'in' }, length];
    return [{ kind: functions.has(word) ? 'function' : 'variable', text: word }, length];
  }

  // Symbols are read up to the next letter, digit, bracket, quote or space, so `a==-1` has the one symbol `==-`.
  const [symbol, length] = readRun(rest, /[^\p{L}\p{Nd}()[\]'"]/u);
  if (follows[state].includes('prefix') && ['-', '!', '~'].includes(symbol)) {
    return [{ kind: 'prefix', text: symbol }, length];
  }
  const kind = symbols.find(([, known]) => known.includes(symbol))?.[0];
  if (kind === undefined) throw new ParseError(`not a symbol: ${symbol}`);
  return [{ kind, text: symbol }, length];
}

/** Characters of one kind and how many there were; a backslash makes any character one of that kind. */
function readRun(rest: string, kind: RegExp, spaces?: 'with spaces'): [string, number] {
  let text = '';
  let i = 0;
  while (i < rest.length) {
    let character = String.fromCodePoint(rest.codePointAt(i)!);
    if (character === '\\') {
      i++;
      if (i === rest.length) throw new ParseError('nothing is escaped');
      character = String.fromCodePoint(rest.codePointAt(i)!);
    } else if (!kind.test(character) || (spaces === undefined && /\s/.test(character))) {
      break;
    }
    text += character;
    i += character.length;
  }
  return [text, i];
}

/** Unix seconds of a literal that reads as a date or a time (in UTC), or undefined. A time of day is one of the year 0. */
function dateSeconds(text: string): number | undefined {
  const clock = /^(\d{1,2}):(\d\d)(AM|PM)$/.exec(text);
  if (clock !== null && Number(clock[1]) <= 12 && Number(clock[2]) < 60) {
    const yearZero = -62_167_219_200;
    return yearZero + ((Number(clock[1]) % 12) + (clock[3] === 'PM' ? 12 : 0)) * 3600 + Number(clock[2]) * 60;
  }
  const date =
    /^(\d{4})-(\d\d)-(\d\d)(?:(?:T| +)(\d{1,2})(?::(\d\d)(?::(\d\d)(?:\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?)?$/.exec(text);
  if (date === null) return undefined;
  const [, year, month, day, hour, minute, second, zone] = date;
  // With a `T` a zone is needed; with a space an hour alone is not enough.
  if (hour !== undefined && (text.includes('T') ? zone === undefined : minute === undefined)) return undefined;
  const instant = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour ?? 0),
    Number(minute ?? 0),
    Number(second ?? 0),
  );
  const written = new Date(instant).toISOString().slice(0, 10);
  if (written !== `${year}-${month}-${day}` || Number(hour ?? 0) > 23) return undefined;
  const offset =
    zone === undefined || zone === 'Z' ? 0 : Number(`${zone[0]}1`) * (+zone.slice(1, 3) * 60 + +zone.slice(-2));
  return Math.floor(instant / 1000) - offset * 60;
}
