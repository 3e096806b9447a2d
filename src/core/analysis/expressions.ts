import type { Expression } from '../matcher/ast.js';
import { type Combination, conditionColumns } from '../policy/combination.js';

/** The matcher, and each condition of the rules once, as far as they parse. */
export function* expressionsOf({ program, policy, rules, conditions, callsEval }: Combination): Generator<Expression> {
  yield program.expression;
  const columns = callsEval ? conditionColumns(program.expression, policy) : [];
  const seen = new Set<string>();
  for (const { fields } of columns.length === 0 ? [] : rules) {
    for (const column of columns) {
      const text = fields[column] ?? '';
      if (seen.has(text)) continue;
      seen.add(text);
      const condition = conditions.find(text);
      if (condition.run !== undefined) yield condition.expression;
    }
  }
}
