/** YAML 1.2 with places: the only file that imports the YAML library. JSON is YAML, so it reads both. */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  type Scalar,
  type YAMLError,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { closest } from '../closest.js';
import { faultInName } from '../names.js';
import type { PolicyProblem } from '../problem.js';
import { cut, quote } from '../quote.js';
import type { Json } from '../request.js';
import { currentSemantics, type Semantics } from '../semantics.js';
import { finish, itemsPerStep } from '../steps.js';

export interface NamedText {
  readonly file: string;
  readonly text: string;
}

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type ReportFatal = (problem: PolicyProblem) => void;

/** The file that a node is from. */
interface YamlSource {
  readonly file: string;
  readonly lines: LineCounter;
  readonly report: ReportFatal;
  readonly semantics: Semantics;
}

/** A node of a document, with methods that report problems at its place. */
export class YamlNode {
  constructor(
    private readonly node: Node | null,
    private readonly document: YamlSource,
  ) {}

  /** Where the node begins. */
  get place(): Place {
    const { file, lines } = this.document;
    const { line, col } = lines.linePos(this.node?.range?.[0] ?? 0);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /**
   * The place of the key at the end of a path, or of the last key on the way that exists. A step into a list is the
   * number of its item, counted from 0.
   */
  placeOfKey(path: readonly string[]): Place {
    const [name, ...rest] = path;
    if (name !== undefined && isSeq(this.node)) {
      const item = this.node.items[Number(name)] as Node | undefined;
      return item === undefined ? this.place : new YamlNode(item, this.document).placeOfKey(rest);
    }
    if (name === undefined || !isMap(this.node)) return this.place;
    for (const { key, value } of (this.node as YAMLMap<Node, Node | null>).items) {
      if (!isScalar(key) || key.value !== name) continue;
      const isOpen = rest.length > 0 && (isMap(value) || isSeq(value));
      const below = isOpen ? new YamlNode(value, this.document).placeOfKey(rest) : undefined;
      return below ?? new YamlNode(key, this.document).place;
    }
    return this.place;
  }

  refuse(code: string, message: string, hint?: string): undefined {
    this.document.report({ severity: 'error', code, message, ...this.place, ...(hint && { hint }) });
    return undefined;
  }

  /** The members of a mapping with text keys, in order; undefined, and reported, when it is something else. */
  members(what: string): ReadonlyMap<string, YamlNode> | undefined {
    if (!isMap(this.node)) return this.refuse('wrong_type', `${what} must be a mapping`);
    const members = new Map<string, YamlNode>();
    for (const { key, value } of (this.node as YAMLMap<Node, Node | null>).items) {
      const keyNode = new YamlNode(key, this.document);
      if (!isScalar(key) || typeof key.value !== 'string') {
        keyNode.refuse('wrong_type', `the keys of ${what} must be texts`, 'put it in quotes');
      } else {
        // The value of a key without one has no place, so the key's place is used.
        members.set(key.value, new YamlNode(value?.range == null ? key : value, this.document));
        if (value?.range == null) keyNode.refuse('missing_value', `${quote(key.value)} has no value`);
      }
    }
    return members;
  }

  /** As `members`. Keys that are not in `known` are reported with the nearest known key. */
  knownMembers<Key extends string>(what: string, known: readonly Key[]): Partial<Record<Key, YamlNode>> | undefined {
    const members = this.members(what);
    if (members === undefined) return undefined;
    const found: Partial<Record<Key, YamlNode>> = {};
    for (const [name, node] of members) {
      if ((known as readonly string[]).includes(name)) {
        found[name as Key] = node;
      } else {
        node.refuse('unknown_key', `${what} has no ${quote(name)}`, hintForKey(name, known));
      }
    }
    return found;
  }

  items(what: string): readonly YamlNode[] | undefined {
    if (!isSeq(this.node)) return this.refuse('wrong_type', `${what} must be a list`);
    return this.node.items.map((item) => new YamlNode(item as Node, this.document));
  }

  get isMapping(): boolean {
    return isMap(this.node);
  }

  get isList(): boolean {
    return isSeq(this.node);
  }

  /** True for a scalar that is this text. */
  isText(text: string): boolean {
    return isScalar(this.node) && this.node.value === text;
  }

  text(what: string): string | undefined {
    const value = isScalar(this.node) ? this.node.value : undefined;
    if (typeof value === 'string') return value;
    const hint = value !== undefined && value !== null ? `put it in quotes: ${quote(String(value))}` : undefined;
    return this.refuse('wrong_type', `${what} must be a text`, hint);
  }

  /** A text that names something. Characters that names in requests cannot have are refused. */
  name(what: string): string | undefined {
    const text = this.text(what);
    const fault = text === undefined || this.document.semantics === 1 ? undefined : faultInName(text);
    return fault === undefined ? text : this.refuse('control_character', `${what} holds ${fault}`);
  }

  names(what: string): readonly string[] | undefined {
    return this.items(what)?.flatMap((item) => item.name(`each of ${what}`) ?? []);
  }

  oneOf<Value extends string>(what: string, values: readonly Value[]): Value | undefined {
    const text = this.text(what);
    if (text === undefined) return undefined;
    if ((values as readonly string[]).includes(text)) return text as Value;
    return this.refuse('wrong_value', `${what} must be one of ${values.join(', ')}, not ${quote(text)}`);
  }

  flag(what: string): boolean | undefined {
    const value = isScalar(this.node) ? this.node.value : undefined;
    return typeof value === 'boolean' ? value : this.refuse('wrong_type', `${what} must be true or false`);
  }

  positiveInteger(what: string): number | undefined {
    const value = isScalar(this.node) ? this.node.value : undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    return this.refuse('wrong_type', `${what} must be a whole number above 0`);
  }

  texts(what: string): readonly string[] | undefined {
    return this.items(what)?.flatMap((item) => item.text(`each of ${what}`) ?? []);
  }

  /** The value as JSON. Dates stay texts, since the core schema of YAML 1.2 has none. */
  json(): Json {
    return (this.node?.toJSON() ?? null) as Json;
  }
}

/** Hint for an unknown key: members that an entity does not define are its attributes. */
function hintForKey(name: string, known: readonly string[]): string {
  const meant = closest(name, known);
  if (meant !== undefined) return `did you mean ${quote(meant)}?`;
  const holdsAttributes =
    known.includes('attributes') && (known.includes('id') || known.includes('name')) && known.length < 4;
  return holdsAttributes ? `put it under attributes: { ${cut(name)}: … }` : `it may have ${known.join(', ')}`;
}

/** Deepest nesting of lists and mappings in a file. The parser takes a stack frame for each level. */
export const maxNesting = 100;

/**
 * Reads a document. Text that does not parse is reported with its place, and the result is undefined. An empty document
 * is also undefined, without a problem.
 */
export function readYaml(source: NamedText, report: ReportFatal, semantics?: Semantics): YamlNode | undefined {
  return finish(readYamlInSteps(source, report, semantics));
}

/** As `readYaml`, pausing every few milliseconds: a long list of entities takes seconds. */
export function* readYamlInSteps(
  { file, text }: NamedText,
  report: ReportFatal,
  semantics: Semantics = currentSemantics,
): Generator<void, YamlNode | undefined> {
  const lines = new LineCounter();
  for (let at = 0; at >= 0; at = text.indexOf('\n', at) + 1 || -1) lines.addNewLine(at);
  const source = { file, lines, report, semantics };
  let contents: Node | null = null;
  let isSound = true;
  for (const { at: start, part } of partsOf(text)) {
    const { document, faults } = yield* parseInSteps(part, semantics);
    // Behind a syntax error the parser guesses, so further problems would only follow from it.
    const isBroken = faults.length > 0;
    if (document?.contents && !isBroken) yield* checkNodes(document.contents, part, start, semantics, faults);
    for (const { at, code, message, hint, isOfValue } of faults.sort((a, b) => a.at - b.at)) {
      const { line, col } = lines.linePos(at + start);
      const place = { file, line: Math.max(line, 1), column: Math.max(col, 1) };
      report({ severity: 'error', code, message, ...place, ...(hint !== undefined && { hint }) });
      isSound &&= isOfValue === true;
    }
    if (isBroken) return undefined;
    const found: Node | null = document?.contents ?? null;
    // A list that is read in parts has a list in every part.
    if (isSeq(contents) && isSeq(found)) for (const item of found.items) contents.items.push(item);
    else contents ??= found;
  }
  if (!isSound) return undefined;
  const empty = contents === null || (isScalar(contents) && contents.value === null);
  return empty ? undefined : new YamlNode(contents, source);
}

interface Fault {
  /** Offset in the parsed text. */
  readonly at: number;
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** True if the structure of the document is certain, so that the rest can be read. */
  readonly isOfValue?: true;
}

/** Characters of a long list that are parsed at once, up to the end of their item. */
const partLength = 16_384;

/**
 * The parts that a text can be read in, one after the other. A list whose items begin with a hyphen in the first column
 * is cut before such lines, where nothing else can begin with a hyphen (YAML 1.2, 8.2.1). So the tokens of a long list
 * are never in memory all at once.
 */
function* partsOf(text: string): Generator<{ readonly at: number; readonly part: string }> {
  const beginning = /^(?:---[ \t]*(?:#.*)?\r?\n|[ \t]*(?:#.*)?\r?\n)*-[ \t\r\n]/.exec(text)?.[0];
  const isList = beginning !== undefined && !/^(?:---|\.\.\.|%)/m.test(text.slice(beginning.length));
  let at = 0;
  while (isList && text.length - at > partLength) {
    let cut = at + partLength;
    do cut = text.indexOf('\n-', cut) + 1;
    while (cut > 0 && !/[ \t\r\n]/.test(text.charAt(cut + 1)));
    if (cut === 0) break;
    yield { at, part: text.slice(at, cut) };
    at = cut;
  }
  yield { at, part: text.slice(at) };
}

/** What a text is, or why it cannot be read. */
function* parseInSteps(
  text: string,
  semantics: Semantics,
): Generator<void, { readonly document: Document.Parsed | undefined; readonly faults: Fault[] }> {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    if (parser.stack.length > maxNesting && nestingOf(parser) > maxNesting) {
      const message = `lists and mappings are nested deeper than ${maxNesting} levels`;
      return { document: undefined, faults: [{ at: parser.offset, code: 'yaml_syntax', message }] };
    }
    if (++count % itemsPerStep !== 0) continue;
    settleLists(parser);
    yield;
  }
  for (const token of parser.end()) tokens.push(token);
  yield;
  // Keys are compared in checkNodes: the library compares each with all before it.
  const { documents, errors } = yield* composeInSteps(tokens, text.length, semantics === 1);
  yield;
  const [document, second] = documents;
  const faults: Fault[] = [];
  for (const { pos, message } of independentErrors(errors)) {
    faults.push({ at: pos[0], code: 'yaml_syntax', message: withoutSource(message) });
  }
  if (second !== undefined) {
    const message = 'the file has more than one document';
    faults.push({ at: second.range[0], code: 'yaml_syntax', message, hint: 'leave out the line "---"' });
  }
  const version = document?.directives.yaml;
  if (version?.explicit === true && version.version !== '1.2' && semantics !== 1) {
    faults.push({ at: 0, code: 'yaml_syntax', message: `files are read as YAML 1.2, not ${version.version}` });
  }
  return { document, faults };
}

type Item = CST.FlowCollection['items'][number];
/** What a collection holds: nodes of a list, pairs of a mapping. */
type Content = Node | Pair<Node, Node | null>;
type Composed = ReadonlyMap<CST.Token, readonly Content[]>;

export interface ComposedText {
  readonly documents: readonly Document.Parsed[];
  /** Of all documents, in the order of their places. */
  readonly errors: readonly YAMLError[];
}

/**
 * Composes the documents of a text, pausing now and then. The library composes a document at once, and a list in
 * brackets, as JSON has it, may be a document of 20 MB. So long collections in brackets are composed in pieces: each is
 * emptied first, and what was in it is put back, composed, when the document around it is there.
 *
 * @param tokens of the whole text; long collections among them are changed
 * @param length of the text
 * @param uniqueKeys whether the library compares the keys of a mapping; then it is composed at once
 * @param tokensPerPiece tokens that are composed between two pauses: a millisecond or two
 */
export function* composeInSteps(
  tokens: readonly CST.Token[],
  length: number,
  uniqueKeys: boolean,
  tokensPerPiece = 1_000,
): Generator<void, ComposedText> {
  const options = { version: '1.2', uniqueKeys } as const;
  const emptied: Emptied[] = [];
  if (!uniqueKeys)
    for (const token of tokens) if (token.type === 'document') yield* emptyLong(token.value, tokensPerPiece, emptied);
  if (emptied.length === 0) {
    const documents = [...new Composer(options).compose(tokens, true, length)] as Document.Parsed[];
    return { documents, errors: documents[0]?.errors ?? [] };
  }
  const directives = tokens.filter(({ type }) => type === 'directive');
  const composed = new Map<CST.Token, readonly Content[]>();
  const errors: YAMLError[] = [];
  // Inner ones come before those that they are in.
  for (const { token, pieces } of emptied) {
    const contents: Content[] = [];
    let end = token.offset;
    for (const [index, piece] of pieces.entries()) {
      const ends = { isFirst: index === 0, isLast: index === pieces.length - 1 };
      const document = composePiece(token, piece, ends, directives);
      errors.push(...document.errors);
      end = document.contents?.range[2] ?? end;
      const all = contentsOf(document.contents);
      const found = all.slice(ends.isFirst ? 0 : 1, ends.isLast ? all.length : -1);
      fill(found, composed);
      for (const content of found) contents.push(content);
      yield;
    }
    composed.set(token, contents);
    // A wrong end was found with the last piece, where the items end.
    const closing = closingOf(token, end - 1);
    if (token.end[0]?.source !== closing.source) token.end = [closing];
  }
  const composer = new Composer({ ...options, keepSourceTokens: true });
  const documents = [...composer.compose(tokens, true, length)] as Document.Parsed[];
  for (const { contents } of documents) if (contents !== null) fill([contents as Node], composed);
  errors.push(...(documents[0]?.errors ?? []));
  return { documents, errors: errors.sort((a, b) => a.pos[0] - b.pos[0]) };
}

interface Emptied {
  readonly token: CST.FlowCollection;
  readonly pieces: readonly (readonly Item[])[];
}

/**
 * Empties the collections in brackets below a token that hold more than `most` tokens, inner ones first.
 *
 * @returns how many tokens are left in it
 */
function* emptyLong(token: CST.Token | undefined, most: number, emptied: Emptied[]): Generator<void, number> {
  if (token === undefined || !('items' in token)) return 1;
  let count = 1;
  let piece: Item[] = [];
  let inPiece = 0;
  const pieces: Item[][] = [];
  for (const item of token.items as Item[]) {
    let inItem = 2;
    for (const part of [item.key, item.value]) {
      if (part) inItem += 'items' in part ? yield* emptyLong(part, most, emptied) : 1;
    }
    count += inItem;
    if (token.type !== 'flow-collection') continue;
    piece.push(item);
    inPiece += inItem;
    if (inPiece < most) continue;
    pieces.push(piece);
    [piece, inPiece] = [[], 0];
    yield;
  }
  if (token.type !== 'flow-collection' || pieces.length === 0) return count;
  if (piece.length > 0) pieces.push(piece);
  token.items = [];
  emptied.push({ token, pieces });
  return 1;
}

/**
 * Composes some items of a collection as one of their own, between two that stand for those before and behind them: so a
 * comma that is missing or too many is found as in the whole.
 */
function composePiece(
  token: CST.FlowCollection,
  piece: readonly Item[],
  { isFirst, isLast }: { readonly isFirst: boolean; readonly isLast: boolean },
  directives: readonly CST.Token[],
): Document.Parsed {
  const { offset, indent, start } = token;
  const first = placeOf(piece[0]) ?? offset;
  const last = placeOf(piece.at(-1)) ?? offset;
  const isMapping = start.source === '{';
  const nothing = (at: number): CST.FlowScalar => ({ type: 'scalar', offset: at, indent, source: '' });
  const standIn = (at: number, before: CST.SourceToken[]): Item =>
    isMapping ? { start: before, key: nothing(at), sep: [] } : { start: before, value: nothing(at) };
  const items = [
    ...(isFirst ? [] : [standIn(first, [])]),
    ...piece,
    ...(isLast ? [] : [standIn(last, [{ type: 'comma', offset: last, indent, source: ',' }])]),
  ];
  const document: CST.Document = {
    type: 'document',
    offset,
    start: directives.length === 0 ? [] : [{ type: 'doc-start', offset, indent, source: '---' }],
    value: { ...token, items, end: isLast ? token.end : [closingOf(token, last)] },
  };
  const composer = new Composer({ version: '1.2', uniqueKeys: false, keepSourceTokens: true });
  return [...composer.compose([...directives, document])][0] as Document.Parsed;
}

/** The bracket that a collection should end with. */
function closingOf({ start, indent }: CST.FlowCollection, offset: number): CST.SourceToken {
  return start.source === '{'
    ? { type: 'flow-map-end', offset, indent, source: '}' }
    : { type: 'flow-seq-end', offset, indent, source: ']' };
}

function placeOf(item: Item | undefined): number | undefined {
  const first = item?.start[0] ?? item?.key ?? item?.sep?.[0] ?? item?.value;
  return first?.offset;
}

function contentsOf(node: unknown): readonly Content[] {
  return isSeq(node) || isMap(node) ? (node.items as Content[]) : [];
}

/** Puts the contents of emptied collections back, and forgets the tokens. */
function fill(contents: readonly Content[], composed: Composed): void {
  const left: Content[] = [...contents];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (isPair(next)) {
      delete (next as { srcToken?: unknown }).srcToken;
      left.push(next.key as Node);
      if (next.value) left.push(next.value as Node);
      continue;
    }
    const token = next.srcToken as CST.Token | undefined;
    delete next.srcToken;
    if (!isSeq(next) && !isMap(next)) continue;
    const found = token === undefined ? undefined : composed.get(token);
    // What was emptied was filled when its pieces were composed, and need not be looked at again.
    if (found !== undefined) next.items = found as never[];
    else for (const item of next.items as Content[]) left.push(item);
  }
}

/**
 * The parser keeps each item of a list in brackets as a key, since a colon may follow, and makes values of them all when
 * the list ends: a second of work for a million. An item that is not the last is a value by now.
 */
function settleLists({ stack }: Parser): void {
  for (const list of stack) {
    if (list.type !== 'flow-collection' || list.start.type !== 'flow-seq-start') continue;
    // A step of the parser adds no more items than it reads tokens. Those before were settled last time.
    const first = Math.max(0, list.items.length - 1 - itemsPerStep);
    for (let at = first; at < list.items.length - 1; at++) {
      const item = list.items[at] as Item;
      if (item.sep === undefined) continue;
      if (item.sep.length > 0 || item.value || item.start.some(({ type }) => type === 'explicit-key-ind')) continue;
      list.items[at] = { start: item.start, ...(item.key && { value: item.key }) };
    }
  }
}

function nestingOf({ stack }: Parser): number {
  return stack.filter(({ type }) => type === 'block-map' || type === 'block-seq' || type === 'flow-collection').length;
}

/** `! text`, and the tags that YAML 1.2's core schema gives its values. */
const coreTags: ReadonlySet<string> = new Set([
  '!',
  ...['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`),
]);

/**
 * Finds what two readers could read differently, below `root`, and moves the places of all nodes by `offset`. Sets with
 * the semantics of 0.1 may hold it.
 */
function* checkNodes(root: Node, text: string, offset: number, semantics: Semantics, faults: Fault[]): Generator<void> {
  const left: Node[] = [root];
  let count = 0;
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    if (++count % itemsPerStep === 0) yield;
    if (semantics !== 1) checkNode(node, text, faults);
    if (isMap(node)) {
      if (semantics !== 1) checkKeys(node as YAMLMap<Node, Node | null>, faults);
      for (const { key, value } of (node as YAMLMap<Node, Node | null>).items) {
        left.push(key);
        if (value !== null) left.push(value);
      }
    } else if (isSeq(node)) {
      for (const item of node.items as Node[]) left.push(item);
    }
    if (offset > 0 && node.range) node.range = node.range.map((at) => at + offset) as [number, number, number];
  }
}

function checkNode(node: Node, text: string, faults: Fault[]): void {
  const at = node.range?.[0] ?? 0;
  const anchor = isAlias(node) ? undefined : (node as Scalar | YAMLMap | YAMLSeq).anchor;
  if (isAlias(node) || anchor !== undefined) {
    const message = isAlias(node) ? 'aliases are not read' : 'anchors are not read';
    const place = anchor === undefined ? at : text.lastIndexOf(`&${anchor}`, at);
    faults.push({ at: place, code: 'yaml_alias', message, hint: 'write the value out wherever it is meant' });
  }
  if (node.tag !== undefined && !coreTags.has(node.tag)) {
    faults.push({ at, code: 'yaml_tag', message: "only the tags of YAML 1.2's core schema are read" });
  }
  if (!isScalar(node) || typeof node.value !== 'number') return;
  const source = node.source ?? '';
  if (!Number.isFinite(node.value)) {
    const message = 'the number is infinite, or none at all';
    faults.push({ at, code: 'unsafe_number', message, isOfValue: true });
  } else if (integer.test(source) && !Number.isSafeInteger(node.value)) {
    const message = `an integer beyond ±${Number.MAX_SAFE_INTEGER} could be taken for another one`;
    faults.push({ at, code: 'unsafe_number', message, hint: 'put it in quotes', isOfValue: true });
  }
}

const integer = /^[-+]?(?:\d+|0o[0-7]+|0x[\da-fA-F]+)$/;

function checkKeys(map: YAMLMap<Node, Node | null>, faults: Fault[]): void {
  const names = new Set<string>();
  for (const { key } of map.items) {
    const at = key.range?.[0] ?? 0;
    if (!isScalar(key) || typeof key.value !== 'string') {
      faults.push({ at, code: 'wrong_type', message: 'the keys of a mapping must be texts', hint: 'put it in quotes' });
    } else if (names.has(key.value)) {
      faults.push({ at, code: 'yaml_syntax', message: 'the key stands twice in its mapping' });
    } else if (key.value === '<<' && key.type === 'PLAIN') {
      const hint = 'write the members out; a member of that name is put in quotes';
      faults.push({ at, code: 'yaml_alias', message: 'merge keys are not read', hint });
    } else {
      names.add(key.value);
    }
  }
}

/** The first syntax error, and repeated keys before it. */
function independentErrors(errors: readonly YAMLError[]): readonly YAMLError[] {
  const [first] = errors.filter(({ code }) => code !== 'DUPLICATE_KEY');
  return errors.filter((error) => error === first || (error.code === 'DUPLICATE_KEY' && !isBehind(error, first)));
}

function isBehind(error: YAMLError, other: YAMLError | undefined): boolean {
  return other !== undefined && error.pos[0] > other.pos[0];
}

/** The parser's message without the parts of the file that it repeats, behind a colon or as a word. */
function withoutSource(message: string): string {
  const [, said = '', source] = /^(.*?)(?:: (.*))?$/s.exec(message) as RegExpExecArray;
  const sentence = said.replaceAll(/\S+/g, (word) => cut(word));
  return source === undefined ? sentence : `${sentence}: ${quote(source)}`;
}
