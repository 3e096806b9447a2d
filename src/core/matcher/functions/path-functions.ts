/** Casbin's functions for paths (util/builtin_operators.go). */
import type { FunctionDefinition } from './function-definition.js';

export const pathFunctions: readonly FunctionDefinition[] = [
  {
    name: 'keyMatch',
    origin: 'casbin',
    summary: 'True when the name starts with what stands before the first `*` of the pattern; without `*`, when equal.',
    example: 'keyMatch(r.obj, "/invoices/*")',
    parameters: [
      { name: 'name', type: 'string' },
      { name: 'pattern', type: 'string' },
    ],
    returns: 'boolean',
    prepare: prepareKeyMatch,
    call: ([name, pattern]) => prepareKeyMatch(pattern as string)(name as string),
  },
];

function prepareKeyMatch(pattern: string): (name: string) => boolean {
  const star = pattern.indexOf('*');
  if (star === -1) return (name) => name === pattern;
  const prefix = pattern.slice(0, star);
  return (name) => name.startsWith(prefix);
}
