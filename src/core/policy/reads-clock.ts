import { type Expression, walk } from '../matcher/ast.js';
import { clockFunctions } from '../matcher/functions/clock-functions.js';
import { SymbolSet } from '../rules/symbols.js';
import { type Combination, isCombination } from './combination.js';
import type { CompiledPolicySet } from './compile.js';

const clockNames: ReadonlySet<string> = new Set(clockFunctions.map(({ name }) => name));

/**
 * Whether an answer of the set may depend on the time of the decision: a call that sees the clock, in the matcher, in what it is
 * defined by, or in a condition of any rule; or links that hold for a time. It looks at what was parsed, since a name can be written
 * in many ways. Of a condition that is put together while a request is evaluated nobody knows what it calls, so it counts.
 */
export function readsClock({ main, roles }: CompiledPolicySet): boolean {
  if ([...roles.values()].some(({ isConditional }) => isConditional)) return true;
  return isCombination(main) && callsClock(main);
}

function callsClock({ program, policy, rules, conditions }: Combination): boolean {
  const evaluated: Expression[] = [program.expression];
  const columns = new Set<number>();
  const looked = new Set<number>();
  const texts = new Set<string>();
  const symbols = new SymbolSet([], rules.symbols.size);
  const add = (text: string): void => {
    if (texts.has(text)) return;
    texts.add(text);
    const condition = conditions.find(text);
    if (condition.run !== undefined) evaluated.push(condition.expression);
  };
  let reads = false;
  // Conditions evaluate others in turn, which are appended while this runs.
  for (const expression of evaluated) {
    walk(expression, (part) => {
      if (part.kind !== 'call') return;
      reads ||= clockNames.has(part.name);
      if (part.name !== 'eval') return;
      const [text] = part.args;
      const column = text?.kind === 'column' ? policy.columns.get(text.name) : undefined;
      if (column !== undefined) columns.add(column);
      else if (text?.kind === 'literal' && typeof text.value === 'string') add(text.value);
      else reads = true;
    });
    if (reads) return true;
    for (const column of columns) {
      if (looked.has(column)) continue;
      looked.add(column);
      for (const symbol of rules.columns[column] ?? []) {
        if (symbol >= 0 && symbols.add(symbol)) add(rules.symbols.text(symbol));
      }
    }
  }
  return false;
}
