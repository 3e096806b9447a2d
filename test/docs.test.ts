/** The documentation is true: examples are run, and pages made from the code are made again and compared. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorTable } from '../src/core/errors.js';
import { builtInFunctions } from '../src/core/matcher/functions/built-in-functions.js';
import type { FunctionDefinition } from '../src/core/matcher/functions/function-definition.js';
import { formatProblem, type Problem } from '../src/core/problem.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../src/engine.js';
import { loadPolicySet } from '../src/policy-store/load-policy-set.js';
import { compileOptions } from '../src/policy-store/policy-set-texts.js';

describe('docs/policy-sets.md', () => {
  const page = readFileSync(new URL('../docs/policy-sets.md', import.meta.url), 'utf8');
  const blocks = fencedBlocks(page);
  const textOf = (name: string) => blocks.find((block) => block.name === name)!.text;
  const files = blocks
    .filter(({ name }) => name.includes('.'))
    .map(({ name, text }) => ({ path: name, bytes: Buffer.from(text) }));
  const options = compileOptions(files);
  const questions = blocks.flatMap(({ name, text }, index) =>
    name === 'ask' ? [{ ask: JSON.parse(text), answer: JSON.parse(blocks[index + 1]!.text) }] : [],
  );

  it.each(questions)('answers as it says whether $ask.subject may $ask.action $ask.resource', ({ ask, answer }) => {
    expect(compilePolicySet(options).decide(ask, { now: Date.parse('2026-11-18T10:00:00Z') })).toEqual(answer);
  });

  it('shows a set that loads and passes its tests', async () => {
    const { served } = await loadPolicySet({ name: 'newsroom', files });
    expect(served.compiled.problems).toEqual([]);
  });

  it('refuses what it says', () => {
    const rules = [{ file: 'rules.csv', text: textOf('rules.csv') + textOf('broken') }];
    expect(problemsWith({ ...options, rules }).map(formatProblem)).toEqual(textOf('problems').trimEnd().split('\n'));
  });

  it('lists the keys that a manifest may have', () => {
    const table = page.slice(page.indexOf('## The manifest'), page.indexOf('## When something is wrong'));
    const listed = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, key]) => key);
    const [problem] = problemsWith({ ...options, manifest: { anotherKey: '' } });
    expect(problem?.hint).toBe(`it may have ${listed.join(', ')}`);
  });
});

describe('docs/problems.md', () => {
  /** Texts of the same form that are no codes of problems: reasons, effects, sections of a model. */
  const others = new Set([
    ...['rule_allowed', 'rule_denied', 'no_matching_rule', 'allowed_by_default', 'evaluation_error'],
    ...['allow_override', 'deny_override', 'allow_and_deny', 'subject_priority', 'no_match'],
    ...[
      'request_definition',
      'policy_definition',
      'role_definition',
      'policy_effect',
      'constraint_definition',
      'p_eft',
    ],
    ...Object.keys(errorTable),
  ]);
  const source = ['core', 'policy-store', 'stock-casbin/stock-casbin.ts', 'stock-casbin/stock-policy-set.ts'];
  const inCode = source
    .flatMap((path) => sourceFiles(path))
    .flatMap((text) => text.match(/(?<=')[a-z0-9]+(_[a-z0-9]+)+(?=')/g) ?? []);
  const page = readFileSync(new URL('../docs/problems.md', import.meta.url), 'utf8');
  const rows = page.match(/^\| `.*?` \|/gm)!;
  const listed = rows.flatMap((row) => row.match(/\w+/g)!);

  it('lists every code, and none that there is not', () => {
    const codes = new Set(inCode.filter((text) => !others.has(text)));
    expect([...new Set(listed)].sort()).toEqual([...codes].sort());
  });
});

it('docs/architecture.md speaks of files that are there', () => {
  const page = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8');
  const paths = [...page.matchAll(/`([\w-]+(?:\/[\w.-]+)*\/[\w.-]+\.ts|src[\w/-]*)`/g)].map(([, path]) => path!);
  expect(paths.length).toBeGreaterThan(20);
  const isThere = (path: string) =>
    ['../', '../src/'].some((base) => existsSync(new URL(base + path, import.meta.url)));
  expect(paths.filter((path) => !isThere(path))).toEqual([]);
});

/** Run with `-u` to write the page anew. */
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

/** The texts of a file, or of all files of a folder, under `src`. */
function sourceFiles(path: string): string[] {
  const url = new URL(`../src/${path}`, import.meta.url);
  if (statSync(url).isFile()) return [readFileSync(url, 'utf8')];
  return readdirSync(url).flatMap((name) => sourceFiles(`${path}/${name}`));
}

interface NamedBlock {
  readonly name: string;
  readonly text: string;
}

/** The code blocks of a page that have a name behind their language. */
function fencedBlocks(page: string): NamedBlock[] {
  return [...page.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => ({ name: name!, text: text! }));
}

function problemsWith(options: CompileOptions): readonly Problem[] {
  try {
    compilePolicySet(options);
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems;
  }
}
