/** YAML 1.2 with places: the only file that imports the YAML library. JSON is YAML, so it reads both. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';
import { closest } from '../closest.js';
import type { Problem } from '../problem.js';
import type { Json } from '../request.js';

export interface NamedText {
  readonly file: string;
  readonly text: string;
}

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type ReportFatal = (problem: Problem) => void;

/** A node and how to say what is wrong with it. */
export class YamlNode {
  constructor(
    private readonly node: Node | null,
    private readonly document: { readonly file: string; readonly lines: LineCounter; readonly report: ReportFatal },
  ) {}

  /** Where the node begins. */
  get place(): Place {
    const { file, lines } = this.document;
    const { line, col } = lines.linePos(this.node?.range?.[0] ?? 0);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /** Where the key at the end of a path stands, or the last key on the way to it that is there. */
  placeOfKey(path: readonly string[]): Place {
    const [name, ...rest] = path;
    if (name === undefined || !isMap(this.node)) return this.place;
    for (const { key, value } of (this.node as YAMLMap<Node, Node | null>).items) {
      if (!isScalar(key) || key.value !== name) continue;
      const below = rest.length > 0 && isMap(value) ? new YamlNode(value, this.document).placeOfKey(rest) : undefined;
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
        // A key without a value has no place of its own; the key's is as good.
        members.set(key.value, new YamlNode(value?.range == null ? key : value, this.document));
        if (value?.range == null) keyNode.refuse('missing_value', `"${key.value}" has no value`);
      }
    }
    return members;
  }

  /** As `members`; keys that are not in `known` are reported with the one they were probably meant to be. */
  knownMembers<Key extends string>(what: string, known: readonly Key[]): Partial<Record<Key, YamlNode>> | undefined {
    const members = this.members(what);
    if (members === undefined) return undefined;
    const found: Partial<Record<Key, YamlNode>> = {};
    for (const [name, node] of members) {
      if ((known as readonly string[]).includes(name)) {
        found[name as Key] = node;
      } else {
        const meant = closest(name, known);
        const hint = meant === undefined ? `it may have ${known.join(', ')}` : `did you mean "${meant}"?`;
        node.refuse('unknown_key', `${what} has no "${name}"`, hint);
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

  text(what: string): string | undefined {
    const value = isScalar(this.node) ? this.node.value : undefined;
    if (typeof value === 'string') return value;
    const hint = value !== undefined && value !== null ? `put it in quotes: "${String(value)}"` : undefined;
    return this.refuse('wrong_type', `${what} must be a text`, hint);
  }

  oneOf<Value extends string>(what: string, values: readonly Value[]): Value | undefined {
    const text = this.text(what);
    if (text === undefined) return undefined;
    if ((values as readonly string[]).includes(text)) return text as Value;
    return this.refuse('wrong_value', `${what} must be one of ${values.join(', ')}, not "${text}"`);
  }

  positiveInteger(what: string): number | undefined {
    const value = isScalar(this.node) ? this.node.value : undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    return this.refuse('wrong_type', `${what} must be a whole number above 0`);
  }

  texts(what: string): readonly string[] | undefined {
    return this.items(what)?.flatMap((item) => item.text(`each of ${what}`) ?? []);
  }

  /** The value as JSON. Dates stay the texts they were written as: the core schema of YAML 1.2 has none. */
  json(): Json {
    return (this.node?.toJSON() ?? null) as Json;
  }
}

/**
 * Reads a document. What does not parse is reported with its place, and there is no node then; nor is there one for
 * a document that says nothing, which is fine.
 */
export function readYaml({ file, text }: NamedText, report: ReportFatal): YamlNode | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  for (const error of document.errors) {
    const { line, col } = lines.linePos(error.pos[0]);
    report({ severity: 'error', code: 'yaml_syntax', message: error.message, file, line: line || 1, column: col || 1 });
  }
  if (document.errors.length > 0) return undefined;
  const empty = document.contents === null || (isScalar(document.contents) && document.contents.value === null);
  return empty ? undefined : new YamlNode(document.contents, { file, lines, report });
}
