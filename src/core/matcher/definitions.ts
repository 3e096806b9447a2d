/** Names that the manifest defines: `define: { limit: 10000, isOwner: "r.sub.id == r.obj.owner" }`. */
import type { Json } from '../request.js';
import { type Expression, relocated, walk } from './ast.js';
import type { DefinedNames, DefinitionFault, KnownNames } from './known-names.js';
import { parseExpression } from './parser.js';
import { conditionSource } from './source-text.js';
import { MatcherSyntaxError } from './syntax-error.js';

/** What a name stands for: a value, or the text of an expression. */
export type DefinedAs = { readonly value: Json } | { readonly text: string };

/** More than people write. What names stand for stays small however they are nested. */
const mostParts = 200;
/** Names within names. */
const mostDepth = 100;

const never: Expression = { kind: 'literal', value: false, at: 0 };

/** The names of one combination, each parsed once. A name may stand in what another one is defined as. */
export class Definitions implements DefinedNames {
  private readonly parsed = new Map<string, Expression | 'open'>();
  private readonly found: DefinitionFault[] = [];
  private depth = 0;

  constructor(
    private readonly defined: ReadonlyMap<string, DefinedAs>,
    private readonly names: () => KnownNames,
  ) {}

  get all(): Iterable<string> {
    return this.defined.keys();
  }

  find(name: string, at?: number): Expression | undefined {
    const definition = this.defined.get(name);
    if (definition === undefined) return undefined;
    const expression = this.expressionOf(name, definition);
    return at === undefined ? expression : relocated(expression, at);
  }

  /** Parses all. */
  faults(): readonly DefinitionFault[] {
    for (const [name, definition] of this.defined) this.expressionOf(name, definition);
    return this.found;
  }

  private expressionOf(name: string, definition: DefinedAs): Expression {
    const known = this.parsed.get(name);
    if (known === 'open') throw new MatcherSyntaxError('matcher_syntax', 'it is defined by itself', 0);
    if (known !== undefined) return known;
    if (this.depth >= mostDepth) {
      throw new MatcherSyntaxError('matcher_syntax', `more than ${mostDepth} names within names`, 0);
    }
    this.parsed.set(name, 'open');
    this.depth++;
    let expression: Expression;
    try {
      expression =
        'value' in definition
          ? constantOf(definition.value)
          : parseExpression(conditionSource(definition.text), this.names());
      let parts = 0;
      walk(expression, () => parts++);
      if (parts > mostParts) {
        throw new MatcherSyntaxError(
          'matcher_syntax',
          `more than ${mostParts} words and operators, with those of its names`,
          0,
        );
      }
    } catch (error) {
      if (!(error instanceof MatcherSyntaxError)) throw error;
      this.found.push({ name, error });
      expression = never;
    }
    this.depth--;
    this.parsed.set(name, expression);
    return expression;
  }
}

/** A list is one as if it was written out, so that its items are known. */
function constantOf(value: Json): Expression {
  if (!Array.isArray(value)) return { kind: 'literal', value, at: 0 };
  return { kind: 'list', items: value.map((item) => ({ kind: 'literal', value: item, at: 0 })), at: 0 };
}

/** The texts that a text stands for: its own, and those that the names in it are defined as. */
export function textsWith(text: string, defined: ReadonlyMap<string, DefinedAs>): readonly string[] {
  const texts = [text];
  const seen = new Set<string>();
  for (const each of texts) {
    for (const [name] of each.matchAll(/(?<![\w.])[A-Za-z][A-Za-z0-9]*(?![\w.])/g)) {
      const definition = defined.get(name);
      if (definition === undefined || seen.has(name)) continue;
      seen.add(name);
      if ('text' in definition) texts.push(conditionSource(definition.text).text);
    }
  }
  return texts;
}
