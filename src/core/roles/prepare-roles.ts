/** Prepares the roles in rules when a set loads, if names match patterns: a role may be a pattern. */

import type { ColumnsDefinition } from '../casbin/casbin-model.js';
import { type Expression, walk } from '../matcher/ast.js';
import type { RuleStore } from '../rules/rule-store.js';
import { SymbolSet } from '../rules/symbols.js';
import { patternsPerStep } from '../steps.js';
import type { RoleGraph } from './roles.js';

export function* prepareRoles(
  expressions: readonly Expression[],
  roles: ReadonlyMap<string, RoleGraph>,
  rules: RuleStore,
  policy: ColumnsDefinition,
): Generator<void> {
  const columns = new Map<RoleGraph, Set<number>>();
  for (const expression of expressions) {
    walk(expression, (part) => {
      if (part.kind !== 'call') return;
      const graph = roles.get(part.name === 'hasRole' ? 'g' : part.name);
      const role = part.args[1];
      if (graph?.matchesNames !== true || role === undefined) return;
      if (role.kind === 'literal' && typeof role.value === 'string') graph.prepareRole(role.value);
      const column = role.kind === 'column' ? policy.columns.get(role.name) : undefined;
      if (column === undefined) return;
      const known = columns.get(graph) ?? new Set();
      columns.set(graph, known.add(column));
    });
  }
  let prepared = 0;
  for (const [graph, indexes] of columns) {
    const looked = new SymbolSet([], rules.symbols.size);
    for (const index of indexes) {
      for (const symbol of rules.columns[index] ?? []) {
        if (!looked.add(symbol)) continue;
        if (++prepared % patternsPerStep === 0) yield;
        graph.prepareRole(rules.symbols.text(symbol));
      }
    }
  }
}
