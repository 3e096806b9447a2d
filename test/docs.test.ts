/** The documentation that is made from the code: `npx vitest run test/docs.test.ts -u` writes it anew. */
import { expect, it } from 'vitest';
import { builtInFunctions } from '../src/core/matcher/functions/built-in-functions.js';
import type { FunctionDefinition } from '../src/core/matcher/functions/function-definition.js';

it('docs/functions.md lists every function as the code defines it', async () => {
  await expect(functionsPage()).toMatchFileSnapshot('../docs/functions.md');
});

/** They read the rules or the request, so they are no entries of `builtInFunctions`. */
const setFunctions = [
  [
    '`g(name, role)`, `g(name, role, domain)`',
    'true when the name is the role or reaches it over `g` rules; the same for `g2` and every other role definition',
  ],
  ['`has(r.sub.department)`', 'true when every step of the path is there, also if its value is null; never an error'],
  [
    '`hasRole(roles, role)`, `hasRole(roles, role, domain)`',
    'true when a text in the list is the role or reaches it over `g`: for roles that come with the request',
  ],
  ['`eval(p.condition)`', 'what the text in the rule evaluates to; only texts of the policy are evaluated'],
];

function functionsPage(): string {
  const definitions = [...builtInFunctions.values()];
  return `# Functions

What a matcher, or a condition in a rule, can call. This page is generated from the code.

A wrong number of arguments, or one of the wrong type, is an error of the rule and not a conversion: an allow rule then does
not allow, a deny rule denies.

## Roles, paths and conditions

These read the policy set or the request itself.

${table(['call', 'is'], setFunctions)}

## Verdict's own

Sets that use them do not run on stock Casbin.

${functionTable(definitions.filter(({ origin }) => origin === 'verdict'))}

## Casbin's

They answer as Casbin's Go implementation does. The name comes first, the pattern second.

${functionTable(definitions.filter(({ origin }) => origin === 'casbin'))}
`;
}

function functionTable(definitions: readonly FunctionDefinition[]): string {
  const rows = definitions.map((definition) => [
    code(signature(definition)),
    cell(definition.summary),
    code(definition.example),
  ]);
  return table(['function', 'is', 'example'], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** `betweenHours(zone, from, to): boolean` */
function signature({ name, parameters, returns }: FunctionDefinition): string {
  const names = parameters.map((parameter) => (parameter.optional ? `${parameter.name}?` : parameter.name));
  return `${name}(${names.join(', ')}): ${returns}`;
}

function code(text: string): string {
  return `\`${cell(text)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
