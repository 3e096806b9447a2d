/**
 * Matcher text to a tree. One level of precedence a row, every level binding from the left (the reference builds
 * each level to the right and turns it round afterwards: `reorderStages`).
 */
import { quote } from '../quote.js';
import { type BinaryOperator, type Expression, type Quantifier, walk } from './ast.js';
import type { KnownNames } from './known-names.js';
import { describe, type Token, type TokenKind, tokenise } from './lexer.js';
import { operatorHint } from './operator-hints.js';
import { authorsName, type SourceText } from './source-text.js';
import { MatcherSyntaxError } from './syntax-error.js';

interface Level {
  readonly kind: TokenKind;
  readonly operators: ReadonlySet<string>;
}

/** Loosest first. `,` is looser than all of these, prefixes and calls bind tighter. */
const levels: readonly Level[] = [
  { kind: 'ternary', operators: new Set(['?', ':', '??']) },
  { kind: 'logical', operators: new Set(['||']) },
  { kind: 'logical', operators: new Set(['&&']) },
  { kind: 'comparator', operators: new Set(['==', '!=', '>', '>=', '<', '<=', '=~', '!~', 'in']) },
  { kind: 'modifier', operators: new Set(['&', '|', '^']) },
  { kind: 'modifier', operators: new Set(['<<', '>>']) },
  { kind: 'modifier', operators: new Set(['+', '-']) },
  { kind: 'modifier', operators: new Set(['*', '/', '%']) },
  { kind: 'modifier', operators: new Set(['**']) },
];

/** More than people write. The bounds keep hostile text from exhausting the stack. */
const maxDepth = 200;
const maxTokens = 10_000;
/** Of what names stand for: a name is short, and what it stands for is not. */
const maxParts = 1_000;
/** A chain of operators makes a tree as deep as the chain is long. */
const maxOperators = 1_000;

/**
 * Parses a prepared text.
 *
 *     parseExpression(matcherSource('r.sub == p.sub', { fromModel: true }), namesOf(environment))
 *
 * @throws MatcherSyntaxError with the offset of the first place that does not parse.
 */
export function parseExpression(source: SourceText, names: KnownNames): Expression {
  const tokens = tokenise(source, names.isFunction);
  if (tokens.length > maxTokens) {
    throw new MatcherSyntaxError('matcher_syntax', `more than ${maxTokens} words and operators`, 0);
  }
  return new Parser(tokens, source, names).parse();
}

class Parser {
  private position = 0;
  private depth = 0;
  private operators = 0;
  /** Of what names are defined as. */
  private parts = 0;
  private readonly inBrackets = new Set<Expression>();
  /** Whether what is read is the condition of `any`, `all` or `count`, where `it` is an item. */
  private isOfItems = false;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly source: SourceText,
    private readonly names: KnownNames,
  ) {}

  parse(): Expression {
    const expression = this.list();
    const rest = this.peek();
    // The reference ignores text behind a complete expression, as in `(a) b`. Here it is an error.
    if (rest !== undefined) this.refuse(`${describe(rest)} follows a complete expression`, rest.at);
    return expression;
  }

  /** list = ternary { "," ternary } */
  private list(): Expression {
    const first = this.level(0);
    if (this.peek()?.kind !== 'separator') return first;
    const items = [first];
    while (this.takeIf('separator') !== undefined) items.push(this.level(0));
    return { kind: 'list', items, at: first.at };
  }

  private level(index: number): Expression {
    const level = levels[index];
    if (level === undefined) return this.prefixed();
    let left = this.level(index + 1);
    for (;;) {
      const token = this.peek();
      if (token?.kind !== level.kind || !level.operators.has(String(token.value))) return left;
      this.position++;
      if (++this.operators > maxOperators) this.refuse(`more than ${maxOperators} operators`, token.at);
      const literalList = token.value === 'in' ? this.singleLiteralList() : undefined;
      left = combine(token, left, literalList ?? this.level(index + 1));
    }
  }

  /** `x in ("a")`: the one place where parentheses around a single literal make a list. */
  private singleLiteralList(): Expression | undefined {
    const [open, item, close] = this.tokens.slice(this.position, this.position + 3);
    if (open?.kind !== 'open' || close?.kind !== 'close' || item === undefined) return undefined;
    if (item.kind !== 'string' && item.kind !== 'number' && item.kind !== 'boolean' && item.kind !== 'time') {
      return undefined;
    }
    this.position += 3;
    return { kind: 'list', items: [{ kind: 'literal', value: item.value, at: item.at }], at: open.at };
  }

  /** prefixed = [ "-" | "!" | "~" ] call */
  private prefixed(): Expression {
    const token = this.takeIf('prefix');
    if (token === undefined) return this.operand();
    return { kind: 'unary', operator: token.value as '-' | '!' | '~', operand: this.operand(), at: token.at };
  }

  /** operand = literal | column | attribute | quantified | function "(" [ list ] ")" | "(" [ list ] ")" | bracketed */
  private operand(): Expression {
    const token = this.tokens[this.position];
    if (token === undefined) return this.refuse('an operand is missing', this.source.originOf(this.source.text.length));
    this.position++;
    const { value, at } = token;
    switch (token.kind) {
      case 'number':
      case 'string':
      case 'boolean':
      case 'time':
        return { kind: 'literal', value, at };
      case 'variable':
        if (this.isOfItems && value === 'it') return { kind: 'item', path: [], at };
        return this.defined(String(value), at) ?? { kind: 'column', name: String(value), at };
      case 'accessor':
        return this.attribute(String(value), at);
      case 'function': {
        if (this.names.isQuantifier(String(value))) return this.quantified(value as Quantifier, at);
        const args = this.parenthesised();
        return { kind: 'call', name: String(value), args: args === undefined ? [] : this.argumentsOf(args), at };
      }
      case 'open':
        if (value === '[') return this.bracketed(at);
        this.position--;
        // Empty parentheses are null in the reference: a call without arguments gets there the same way.
        return this.parenthesised() ?? { kind: 'literal', value: null, at };
      default:
        return this.refuse(`an operand is missing before ${describe(token)}`, at);
    }
  }

  private defined(name: string, at: number): Expression | undefined {
    const expression = this.names.definitionOf(name, at);
    if (expression === undefined) return undefined;
    // Names in what names are defined as could double at each step.
    let asksItems = false;
    walk(expression, ({ kind }) => {
      this.parts++;
      asksItems ||= kind === 'quantified';
    });
    if (this.parts > maxParts) this.refuse(`more than ${maxParts} words and operators that its names stand for`, at);
    if (asksItems && this.isOfItems) this.refuse('any(), all() and count() do not nest', at);
    return expression;
  }

  private attribute(word: string, at: number): Expression {
    if (this.peek()?.kind === 'open') this.refuse(`${quote(authorsName(word))} is an attribute, not a function`, at);
    const [name = '', ...path] = word.split('.');
    return this.isOfItems && name === 'it' ? { kind: 'item', path, at } : { kind: 'attribute', name, path, at };
  }

  /** quantified = ("any" | "all" | "count") "(" ternary "," ternary ")" */
  private quantified(quantifier: Quantifier, at: number): Expression {
    if (this.isOfItems) this.refuse('any(), all() and count() do not nest', at);
    this.takeIf('open');
    if (++this.depth > maxDepth) this.refuse(`more than ${maxDepth} nested parentheses`, at);
    const wanted = `${quantifier}() wants a list and a condition on "it": ${quantifier}(r.sub.groups, it == "staff")`;
    if (this.peek()?.kind === 'close') this.refuse(wanted, at);
    const list = this.level(0);
    if (this.takeIf('separator') === undefined) this.refuse(wanted, at);
    this.isOfItems = true;
    const condition = this.level(0);
    this.isOfItems = false;
    if (this.takeIf('close') === undefined) this.refuse(wanted, at);
    this.depth--;
    return { kind: 'quantified', quantifier, list, condition, at };
  }

  /** bracketed = "[" [ ternary { "," ternary } ] "]": a list, also of one item or none */
  private bracketed(at: number): Expression {
    if (++this.depth > maxDepth) this.refuse(`more than ${maxDepth} nested brackets`, at);
    const items: Expression[] = [];
    if (this.peek()?.kind !== 'close') {
      do items.push(this.level(0));
      while (this.takeIf('separator') !== undefined);
    }
    const close = this.takeIf('close');
    if (close === undefined) this.refuse('a bracket is not closed', this.peek()?.at);
    this.depth--;
    const list: Expression = { kind: 'list', items, at };
    this.inBrackets.add(list);
    return list;
  }

  private parenthesised(): Expression | undefined {
    const open = this.takeIf('open');
    if (++this.depth > maxDepth) this.refuse(`more than ${maxDepth} nested parentheses`, open?.at ?? 0);
    const content = this.peek()?.kind === 'close' ? undefined : this.list();
    const close = this.peek();
    if (close?.kind !== 'close') {
      this.refuse(
        close === undefined ? 'a parenthesis is not closed' : `${describe(close)} is unexpected here`,
        close?.at,
      );
    }
    this.position++;
    this.depth--;
    return content;
  }

  /**
   * `f(a, b)` has two arguments; `f((a, b))` too, since the reference does not tell them apart. A list in brackets is one.
   */
  private argumentsOf(content: Expression): readonly Expression[] {
    return content.kind === 'list' && !this.inBrackets.has(content) ? content.items : [content];
  }

  private peek(): Token | undefined {
    return this.tokens[this.position];
  }

  private takeIf(kind: TokenKind): Token | undefined {
    const token = this.peek();
    if (token?.kind !== kind) return undefined;
    this.position++;
    return token;
  }

  private refuse(message: string, at = this.source.originOf(this.source.text.length)): never {
    throw new MatcherSyntaxError('matcher_syntax', message, at, undefined, operatorHint(this.source.text));
  }
}

function combine(token: Token, left: Expression, right: Expression): Expression {
  const { value: operator, at } = token;
  switch (operator) {
    case '?':
      return { kind: 'then', condition: left, value: right, at };
    case ':':
    case '??':
      return { kind: 'otherwise', value: left, fallback: right, at };
    case '&&':
      return { kind: 'and', left, right, at };
    case '||':
      return { kind: 'or', left, right, at };
    case 'in':
      return { kind: 'in', left, right, at };
    default:
      return { kind: 'binary', operator: operator as BinaryOperator, left, right, at };
  }
}
