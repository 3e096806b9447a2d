/** How the matcher uses each column of a rule, for comparing two rules. */
import { type Expression, walk } from '../matcher/ast.js';
import { conjunction } from '../matcher/program.js';
import type { Combination } from '../policy/combination.js';

/** How a column is compared. `token` is the request's side of it, `sub` in `r.sub`. */
export type ColumnUse =
  /** Not part of matching: `eft`, `priority`, `reason`. */
  | { readonly kind: 'unread' }
  | { readonly kind: 'equal'; readonly token: string; readonly always?: string }
  | {
      readonly kind: 'role';
      readonly token: string;
      readonly relation: string;
      /** The token of the domain. */
      readonly domain?: string;
      readonly always?: string;
    }
  | { readonly kind: 'pattern'; readonly token: string; readonly function: string; readonly always?: string }
  | { readonly kind: 'condition'; readonly always?: string }
  /** Anything else: two rules are only comparable where they say the same. */
  | { readonly kind: 'other'; readonly always?: string };

/** The use of each column of the policy definition, in order. `always` is a text that every request matches. */
export function columnUses(combination: Combination): readonly ColumnUse[] {
  const uses: ColumnUse[] = combination.policy.tokens.map(() => ({ kind: 'unread' }));
  for (const term of conjunction(combination.program.expression)) {
    const columns = columnsIn(term, combination);
    const use = columns.length === 1 ? useOf(term, combination) : undefined;
    for (const column of columns) {
      const before = uses[column];
      uses[column] = use !== undefined && before?.kind === 'unread' ? use : { kind: 'other' };
    }
  }
  // A condition may read the columns of its own rule: then it means something else in each.
  if (combination.callsEval && conditionsReadColumns(combination)) {
    for (const [column, use] of uses.entries()) if (use.kind === 'condition') uses[column] = { kind: 'other' };
  }
  return uses;
}

function columnsIn(expression: Expression, { policy }: Combination): readonly number[] {
  const columns = new Set<number>();
  walk(expression, (part) => {
    if (part.kind !== 'column' && part.kind !== 'attribute') return;
    const column = policy.columns.get(part.name);
    if (column !== undefined) columns.add(column);
  });
  return [...columns];
}

function useOf(term: Expression, combination: Combination): ColumnUse | undefined {
  switch (term.kind) {
    case 'or': {
      // (p.sub == "*" || g(r.sub, p.sub)), either way round
      const [always, rest] =
        literalOf(term.left, combination) === undefined ? [term.right, term.left] : [term.left, term.right];
      const text = literalOf(always, combination);
      const use = text === undefined ? undefined : useOf(rest, combination);
      return use === undefined || use.kind === 'unread' || text === undefined ? undefined : { ...use, always: text };
    }
    case 'binary': {
      if (term.operator !== '==') return undefined;
      const token = tokenOf(term.left, combination) ?? tokenOf(term.right, combination);
      const isColumn = [term.left, term.right].some((side) => isPolicyColumn(side, combination));
      return token === undefined || !isColumn ? undefined : { kind: 'equal', token };
    }
    case 'call':
      return useInCall(term, combination);
    default:
      return undefined;
  }
}

function useInCall(call: Extract<Expression, { kind: 'call' }>, combination: Combination): ColumnUse | undefined {
  const { environment } = combination;
  const [first, second] = call.args;
  if (call.name === 'eval' && environment.hasEval) {
    return first !== undefined && isPolicyColumn(first, combination)
      ? { kind: 'condition', always: 'true' }
      : undefined;
  }
  if (first === undefined || second === undefined || !isPolicyColumn(second, combination)) return undefined;
  const token = tokenOf(first, combination);
  if (token === undefined) return undefined;
  if (environment.roles.has(call.name)) {
    const domain = call.args[2] === undefined ? undefined : tokenOf(call.args[2], combination);
    return { kind: 'role', token, relation: call.name, ...(domain !== undefined && { domain }) };
  }
  const isPattern = environment.functions.get(call.name)?.prepare !== undefined && call.args.length === 2;
  if (!isPattern || environment.customFunctions.has(call.name)) return undefined;
  return { kind: 'pattern', token, function: call.name };
}

/** The text in `p.sub == "*"`. */
function literalOf(expression: Expression, combination: Combination): string | undefined {
  if (expression.kind !== 'binary' || expression.operator !== '==') return undefined;
  const { left, right } = expression;
  const literal = isPolicyColumn(left, combination) ? right : isPolicyColumn(right, combination) ? left : undefined;
  return literal?.kind === 'literal' && typeof literal.value === 'string' ? literal.value : undefined;
}

function tokenOf(expression: Expression, { request }: Combination): string | undefined {
  const index = expression.kind === 'column' ? request.columns.get(expression.name) : undefined;
  return index === undefined ? undefined : request.tokens[index];
}

function isPolicyColumn(expression: Expression, { policy }: Combination): boolean {
  return expression.kind === 'column' && policy.columns.has(expression.name);
}

function conditionsReadColumns(combination: Combination): boolean {
  const uses = new Set<number>();
  walk(combination.program.expression, (part) => {
    const [text] = part.kind === 'call' && part.name === 'eval' ? part.args : [];
    const column = text?.kind === 'column' ? combination.policy.columns.get(text.name) : undefined;
    if (column !== undefined) uses.add(column);
  });
  for (const { fields } of combination.rules) {
    for (const column of uses) {
      const condition = combination.conditions.find(fields[column] ?? '');
      if (condition.run !== undefined && columnsIn(condition.expression, combination).length > 0) return true;
    }
  }
  return false;
}
