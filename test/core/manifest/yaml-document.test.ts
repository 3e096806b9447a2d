/** YAML as policy sets are written in it: what two readers could read differently is refused where it stands. */
import { describe, expect, it } from 'vitest';
import { readTests } from '../../../src/core/analysis/test-document.js';
import { EntityStore, noEntities } from '../../../src/core/manifest/entities.js';
import { maxNesting, readYaml, readYamlInSteps } from '../../../src/core/manifest/yaml-document.js';
import type { PolicyProblem } from '../../../src/core/problem.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../../../src/engine.js';
import { idModel } from '../../models.js';

function problemsOf(options: Partial<CompileOptions>): readonly PolicyProblem[] {
  try {
    return compilePolicySet({ model: idModel, rules: 'p, alice, doc, read', ...options }).problems;
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
}

function read(text: string): { readonly value: unknown; readonly problems: readonly string[] } {
  const problems: PolicyProblem[] = [];
  const node = readYaml({ file: 'f.yaml', text }, (problem) => problems.push(problem));
  return { value: node?.json(), problems: problems.map(({ line, column, code }) => `${line}:${column} ${code}`) };
}

describe('what could be read as something else is refused with its place', () => {
  it.each([
    ['an anchor', 'a: &x 1', '1:4 yaml_alias'],
    ['an anchor of a mapping', 'a: &x { b: 1 }', '1:4 yaml_alias'],
    ['an anchor of a key', '&x a: 1', '1:1 yaml_alias'],
    ['an anchor of a list', 'a: &x\n  - 1', '1:4 yaml_alias'],
    ['an anchor of nothing', 'a: &x', '1:4 yaml_alias'],
    ['a merge key', 'a:\n  <<: { b: 1 }', '2:3 yaml_alias'],
    ['an alias to nothing', 'a: *x', '1:4 yaml_alias'],
    ['the tag !!binary', 'a: !!binary aGk=', '1:13 yaml_tag'],
    ['the tag !!timestamp', 'a: !!timestamp 2001-12-14', '1:16 yaml_tag'],
    ['the tag !!set', 'a: !!set { b }', '1:10 yaml_tag'],
    ['the tag !!omap', 'a: !!omap [ b: 1 ]', '1:11 yaml_tag'],
    ['a tag of its own', 'a: !mine 1', '1:10 yaml_tag'],
    ['a tag of its own on a mapping', '!mine { a: 1 }', '1:7 yaml_tag'],
    ['a key twice', 'a: 1\nb: 2\na: 3', '3:1 yaml_syntax'],
    ['a key twice, in JSON', '{"a": 1,\n "\\u0061": 2}', '2:2 yaml_syntax'],
    ['a number as a key', 'a: { 1: x }', '1:6 wrong_type'],
    ['nothing as a key', 'a: { ~: x }', '1:6 wrong_type'],
    ['a boolean as a key', 'a: { true: x }', '1:6 wrong_type'],
    ['a list as a key', 'a: { [b]: x }', '1:6 wrong_type'],
    ['a second document', 'a: 1\n---\nb: 2', '2:1 yaml_syntax'],
    ['a second document behind a list', '- a\n---\n- b', '2:1 yaml_syntax'],
    ['a second document behind an end', '- a\n...\n- b', '3:1 yaml_syntax'],
    ['another version of YAML', '%YAML 1.1\n---\na: yes', '1:1 yaml_syntax'],
    ['infinity', 'a: .inf', '1:4 unsafe_number'],
    ['no number', 'a: [-.INF, .nan]', '1:5 unsafe_number 1:12 unsafe_number'],
    ['a number beyond all', 'a: 1e400', '1:4 unsafe_number'],
    ['an integer beyond 2^53 - 1', 'a: 9007199254740992', '1:4 unsafe_number'],
    ['an integer below -(2^53 - 1)', 'a: -9007199254740992', '1:4 unsafe_number'],
    ['an integer in JSON', '{"a": {"b": [1, 9007199254740993]}}', '1:17 unsafe_number'],
    ['a hexadecimal integer', 'a: 0x20000000000000', '1:4 unsafe_number'],
    ['an octal integer', 'a: 0o400000000000000000', '1:4 unsafe_number'],
    ['an integer by its tag', 'a: !!int "9007199254740993"', '1:10 unsafe_number'],
  ])('%s', (_what, text, wanted) => {
    expect(read(text).problems.join(' ')).toBe(wanted);
  });

  it('an alias, whatever it stands for, with its anchor', () => {
    expect(read('a: &x 1\nb: *x\nc: { d: *x }').problems).toEqual([
      '1:4 yaml_alias',
      '2:4 yaml_alias',
      '3:9 yaml_alias',
    ]);
  });

  it.each(['manifest', 'entities', 'schema'] as const)('in %s', (file) => {
    const problems = problemsOf({ [file]: { file: `${file}.yaml`, text: 'a: &x 1\nb: *x\n' } });
    expect(problems).toMatchObject([
      { code: 'yaml_alias', file: `${file}.yaml`, line: 1 },
      { code: 'yaml_alias', file: `${file}.yaml`, line: 2, column: 4 },
    ]);
  });

  it('in policy tests', () => {
    const problems: PolicyProblem[] = [];
    readTests({ file: 'tests/t.yaml', text: 'subjects: { a: &x { id: a }, b: *x }' }, noEntities, (problem) =>
      problems.push(problem),
    );
    expect(problems.map(({ code }) => code)).toEqual(['yaml_alias', 'yaml_alias']);
  });
});

describe('what YAML 1.2 says is read so', () => {
  it.each([
    ['words that were booleans', 'a: [yes, No, on, OFF, y, n]', { a: ['yes', 'No', 'on', 'OFF', 'y', 'n'] }],
    ['times', 'a: 2026-03-01', { a: '2026-03-01' }],
    ['sexagesimals', 'a: 12:30:45', { a: '12:30:45' }],
    [
      'integers that are exact',
      'a: [9007199254740991, -9007199254740991]',
      { a: [9007199254740991, -9007199254740991] },
    ],
    ['numbers with a fraction or an exponent', 'a: [9007199254740993.0, 1e300]', { a: [9007199254740992, 1e300] }],
    ['a text tagged as one', 'a: !!str 101', { a: '101' }],
    ['a member named <<, in quotes', '"<<": 1', { '<<': 1 }],
    ['an asterisk and an ampersand inside texts', 'a: "*x"\nb: R&D', { a: '*x', b: 'R&D' }],
    ['__proto__ as a member', '{"__proto__": 1}', JSON.parse('{"__proto__": 1}')],
  ])('%s', (_what, text, wanted) => {
    expect(read(text)).toEqual({ value: wanted, problems: [] });
  });
});

describe('control characters are refused where requests could not hold them', () => {
  it.each([
    ['an id', '- { type: user, id: "a\\tb" }', '1:21'],
    ['a type', '- { type: "us\\u0085er", id: a }', '1:11'],
    ['an id with NUL', '- { type: user, id: "a\\0" }', '1:21'],
    ['an id with DEL', '- { type: user, id: "a\\x7f" }', '1:21'],
    ['an id over two lines', '- type: user\n  id: |\n    a\n    b\n', '2:7'],
    ['half of a character', '[{ "type": "user", "id": "a\\ud83d" }]', '1:26'],
  ])('%s of an entity', (_what, text, place) => {
    const problems = problemsOf({ entities: text });
    expect(problems.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual([
      `${place} control_character`,
    ]);
  });

  it('not in attributes, and not beside them', () => {
    expect(problemsOf({ entities: '- { type: user, id: "a~\\xa0", attributes: { note: "a\\tb\\n" } }' })).toEqual([]);
  });

  it.each([
    'tests: [{ name: n, subject: { id: "a\\t" }, action: b, resource: { id: c }, expect: deny }]',
    'tests: [{ name: n, subject: { id: a, type: "\\t" }, action: b, resource: { id: c }, expect: deny }]',
    'tests: [{ name: n, subject: { id: a }, action: "b\\t", resource: { id: c }, expect: deny }]',
    'tests: [{ name: n, subject: { id: a }, action: { name: "b\\t" }, resource: { id: c }, expect: deny }]',
    'subjects: ["a\\t"]\ntests: []',
    'resources: { a: "a\\t" }\ntests: []',
    'subjects: [a]\nresources: [b]\ntests: [{ name: n, allow: { a: { b: ["read\\t"] } } }]',
  ])('in policy tests: %s', (text) => {
    const problems: PolicyProblem[] = [];
    readTests({ file: 'tests/t.yaml', text }, EntityStore.of([]), (problem) => problems.push(problem));
    expect(problems.map(({ code }) => code)).toEqual(['control_character']);
  });

  it('in names of rules, not in conditions and in what is answered', () => {
    const conditional = idModel
      .replace('p = sub, obj, act', 'p = sub, obj, act, when, reason')
      .replace(/m = .*/, 'm = g(r.sub, p.sub) && r.obj == p.obj && eval(p.when)')
      .replace('[policy_effect]', '[role_definition]\ng = _, _\n[policy_effect]');
    const rules = 'p, al\tice, doc, read, "true ||\tfalse", "one\ttwo"\ng, bob, ad\u0085min\np, x, y\u007f, z, true, a';
    const problems = problemsOf({ model: conditional, rules });
    expect(problems.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual([
      '1:4 control_character',
      '2:9 control_character',
      '3:7 control_character',
    ]);
    expect(problemsOf({ model: conditional, rules, semantics: 1 })).toEqual([]);
  });

  it('in the tenant of a stored entity, where the model reads it', () => {
    const entities = '- { type: doc, id: a, attributes: { tenant: "ac\\tme" } }';
    expect(problemsOf({ entities })).toEqual([]);
    const inDomain = idModel.replace('r = sub', 'r = dom, sub').replace(/m = .*/, 'm = r.dom == p.sub');
    expect(problemsOf({ model: inDomain, entities })).toMatchObject([{ code: 'control_character', column: 37 }]);
  });

  it('in actions that a search tries', () => {
    expect(problemsOf({ manifest: 'search: { actions: [read, "wri\\tte"] }' })).toMatchObject([
      { code: 'control_character', file: 'policy-set.yaml', column: 27 },
    ]);
  });
});

describe('P10: no file exhausts the stack or stops the thread', () => {
  const nested = (levels: number) => ({
    lists: '['.repeat(levels) + ']'.repeat(levels),
    mappings: `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`,
    'lists in lines': `${'- '.repeat(levels)}a`,
    'mappings in lines': `${Array.from({ length: levels }, (_, level) => `${' '.repeat(level)}a:`).join('\n')} 1`,
  });

  it.each(Object.keys(nested(1)))(`%s ${maxNesting} deep are read, and no deeper`, (form) => {
    const at = (levels: number) => read(nested(levels)[form as keyof ReturnType<typeof nested>]).problems;
    expect(at(maxNesting)).toEqual([]);
    expect(at(maxNesting + 1).join()).toMatch(/ yaml_syntax$/);
    expect(at(2_000).join()).toMatch(/ yaml_syntax$/);
  });

  it('a mapping of many keys takes no longer for each', () => {
    const keys = (count: number) => Array.from({ length: count }, (_, at) => `k${at}: 1`).join('\n');
    expect(Object.keys(read(keys(20_000)).value as object)).toHaveLength(20_000);
    expect(read(`${keys(20_000)}\nk0: 1`).problems).toEqual(['20001:1 yaml_syntax']);
  });

  it('a long list is read in parts, all of it, with its places', () => {
    const lines: string[] = ['# who there is', '---'];
    for (let at = 0; at < 5_000; at++)
      lines.push(`- type: user`, `  id: u-${at}`, '', '  attributes:', '    a: |', '     -', '     - b');
    const text = lines.join('\r\n');
    const steps = readYamlInSteps({ file: 'f.yaml', text }, () => expect.unreachable());
    let pauses = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) pauses++;
    const items = step.value!.items('the list')!;
    expect(pauses).toBeGreaterThan(text.length / 20_000);
    expect(items).toHaveLength(5_000);
    expect(items[4_999]!.json()).toEqual({ type: 'user', id: 'u-4999', attributes: { a: '-\n- b\n' } });
    expect(items[4_999]!.placeOfKey(['attributes', 'a'])).toEqual({ file: 'f.yaml', line: 7 * 4_999 + 7, column: 5 });
  });

  it('what is wrong far down in a long list has its place', () => {
    const list = Array.from({ length: 3_000 }, (_, at) => `- { type: user, id: u-${at} }`);
    const lines = (...more: string[]) =>
      read([...list, ...more].join('\n')).problems.map((problem) => problem.split(':')[0]);
    expect(lines('- { type: user, id: *x }', '- { type: user, id: &x b }')).toEqual(['3001', '3002']);
    expect(lines('- { type: user, id: b', '- a')).toEqual(expect.arrayContaining(['3002']));
    expect(lines('a: b').length).toBeGreaterThan(0);
  });

  it('a list at the margin below a key is the value of the key', () => {
    const text = `a:\n${'- b\n'.repeat(10_000)}c: d`;
    expect(read(text)).toMatchObject({ value: { c: 'd' }, problems: [] });
  });
});
