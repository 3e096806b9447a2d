/** Casbin's functions for paths, with the answers of its util/builtin_operators.go. */

import { quote } from '../../quote.js';
import { type FunctionDefinition, FunctionError } from './function-definition.js';
import { PathPattern, type PathSyntax, pathSyntaxes } from './path-pattern.js';
import { patternFunction } from './pattern-function.js';
import { remember } from './remember.js';

export const pathFunctions: readonly FunctionDefinition[] = [
  patternFunction(
    {
      name: 'keyMatch',
      origin: 'casbin',
      summary:
        'True when the name starts with what stands before the first `*` of the pattern; without `*`, when they are equal.',
      example: 'keyMatch("/invoices/42/lines", "/invoices/*") // true',
    },
    prepareKeyMatch,
  ),
  getFunction(
    {
      name: 'keyGet',
      summary: 'What the first `*` of the pattern stands for in the name; empty when they do not match.',
      example: 'keyGet("/invoices/42", "/invoices/*") // "42"',
    },
    keyGet,
  ),
  patternFunction(
    {
      name: 'keyMatch2',
      origin: 'casbin',
      summary: 'Matches a path: `:name` is one segment, `/*` any rest; all else is regular expression.',
      example: 'keyMatch2("/invoices/42/lines", "/invoices/:id/lines") // true',
    },
    (pattern) => preparePath(pattern, pathSyntaxes.keyMatch2),
  ),
  variableFunction(
    {
      name: 'keyGet2',
      summary: 'What a `:name` of the pattern stands for in the name; empty when they do not match.',
      example: 'keyGet2("/invoices/42/lines", "/invoices/:id/lines", "id") // "42"',
    },
    pathSyntaxes.keyGet2,
  ),
  patternFunction(
    {
      name: 'keyMatch3',
      origin: 'casbin',
      summary: 'Matches a path: `{name}` is a part of one segment, `/*` any rest; all else is regular expression.',
      example: 'keyMatch3("/invoices/42.pdf", "/invoices/{id}.pdf") // true',
    },
    (pattern) => preparePath(pattern, pathSyntaxes.keyMatch3),
  ),
  variableFunction(
    {
      name: 'keyGet3',
      summary: 'What a `{name}` of the pattern stands for in the name; empty when they do not match.',
      example: 'keyGet3("/invoices/2026-42", "/invoices/{year}-{id}", "id") // "42"',
    },
    pathSyntaxes.keyGet3,
  ),
  patternFunction(
    {
      name: 'keyMatch4',
      origin: 'casbin',
      summary: 'As keyMatch3; variables of the same name must stand for the same text.',
      example: 'keyMatch4("/users/7/orders/7", "/users/{id}/orders/{id}") // true',
    },
    prepareKeyMatch4,
  ),
  patternFunction(
    {
      name: 'keyMatch5',
      origin: 'casbin',
      summary: 'As keyMatch3, on the name up to its first `?`.',
      example: 'keyMatch5("/invoices/42?page=2", "/invoices/{id}") // true',
    },
    (pattern) => {
      const matches = preparePath(pattern, pathSyntaxes.keyMatch3);
      return (name) => {
        const query = name.indexOf('?');
        return matches(query === -1 ? name : name.slice(0, query));
      };
    },
  ),
];

function prepareKeyMatch(pattern: string): (name: string) => boolean {
  const star = pattern.indexOf('*');
  if (star === -1) return (name) => name === pattern;
  const prefix = pattern.slice(0, star);
  return (name) => name.startsWith(prefix);
}

function keyGet(name: string, pattern: string): string {
  const star = pattern.indexOf('*');
  return star !== -1 && name.startsWith(pattern.slice(0, star)) ? name.slice(star) : '';
}

function preparePath(pattern: string, syntax: PathSyntax): (name: string) => boolean {
  const path = new PathPattern(pattern, syntax);
  return (name) => path.matches(name);
}

function prepareKeyMatch4(pattern: string): (name: string) => boolean {
  const path = new PathPattern(pattern, pathSyntaxes.keyMatch4);
  const { variables } = path;
  const firstOfName = new Map<string, number>();
  for (const [index, variable] of variables.entries()) {
    if (!firstOfName.has(variable)) firstOfName.set(variable, index);
  }
  return (name) => {
    const found = path.values(name);
    if (found === undefined) return false;
    if (found.length !== variables.length) {
      throw new FunctionError(`keyMatch4: ${quote(pattern)} has groups beside its variables`);
    }
    return variables.every((variable, index) => found[index] === found[firstOfName.get(variable) as number]);
  };
}

type GetWords = Pick<FunctionDefinition, 'name' | 'summary' | 'example'>;

function getFunction(words: GetWords, get: (name: string, pattern: string) => string): FunctionDefinition {
  return {
    ...words,
    origin: 'casbin',
    parameters: [
      { name: 'name', type: 'string' },
      { name: 'pattern', type: 'string' },
    ],
    returns: 'string',
    call: ([name, pattern]) => get(name as string, pattern as string),
  };
}

function variableFunction(words: GetWords, syntax: PathSyntax): FunctionDefinition {
  const compile = remember((pattern) => new PathPattern(pattern, syntax));
  return {
    ...words,
    origin: 'casbin',
    parameters: [
      { name: 'name', type: 'string' },
      { name: 'pattern', type: 'string' },
      { name: 'variable', type: 'string' },
    ],
    returns: 'string',
    call: ([name, pattern, variable]) => {
      const path = compile(pattern as string);
      const found = path.values(name as string);
      const index = path.variables.indexOf(variable as string);
      if (found === undefined || index === -1) return '';
      const value = found[index];
      // A variable that the pattern quotes (`\Q:x`) is no group.
      if (value === undefined) throw new FunctionError(`${quote(pattern as string)} has no group for ${variable}`);
      return value;
    },
  };
}
