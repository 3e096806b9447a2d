/**
 * Matcher text to tokens, by the rules of the reference's expression library (govaluate 1.3, `parsing.go` and
 * `lexerState.go`): which characters run together into one token, and which token may follow which.
 */
import { cut, quote } from '../quote.js';
import { parseDateLiteral } from './date-literal.js';
import { isForeignOperator, operatorHint } from './operator-hints.js';
import { authorsName, type SourceText } from './source-text.js';
import { MatcherSyntaxError } from './syntax-error.js';

export type TokenKind =
  | 'prefix'
  | 'number'
  | 'boolean'
  | 'string'
  | 'time'
  | 'variable'
  | 'accessor'
  | 'function'
  | 'comparator'
  | 'modifier'
  | 'logical'
  | 'ternary'
  | 'separator'
  | 'open'
  | 'close';

export interface Token {
  readonly kind: TokenKind;
  /** The operator, the name or the text; numbers and booleans as their value. */
  readonly value: string | number | boolean;
  /** Where the token starts in the author's text. */
  readonly at: number;
}

const prefixes = new Set(['-', '!', '~']);
const modifiers = new Set(['+', '-', '*', '/', '%', '**', '&', '|', '^', '>>', '<<']);
const logicals = new Set(['&&', '||']);
const comparators = new Set(['==', '!=', '>', '>=', '<', '<=', '=~', '!~']);
const ternaries = new Set(['?', ':', '??']);

const operand: readonly TokenKind[] = ['number', 'boolean', 'variable', 'function', 'accessor', 'string', 'open'];
const operator: readonly TokenKind[] = ['modifier', 'comparator', 'logical', 'close', 'separator'];

/** What may follow a token; `start` is the beginning of the text. */
const followers: Readonly<Record<TokenKind | 'start', ReadonlySet<TokenKind>>> = {
  start: new Set([...operand, 'prefix', 'time']),
  open: new Set([...operand, 'prefix', 'time', 'close']),
  close: new Set([...operator, 'number', 'boolean', 'variable', 'string', 'time', 'open', 'ternary']),
  number: new Set([...operator, 'ternary']),
  boolean: new Set([...operator, 'ternary']),
  string: new Set([...operator, 'ternary']),
  variable: new Set([...operator, 'ternary']),
  time: new Set(operator),
  accessor: new Set([...operator, 'ternary', 'open']),
  function: new Set(['open']),
  modifier: new Set([...operand, 'prefix', 'close']),
  comparator: new Set([...operand, 'prefix', 'time', 'close']),
  logical: new Set([...operand, 'prefix', 'time', 'close']),
  prefix: new Set(['number', 'boolean', 'variable', 'function', 'accessor', 'open', 'close']),
  ternary: new Set([...operand, 'prefix', 'time', 'separator']),
  separator: new Set([...operand, 'prefix', 'time']),
};
const mayEnd: ReadonlySet<TokenKind> = new Set([
  'close',
  'number',
  'boolean',
  'string',
  'time',
  'variable',
  'accessor',
]);

/**
 * Reads all tokens. `isFunction` tells function names from columns.
 *
 * @throws MatcherSyntaxError at the first place that the reference would not parse.
 */
export function tokenise(source: SourceText, isFunction: (name: string) => boolean): Token[] {
  const refuse = (message: string, at: number): never => fail(message, at, source);
  const reader = new Reader(source.text, source.hasLists === true);
  const tokens: Token[] = [];
  let state: TokenKind | 'start' = 'start';
  const open: string[] = [];
  for (;;) {
    reader.skipSpace();
    if (reader.atEnd) break;
    const start = reader.position;
    const at = source.originOf(start);
    const token: Token = { ...readToken(reader, state, isFunction, (message) => refuse(message, at)), at };
    if (!followers[state].has(token.kind)) {
      const previous = tokens.at(-1);
      if (previous?.kind === 'variable' && token.kind === 'open') {
        const name = String(previous.value);
        throw new MatcherSyntaxError(
          'unknown_function',
          `unknown function ${cut(authorsName(name))}`,
          previous.at,
          name,
        );
      }
      refuse(
        `${describe(token)} may not stand ${previous === undefined ? 'first' : `after ${describe(previous)}`}`,
        at,
      );
    }
    if (token.value === '[' && token.kind === 'open' && standsBehindValue(state)) {
      refuse(`${describe(token)} may not stand after ${describe(tokens.at(-1) as Token)}: lists have no index`, at);
    }
    if (token.kind === 'open') open.push(String(token.value));
    if (token.kind === 'close') {
      const opened = open.pop();
      if (opened === undefined) refuse(`a closing ${bracketName(token.value)} without an opening one`, at);
      if ((opened === '[') !== (token.value === ']')) refuse(`${describe(token)} closes ${quote(opened)}`, at);
    }
    tokens.push(token);
    state = token.kind;
  }
  const end = source.originOf(source.text.length);
  const unclosed = open.pop();
  if (unclosed !== undefined) refuse(`an opening ${bracketName(unclosed)} is not closed`, end);
  if (state === 'start' || !mayEnd.has(state)) refuse('the expression ends too early', end);
  return tokens;
}

function standsBehindValue(state: TokenKind | 'start'): boolean {
  return state === 'close' || state === 'accessor' || state === 'variable' || state === 'function';
}

function bracketName(bracket: Token['value']): string {
  return bracket === '[' || bracket === ']' ? 'bracket' : 'parenthesis';
}

function fail(message: string, at: number, { text }: SourceText): never {
  throw new MatcherSyntaxError('matcher_syntax', message, at, undefined, operatorHint(text));
}

/** The token as its author wrote it. */
export function describe({ kind, value }: Token): string {
  return kind === 'string' ? `the text ${quote(value)}` : quote(authorsName(String(value)));
}

type Read = Pick<Token, 'kind' | 'value'>;

function readToken(
  reader: Reader,
  state: TokenKind | 'start',
  isFunction: (name: string) => boolean,
  refuse: (message: string) => never,
): Read {
  const character = reader.peek();
  if (isNumeric(character)) return { kind: 'number', value: readNumber(reader, refuse) };
  if (character === ',') {
    reader.skip();
    return { kind: 'separator', value: ',' };
  }
  if (character === '[' && reader.isAtList()) {
    reader.skip();
    return { kind: 'open', value: character };
  }
  if (character === ']') {
    reader.skip();
    return { kind: 'close', value: character };
  }
  if (character === '[') {
    reader.skip();
    const name = reader.until((next) => next === ']');
    if (reader.atEnd) refuse('an opening bracket is not closed');
    reader.skip();
    return { kind: 'variable', value: name };
  }
  if (isLetter(character)) return readWord(reader.word(isNameCharacter), isFunction, refuse);
  if (isQuote(character)) {
    reader.skip();
    const text = reader.until(isQuote);
    if (reader.atEnd) refuse('a quoted text is not closed');
    reader.skip();
    const time = parseDateLiteral(text);
    return time === undefined ? { kind: 'string', value: text } : { kind: 'time', value: time };
  }
  if (character === '(' || character === ')') {
    reader.skip();
    return { kind: character === '(' ? 'open' : 'close', value: character };
  }
  return readSymbol(reader.word(isSymbolCharacter), state, refuse);
}

function readNumber(reader: Reader, refuse: (message: string) => never): number {
  if (reader.startsWithHex()) {
    reader.skip();
    reader.skip();
    const digits = reader.word(isHexDigit);
    if (!/^[0-9a-fA-F]{1,16}$/.test(digits)) refuse(`${cut(`0x${digits}`)} is not a number`);
    return Number(BigInt(`0x${digits}`));
  }
  const text = reader.word(isNumeric);
  const value = /^(?:[0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) refuse(`${cut(text)} is not a number`);
  return value;
}

function readWord(word: string, isFunction: (name: string) => boolean, refuse: (message: string) => never): Read {
  if (word.includes('.')) {
    if (word.endsWith('.')) refuse(`${quote(authorsName(word))} ends with a dot`);
    return { kind: 'accessor', value: word };
  }
  if (isFunction(word)) return { kind: 'function', value: word };
  if (word === 'true' || word === 'false') return { kind: 'boolean', value: word === 'true' };
  if (isForeignOperator(word)) refuse(`${quote(word)} is not an operator`);
  if (word === 'in' || word === 'IN') return { kind: 'comparator', value: 'in' };
  return { kind: 'variable', value: word };
}

function readSymbol(symbol: string, state: TokenKind | 'start', refuse: (message: string) => never): Read {
  if (prefixes.has(symbol) && followers[state].has('prefix')) return { kind: 'prefix', value: symbol };
  if (modifiers.has(symbol)) return { kind: 'modifier', value: symbol };
  if (logicals.has(symbol)) return { kind: 'logical', value: symbol };
  if (comparators.has(symbol)) return { kind: 'comparator', value: symbol };
  if (ternaries.has(symbol)) return { kind: 'ternary', value: symbol };
  return refuse(`${quote(symbol)} is not an operator`);
}

/** A cursor over code points. A backslash takes the character after it as it is, wherever it stands in a token. */
class Reader {
  position = 0;

  constructor(
    private readonly text: string,
    private readonly hasLists: boolean,
  ) {}

  get atEnd(): boolean {
    return this.position >= this.text.length;
  }

  peek(): string {
    const code = this.text.charCodeAt(this.position);
    if (code < ascii.length) return ascii[code]!;
    return String.fromCodePoint(this.text.codePointAt(this.position) ?? 0);
  }

  skip(): void {
    this.position += this.peek().length;
  }

  skipSpace(): void {
    while (!this.atEnd && isSpace(this.peek())) this.skip();
  }

  startsWithHex(): boolean {
    return this.text.startsWith('0x', this.position) && this.position + 2 < this.text.length;
  }

  /**
   * Whether the bracket here begins a list. Around a bare name it is another spelling of the name: `[r_sub]` is the column.
   */
  isAtList(): boolean {
    return this.hasLists || !/^\[[\p{L}][\p{L}\p{Nd}_]*\]/u.test(this.text.slice(this.position, this.position + 100));
  }

  /** A run of characters that `belongs` accepts; white space ends it. */
  word(belongs: (character: string) => boolean): string {
    let word = '';
    // What was passed from here on is taken at once.
    let start = this.position;
    while (!this.atEnd) {
      const character = this.peek();
      if (character === '\\') {
        word += this.text.slice(start, this.position);
        this.skip();
        if (this.atEnd) return word;
        start = this.position;
      } else if (isSpace(character)) {
        // Leading white space of a word is skipped by the reference too (`0x 1F`).
        if (word !== '' || start !== this.position) break;
        start += character.length;
      } else if (!belongs(character)) break;
      this.skip();
    }
    return word + this.text.slice(start, this.position);
  }

  /** Everything up to a character that `ends` accepts, white space included. Stops at the end if there is none. */
  until(ends: (character: string) => boolean): string {
    let text = '';
    let start = this.position;
    while (!this.atEnd) {
      const character = this.peek();
      if (character === '\\') {
        text += this.text.slice(start, this.position);
        this.skip();
        if (this.atEnd) return text;
        start = this.position;
      } else if (ends(character)) break;
      this.skip();
    }
    return text + this.text.slice(start, this.position);
  }
}

/** The characters that nearly all expressions are written in: they are looked up, without an expression over Unicode's classes. */
const ascii: readonly string[] = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));

/** Whether a character is of a class of Unicode. */
function classOf(expression: RegExp): (character: string) => boolean {
  const inAscii = ascii.map((character) => expression.test(character));
  return (character) => inAscii[character.charCodeAt(0)] ?? expression.test(character);
}

const isSpace = classOf(/^\p{White_Space}$/u);
const isLetter = classOf(/^\p{L}$/u);
const isDigit = classOf(/^\p{Nd}$/u);
const isQuote = (character: string): boolean => character === "'" || character === '"';
const isNumeric = (character: string): boolean => isDigit(character) || character === '.';
const isHexDigit = (character: string): boolean => isDigit(character) || /^[a-fA-F]$/.test(character);
const isNameCharacter = (character: string): boolean =>
  isLetter(character) || isDigit(character) || character === '_' || character === '.';
const isSymbolCharacter = (character: string): boolean =>
  !(isDigit(character) || isLetter(character) || '()[]'.includes(character) || isQuote(character));
