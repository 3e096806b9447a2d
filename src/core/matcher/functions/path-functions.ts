/** Casbin's functions for paths, with the answers of its util/builtin_operators.go. */
import { quote } from '../../quote.js';
import { stepsForText } from '../../step-budget.js';
import { type FunctionDefinition, FunctionError, type PatternTest } from './function-definition.js';
import { PathPattern, type PathSyntax, pathSyntaxes, stepsToPreparePath } from './path-pattern.js';
import { patternFunction, stepsToRead } from './pattern-function.js';
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
    stepsToRead,
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
    (pattern) => stepsToPreparePath(pattern, pathSyntaxes.keyMatch2),
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
    (pattern) => stepsToPreparePath(pattern, pathSyntaxes.keyMatch3),
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
    (pattern) => stepsToPreparePath(pattern, pathSyntaxes.keyMatch4),
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
      return (name, meter) => {
        const query = name.indexOf('?');
        return matches(query === -1 ? name : name.slice(0, query), meter);
      };
    },
    (pattern) => stepsToPreparePath(pattern, pathSyntaxes.keyMatch3),
  ),
];

function prepareKeyMatch(pattern: string): PatternTest {
  const star = pattern.indexOf('*');
  const prefix = star === -1 ? pattern : pattern.slice(0, star);
  const steps = 2 + stepsForText(prefix.length);
  return (name, meter) => {
    meter.spend(steps);
    return star === -1 ? name === pattern : name.startsWith(prefix);
  };
}

function keyGet(name: string, pattern: string): string {
  const star = pattern.indexOf('*');
  return star !== -1 && name.startsWith(pattern.slice(0, star)) ? name.slice(star) : '';
}

function preparePath(pattern: string, syntax: PathSyntax): PatternTest {
  const path = new PathPattern(pattern, syntax);
  return (name, meter) => path.matches(name, meter);
}

function prepareKeyMatch4(pattern: string): PatternTest {
  const path = new PathPattern(pattern, pathSyntaxes.keyMatch4);
  const { variables } = path;
  const firstOfName = new Map<string, number>();
  for (const [index, variable] of variables.entries()) {
    if (!firstOfName.has(variable)) firstOfName.set(variable, index);
  }
  return (name, meter) => {
    const found = path.values(name, meter);
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
    call: ([name, pattern], _, meter) => {
      meter.spend(10 + stepsForText((name as string).length + (pattern as string).length));
      return get(name as string, pattern as string);
    },
  };
}

function variableFunction(words: GetWords, syntax: PathSyntax): FunctionDefinition {
  const compile = remember(
    (pattern) => new PathPattern(pattern, syntax),
    (pattern) => stepsToPreparePath(pattern, syntax),
  );
  return {
    ...words,
    origin: 'casbin',
    parameters: [
      { name: 'name', type: 'string' },
      { name: 'pattern', type: 'string' },
      { name: 'variable', type: 'string' },
    ],
    returns: 'string',
    call: ([name, pattern, variable], _, meter) => {
      const path = compile(pattern as string, meter);
      const found = path.values(name as string, meter);
      meter.spend(2 * stepsToRead(pattern as string));
      const index = path.variables.indexOf(variable as string);
      if (found === undefined || index === -1) return '';
      const value = found[index];
      // A variable that the pattern quotes (`\Q:x`) does not become a group.
      if (value === undefined) throw new FunctionError(`${quote(pattern as string)} has no group for ${variable}`);
      return value;
    },
  };
}
