/** The documentation is true: examples are run, and pages made from the code are made again and compared. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { auditEventTypes } from '../src/audit/audit-event.js';
import { formatRules } from '../src/core/analysis/format.js';
import type { NamedText } from '../src/core/manifest/yaml-document.js';
import { builtInFunctions } from '../src/core/matcher/functions/built-in-functions.js';
import type { FunctionDefinition } from '../src/core/matcher/functions/function-definition.js';
import { formatProblem, type PolicyProblem } from '../src/core/problem.js';
import { effectSpellings } from '../src/core/rules/effect.js';
import { unmetered } from '../src/core/step-budget.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../src/engine.js';
import { errorTable } from '../src/errors.js';
import { candidateReasons } from '../src/policy-store/candidates/candidate.js';
import { loadPolicySet } from '../src/policy-store/load-policy-set.js';
import { compileOptions } from '../src/policy-store/policy-set-texts.js';

describe('links', () => {
  const root = new URL('../', import.meta.url);
  const inFolder = (folder: string) =>
    readdirSync(new URL(folder, root))
      .filter((name) => name.endsWith('.md'))
      .map((name) => folder + name);
  const pages = ['', 'docs/', 'docs/decisions/', 'policies/default/', '.github/'].flatMap(inFolder);
  const textOf = (page: string) => readFileSync(new URL(page, root), 'utf8');
  const linksOf = (page: string) =>
    [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^[a-z]+:/.test(link))
      .map((link) => new URL(link, new URL(page, root)));

  it.each(pages)('of %s lead to files and headings that are there', (page) => {
    const broken = linksOf(page).filter((link) => {
      const file = new URL(link.pathname, link);
      if (!existsSync(file)) return true;
      return link.hash !== '' && !anchorsOf(readFileSync(file, 'utf8')).has(link.hash.slice(1));
    });
    expect(broken.map((link) => link.href.slice(root.href.length))).toEqual([]);
  });

  it.each([
    ['README.md', ['', 'docs/']],
    ['docs/decisions/README.md', ['docs/decisions/']],
  ])('of %s lead to every page', (page, folders) => {
    const linked = new Set(linksOf(page).map(({ href }) => href.replace(/#.*/, '').slice(root.href.length)));
    expect(folders.flatMap(inFolder).filter((other) => other !== page && !linked.has(other))).toEqual([]);
  });
});

it('CONTRIBUTING.md names scripts and files that are there', () => {
  const root = new URL('../', import.meta.url);
  const page = readFileSync(new URL('CONTRIBUTING.md', root), 'utf8');
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  const named = [...page.matchAll(/npm run ([a-z:]+)/g)].map(([, name]) => name!);
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
  const paths = [...page.matchAll(/`((?:src|test|docs)\/[^`*…]+)`/g)].map(([, path]) => path!);
  expect(paths.length).toBeGreaterThan(10);
  expect(paths.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
});

/** The fragments that a page's headings are linked by. */
function anchorsOf(text: string): Set<string> {
  const headings = text.replace(/^```.*?^```/gms, '').matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

describe('docs/policy-format.md', () => {
  const page = readFileSync(new URL('../docs/policy-format.md', import.meta.url), 'utf8');
  const newsroom = filesIn(fencedBlocks(page));
  const sections = page.split(/^## /m).map((text) => [text.split('\n')[0]!, examplesIn(fencedBlocks(text))] as const);

  /** An example with a model is a set of its own; the others show what they change of the newsroom. */
  const optionsFor = ({ files }: Example) => optionsOf('model.conf' in files ? files : { ...newsroom, ...files });

  const saying = (example: Example) => example.questions.length > 0 || example.problems !== '';
  describe.each(sections.filter(([, examples]) => examples.some(saying)))('%s', (title, examples) => {
    const questions = examples.flatMap((example) => example.questions.map((question) => ({ example, ...question })));
    it.runIf(questions.length > 0).each(questions)('answers as it says: $ask', ({ example, ask, answer }) => {
      const decided = compilePolicySet(optionsFor(example)).decide(ask, { now: Date.parse('2026-11-18T10:00:00Z') });
      // The first example shows whole answers, the others what they are about.
      if (title === 'An example') expect(decided).toEqual(answer);
      else expect(decided).toMatchObject(answer);
    });

    const refused = examples.filter(({ problems }) => problems !== '');
    it.runIf(refused.length > 0).each(refused)('refuses what it says: $problems', (example) => {
      const { rules, ...options } = optionsFor(example);
      const [{ file, text }] = rules as [NamedText];
      const found = problemsWith({ ...options, rules: [{ file, text: text + example.broken }] });
      const errors = found.filter(({ severity }) => severity === 'error').map(formatProblem);
      expect(errors).toEqual(example.problems.trimEnd().split('\n'));
    });
  });

  it('has an example of every file, and of most that it says', () => {
    const files = ['entities.yaml', 'model.conf', 'policy-set.yaml', 'rules.csv', 'schema.yaml', 'tests/newsroom.yaml'];
    expect(Object.keys(newsroom).sort()).toEqual(files);
    expect(sections.flatMap(([, examples]) => examples.filter(saying)).length).toBeGreaterThanOrEqual(12);
  });

  it('shows a set that loads and passes its tests', async () => {
    const files = Object.entries(newsroom).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
    const { served } = await loadPolicySet({ name: 'newsroom', files });
    expect(served.compiled.problems).toEqual([]);
  });

  it('shows the form that fmt writes', () => {
    const [before, after] = ['before', 'after'].map((name) => fencedBlocks(page).find((block) => block.name === name)!);
    expect(formatRules(before!.text, 'rules.csv')).toEqual({ text: after!.text });
  });

  it('lists the keys that a manifest may have', () => {
    const table = page.slice(page.indexOf('## The manifest'), page.indexOf('## Schema'));
    const listed = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, key]) => key);
    const [problem] = problemsWith({ ...optionsOf(newsroom), manifest: { anotherKey: '' } });
    expect(problem?.hint).toBe(`it may have ${listed.join(', ')}`);
  });

  it('lists every effect that there is', () => {
    const table = page.slice(page.indexOf('| `e =` |'), page.indexOf('A model may define'));
    const effects = [...table.matchAll(/^\| `([^`]+)` \| /gm)].map(([, effect]) => effect!.replaceAll('\\|', '|'));
    expect(effects.slice(1).sort()).toEqual([...effectSpellings].sort());
  });
});

describe('docs/problems.md', () => {
  /** Texts of the same form that are no codes of problems: reasons, effects, sections of a model. */
  const others = new Set([
    ...['rule_allowed', 'rule_denied', 'no_matching_rule', 'allowed_by_default', 'evaluation_error'],
    ...['stored_types', 'client_id', 'session_termination'],
    ...['supported_mandatory_extensions', 'supported_obligations'],
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
    ...auditEventTypes,
    ...candidateReasons,
  ]);
  const source = ['core', 'policy-store', 'stock-casbin/stock-casbin.ts', 'stock-casbin/stock-policy-set.ts'];
  const inCode = source
    .flatMap((path) => sourceFiles(path))
    .flatMap((text) => text.match(/(?<=')[a-z0-9]+(_[a-z0-9]+)+(?=')/g) ?? []);
  const page = readFileSync(new URL('../docs/problems.md', import.meta.url), 'utf8');
  const rows = page.match(/^\| `.*?` \|/gm)!;
  const listed = rows.flatMap((row) => row.match(/\w+/g)!);

  it('lists every code, and none that there is not', () => {
    // A code of one word looks like any other text; and what is wrong with a change may be the error of the call, too.
    const shared = ['conflict', 'defined_in_files', 'not_live_data', 'too_many_policy_sets'];
    const codes = new Set([...inCode.filter((text) => !others.has(text)), ...shared]);
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

it('npm run docs writes every page and every source that a test makes from the code and compares', () => {
  const root = new URL('../', import.meta.url);
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  const tests = readdirSync(new URL('test/', root), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.test.ts'),
  );
  // The call and not this test's own text.
  const makesPage = /toMatchFileSnapshot\(\s*'[./]+(docs|packages|deploy)\//;
  const makers = tests.filter((file) => makesPage.test(readFileSync(new URL(`test/${file}`, root), 'utf8')));
  expect(makers.length).toBeGreaterThan(3);
  expect(scripts.docs.match(/(?<=test\/)\S+\.test\.ts/g).sort()).toEqual(makers.sort());
});

/** `npm run docs` writes the page anew. */
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
  [
    '`any(list, condition)`, `all(list, condition)`',
    'true when the condition holds for an item of the list, for each item; in it, `it` is the item: `any(r.obj.approvers, it.id == r.sub.id)`',
  ],
  ['`count(list, condition)`', 'how many items the condition holds for'],
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

## Own functions

A program that embeds Casbin can register functions of its own. A policy set in a folder cannot: what it answers depends on its
files, the request and the clock alone. A matcher or condition that calls any other function does not load
(\`unknown_function\`), and what it says can nearly always be said with a function of this page, a role, or a condition over
attributes:

${table(['function', 'means', 'say instead'], ownFunctions)}

A program that embeds the engine gives functions of its own as before. They are called with the values of the arguments; one that
throws is an error of the rule:

\`\`\`ts
const set = compilePolicySet({ model, rules, functions: { nearBy: (a, b) => distance(a, b) < 100 } });
\`\`\`
`;
}

/** As public policies call them. */
const ownFunctions = [
  [
    '`globOrRegexMatch(r.res, p.res)` (Argo CD)',
    'a glob or a regular expression, by a setting of the server',
    '`globMatch(r.res, p.res)`, where `*` ends at a slash, so that `*/*` is two segments; or `regexMatch(r.res, p.res)` with `^...$`',
  ],
  [
    '`matchKeyByPart(r.obj, p.obj)` (Devtron)',
    'each part between slashes is equal or `*`',
    '`globMatch(r.obj, p.obj)`, or `keyMatch2(r.obj, p.obj)` with `:name` for a part that may be anything',
  ],
  ['`hasPrefix(r.obj, p.obj)` (KubeSphere)', 'the text begins with another one', '`startsWith(r.obj, p.obj)`'],
  [
    '`parseFloat(p.limit) >= r.obj.cpu` (KubeSphere)',
    'a column as a number',
    '`number(p.limit) >= r.obj.cpu`; or a condition, `eval(p.condition)` in the matcher and `r.obj.cpu <= 1.5` in the rule',
  ],
  [
    '`isOwner(r.sub, r.obj)`, `is_therapist(r.sub, r.obj)`',
    'what the program knows of the two',
    'a comparison of attributes, `r.obj.owner == r.sub`; or a role, `g(r.sub, p.sub)`',
  ],
];

it.each([
  ['globMatch', 'apps/get', '*/*', true],
  ['globMatch', 'apps/get/all', '*/*', false],
  ['regexMatch', 'apps/get/all', '^.*/.*$', true],
  ['globMatch', 'team/app', 'team/*', true],
  ['globMatch', 'team/app/env', 'team/*', false],
  ['keyMatch2', '/team/app', '/team/:app', true],
  ['keyMatch', '/docs/plan', '/docs/*', true],
  ['keyMatch', '/doc', '/docs/*', false],
] as const)('in place of an own function, %s(%j, %j) is %s', (name, text, pattern, result) => {
  expect(builtInFunctions.get(name)?.call([text, pattern], 0, unmetered)).toBe(result);
});

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
/** Without the stores' own folders, whose texts name tables. */
function sourceFiles(path: string): string[] {
  if (/\/(sqlite|postgres)$/.test(path)) return [];
  const url = new URL(`../src/${path}`, import.meta.url);
  if (statSync(url).isFile()) return [readFileSync(url, 'utf8')];
  return readdirSync(url).flatMap((name) => sourceFiles(`${path}/${name}`));
}

function filesIn(blocks: readonly NamedBlock[]): Record<string, string> {
  const files: Record<string, string> = {};
  // The first of a name: later ones change something of it.
  for (const { name, text } of blocks) if (name.includes('.')) files[name] ??= text;
  return files;
}

interface Example {
  readonly files: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: the page writes any request and answer
  readonly questions: { ask: any; answer: any }[];
  /** What is added to the rules, and what is said to be wrong then. */
  broken: string;
  problems: string;
}

/** A file behind a question, or behind what is wrong, begins another example. */
function examplesIn(blocks: readonly NamedBlock[]): readonly Example[] {
  const examples: Example[] = [];
  let isDone = true;
  for (const [index, { name, text }] of blocks.entries()) {
    if (!/^(ask|problems|broken|.*\..*)$/.test(name)) continue;
    if (isDone && name !== 'ask') examples.push({ files: {}, questions: [], broken: '', problems: '' });
    const example = examples.at(-1)!;
    isDone = name === 'ask' || name === 'problems';
    if (name === 'ask') example.questions.push({ ask: JSON.parse(text), answer: JSON.parse(blocks[index + 1]!.text) });
    else if (name === 'broken' || name === 'problems') example[name] = text;
    else example.files[name] = text;
  }
  return examples;
}

function optionsOf(files: Readonly<Record<string, string>>): CompileOptions {
  return compileOptions(Object.entries(files).map(([path, text]) => ({ path, bytes: Buffer.from(text) })));
}

interface NamedBlock {
  readonly name: string;
  readonly text: string;
}

/** The code blocks of a page that have a name behind their language. */
function fencedBlocks(page: string): NamedBlock[] {
  return [...page.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => ({ name: name!, text: text! }));
}

function problemsWith(options: CompileOptions): readonly PolicyProblem[] {
  try {
    compilePolicySet(options);
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems;
  }
}
