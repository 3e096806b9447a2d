/** What the matcher and the conditions of a set compare with the tokens of a request: texts, and columns of rules. */
import { type Expression, walk } from '../matcher/ast.js';
import type { Combination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { expressionsOf } from '../policy/expressions.js';
import type { LiveLinks } from '../roles/live-links.js';

/** What is compared with one token, or with one attribute of it. */
export interface Comparisons {
  /** Texts of the expressions, with the function that takes them as a pattern, if one does. */
  readonly texts: Map<string, string | undefined>;
  /** By what names them: conditions by the thousand may speak of the same column. */
  readonly columns: Map<string, ComparedColumn>;
  /** The role definitions that are asked about it, as their first argument. */
  readonly relations: Set<string>;
}

export interface ComparedColumn {
  readonly symbols: Int32Array;
  /** A column of live links, too: their names may have no symbols. */
  readonly live: LiveColumn | undefined;
  readonly kind: 'rule' | 'role definition';
  /** The column, `sub`, or the role definition, `g`. */
  readonly place: string;
  /** The function that takes its texts as patterns; undefined if they are compared as they are. */
  readonly pattern: string | undefined;
  /** Texts that every request matches: `*` in `p.sub == "*" || g(r.sub, p.sub)`. */
  readonly always: ReadonlySet<string>;
}

export interface LiveColumn {
  readonly links: LiveLinks;
  readonly column: 'child' | 'domain';
}

const nothing: ReadonlySet<string> = new Set();
const noSymbols = new Int32Array(0);

/** The comparisons of a token's value, `r_sub`, and of its attributes, `r_sub.id`. All expressions are read once. */
export class TokenComparisons {
  private readonly found = new Map<string, Comparisons>();
  private readonly always = new Map<number, Set<string>>();

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly main: Combination,
  ) {
    for (const expression of expressionsOf(main)) walk(expression, (part) => this.read(part));
  }

  of(token: string, attribute?: string): Comparisons | undefined {
    return this.found.get(keyOf(`${this.main.request.key}_${token}`, attribute));
  }

  private read(part: Expression): void {
    switch (part.kind) {
      case 'or':
        this.noteAlways(part.left);
        this.noteAlways(part.right);
        break;
      case 'binary':
        if (part.operator === '==') {
          this.take(part.left, part.right);
          this.take(part.right, part.left);
        } else if (part.operator === '=~') this.take(part.left, part.right, 'regexMatch');
        break;
      case 'in':
        this.take(part.left, part.right);
        break;
      case 'call':
        this.readCall(part);
        break;
      default:
        break;
    }
  }

  private readCall({ name, args }: Extract<Expression, { kind: 'call' }>): void {
    const { environment } = this.main;
    const [first, second, third] = args;
    if (this.set.table.groupings.has(name)) {
      const matching = this.set.manifest.roleMatching.get(name);
      this.asked(first)?.relations.add(name);
      this.take(first, second);
      this.takeRoles(first, name, 0, matching?.names);
      const hasDomain = this.set.model.roles.get(name)?.hasDomain === true;
      if (hasDomain) this.takeRoles(third, name, 2, matching?.domains);
    } else if (args.length === 2 && !environment.customFunctions.has(name)) {
      if (environment.functions.get(name)?.prepare !== undefined) this.take(first, second, name);
    }
  }

  private take(asked: Expression | undefined, given: Expression | undefined, pattern?: string): void {
    const by = this.asked(asked);
    if (by === undefined || given === undefined) return;
    if (given.kind === 'list') for (const item of given.items) this.take(asked, item, pattern);
    if (given.kind === 'literal' && typeof given.value === 'string') {
      by.texts.set(given.value, pattern ?? by.texts.get(given.value));
    }
    const index = this.policyColumn(given);
    const symbols = index === undefined ? undefined : this.main.rules.columns[index];
    if (index === undefined || symbols === undefined) return;
    const place = this.main.policy.tokens[index] as string;
    const always = this.alwaysIn(index);
    const live = undefined;
    by.columns.set(`${pattern ?? ''}(${index})`, { symbols, live, kind: 'rule', place, pattern, always });
  }

  private takeRoles(asked: Expression | undefined, place: string, column: number, pattern: string | undefined): void {
    const symbols = this.set.table.groupings.get(place)?.columns[column] ?? noSymbols;
    const links = this.set.roles.get(place)?.liveLinks;
    const live = links && { links, column: column === 0 ? ('child' as const) : ('domain' as const) };
    const compared = { symbols, live, kind: 'role definition', place, pattern, always: nothing } as const;
    this.asked(asked)?.columns.set(`${place}.${column}`, compared);
  }

  private asked(part: Expression | undefined): Comparisons | undefined {
    if (part?.kind !== 'column' && part?.kind !== 'attribute') return undefined;
    if (!this.main.request.columns.has(part.name) || (part.kind === 'attribute' && part.path.length > 1)) {
      return undefined;
    }
    const key = keyOf(part.name, part.kind === 'attribute' ? part.path[0] : undefined);
    let comparisons = this.found.get(key);
    if (comparisons === undefined) {
      comparisons = { texts: new Map(), columns: new Map(), relations: new Set() };
      this.found.set(key, comparisons);
    }
    return comparisons;
  }

  private policyColumn(part: Expression): number | undefined {
    return part.kind === 'column' ? this.main.policy.columns.get(part.name) : undefined;
  }

  private noteAlways(part: Expression): void {
    if (part.kind !== 'binary' || part.operator !== '==') return;
    const index = this.policyColumn(part.left) ?? this.policyColumn(part.right);
    const literal = part.left.kind === 'literal' ? part.left : part.right;
    if (index === undefined || literal.kind !== 'literal' || typeof literal.value !== 'string') return;
    this.alwaysIn(index).add(literal.value);
  }

  private alwaysIn(column: number): Set<string> {
    let texts = this.always.get(column);
    if (texts === undefined) {
      texts = new Set();
      this.always.set(column, texts);
    }
    return texts;
  }
}

function keyOf(column: string, attribute: string | undefined): string {
  return attribute === undefined ? column : `${column}.${attribute}`;
}
