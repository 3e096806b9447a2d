import type { Expression } from '../matcher/ast.js';
import { SymbolSet } from '../rules/symbols.js';
import { type Combination, conditionColumns } from './combination.js';

/** The matcher, and each condition of the rules once, as far as they parse. */
export function* expressionsOf({ program, policy, rules, conditions, callsEval }: Combination): Generator<Expression> {
  yield program.expression;
  if (!callsEval) return;
  const { symbols } = rules;
  const seen = new SymbolSet([], symbols.size);
  for (const column of conditionColumns(program.expression, policy)) {
    for (const symbol of rules.columns[column] ?? []) {
      if (symbol < 0 || !seen.add(symbol)) continue;
      const condition = conditions.find(symbols.text(symbol));
      if (condition.run !== undefined) yield condition.expression;
    }
  }
}
