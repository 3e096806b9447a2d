/** In how many ways the matcher reads each column of the rules: what a value of the column can mean depends on it. */
import { type Expression, walk } from '../matcher/ast.js';
import type { Combination } from '../policy/combination.js';

export interface ColumnReading {
  /** Compared with `==`, `!=` or `in` with something of the request. */
  isCompared: boolean;
  /** Asked for as a role of these definitions. */
  readonly relations: Set<string>;
  /** The pattern of these functions. */
  readonly patterns: Set<string>;
  /** Texts that the matcher compares the column with: `"*"` in `p.sub == "*"`. */
  readonly literals: Set<string>;
  /** Evaluated by `eval()`. */
  isCondition: boolean;
  /** Read in a way that says nothing about its values: an own function, arithmetic, an order. */
  isOther: boolean;
}

/** How each column of the policy definition is read, in order; undefined if the matcher does not read it. */
export function columnReadings(combination: Combination): readonly (ColumnReading | undefined)[] {
  const { policy, environment } = combination;
  const readings: (ColumnReading | undefined)[] = policy.tokens.map(() => undefined);
  const readingOf = (expression: Expression | undefined): ColumnReading | undefined => {
    const column = expression?.kind === 'column' ? policy.columns.get(expression.name) : undefined;
    if (column === undefined) return undefined;
    readings[column] ??= {
      isCompared: false,
      relations: new Set(),
      patterns: new Set(),
      literals: new Set(),
      isCondition: false,
      isOther: false,
    };
    return readings[column];
  };
  const compare = (left: Expression, right: Expression): void => {
    const reading = readingOf(left);
    if (reading === undefined) return;
    if (right.kind === 'literal') reading.literals.add(String(right.value));
    else reading.isCompared = true;
  };
  const other = (expression: Expression): void => {
    const reading = readingOf(expression);
    if (reading !== undefined) reading.isOther = true;
  };
  walk(combination.program.expression, (part) => {
    switch (part.kind) {
      case 'binary':
        if (part.operator === '==' || part.operator === '!=') {
          compare(part.left, part.right);
          compare(part.right, part.left);
        } else if (part.operator === '=~' || part.operator === '!~') {
          other(part.left);
          readingOf(part.right)?.patterns.add('regexMatch');
        } else {
          other(part.left);
          other(part.right);
        }
        break;
      case 'in': {
        const items = part.right.kind === 'list' ? part.right.items : [part.right];
        for (const item of items) {
          compare(part.left, item);
          compare(item, part.left);
        }
        break;
      }
      case 'call': {
        const isRole = environment.roles.has(part.name);
        const isOwn = environment.customFunctions.has(part.name);
        const isPattern = !isOwn && environment.functions.get(part.name)?.prepare !== undefined;
        for (const [index, argument] of part.args.entries()) {
          const reading = readingOf(argument);
          if (reading === undefined) continue;
          if (isRole && index < 2) reading.relations.add(part.name);
          else if (isRole) reading.isCompared = true;
          else if (isPattern && index === 1) reading.patterns.add(part.name);
          else if (part.name === 'eval' && environment.hasEval) reading.isCondition = true;
          else reading.isOther = true;
        }
        break;
      }
      default:
        break;
    }
  });
  return readings;
}

/** A call of a role definition, or of `hasRole`, which asks `g`. */
export function roleCallsOf(combination: Combination, key: string): readonly (readonly Expression[])[] {
  const calls: (readonly Expression[])[] = [];
  walk(combination.program.expression, (part) => {
    if (part.kind === 'call' && (part.name === key || (part.name === 'hasRole' && key === 'g'))) calls.push(part.args);
  });
  return calls;
}

export interface LiteralPattern {
  /** Name of the function. */
  readonly name: string;
  readonly pattern: string;
  readonly at: number;
}

/** The patterns that stand in the matcher as texts: `keyMatch(r.obj, "/docs/*")`. */
export function literalPatterns({ program, environment }: Combination): readonly LiteralPattern[] {
  const patterns: LiteralPattern[] = [];
  walk(program.expression, (part) => {
    if (part.kind !== 'call' || environment.roles.has(part.name) || environment.customFunctions.has(part.name)) return;
    const pattern = part.args[1];
    if (environment.functions.get(part.name)?.prepare === undefined || pattern?.kind !== 'literal') return;
    if (typeof pattern.value === 'string') patterns.push({ name: part.name, pattern: pattern.value, at: pattern.at });
  });
  return patterns;
}
