/** What people's own sets ran into (`test/cases/field`), and their like: what the author is told, and where. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lintFolder } from '../../../src/cli/commands/lint-command.js';
import type { PolicyProblem } from '../../../src/core/problem.js';

const cases = new URL('../../cases/field/', import.meta.url);

async function lintOf(files: Readonly<Record<string, string>>): Promise<readonly PolicyProblem[]> {
  const listed = Object.entries(files).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return lintFolder({
    name: 'set',
    path: 'set',
    files: listed.sort((a, b) => (a.path < b.path ? -1 : 1)),
    problems: [],
  });
}

function filesOf(name: string): Record<string, string> {
  const read = (file: string) => readFileSync(new URL(`${name}/${file}`, cases), 'utf8');
  return { 'model.conf': read('model.conf'), 'policy.csv': read('policy.csv') };
}

const short = ({ severity, code, file, line, column, hint }: PolicyProblem) =>
  `${severity} ${file}:${line}:${column} ${code}: ${hint ?? ''}`;
const besides = (problems: readonly PolicyProblem[]) =>
  problems.filter(({ code }) => code !== 'role_name_open' && code !== 'unnamed_binding').map(short);

const model = (matcher: string, { p = 'sub, obj, act', g = '' } = {}) =>
  `[request_definition]\nr = sub, obj, act\n[policy_definition]\np = ${p}\n${g === '' ? '' : `[role_definition]\n${g}\n`}` +
  `[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = ${matcher}\n`;
const acl = 'r.sub == p.sub && r.obj == p.obj && r.act == p.act';

describe('a case from the field', () => {
  it('a comment behind a value is warned of', async () => {
    expect(besides(await lintOf(filesOf('comment-behind-a-value')))).toEqual([
      'warning policy.csv:3:19 comment_in_value: a comment is a line of its own, beginning with #',
    ]);
  });

  it('an empty condition is told to say true', async () => {
    expect(besides(await lintOf(filesOf('empty-condition')))).toEqual([
      'error policy.csv:1:13 condition_syntax: a rule without a condition says true',
    ]);
  });

  it('a model that no rule fits is one problem', async () => {
    const problems = await lintOf(filesOf('every-rule-one-field-too-many'));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({
      severity: 'error',
      code: 'wrong_field_count',
      file: 'model.conf',
      line: 5,
      message: 'all 3 rules of p have 3 fields, and the model defines 2: obj, act',
    });
  });

  it('an own function is told with the nearest built-in one and the ways to have one', async () => {
    const problems = await lintOf(filesOf('own-function'));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ severity: 'error', code: 'unknown_function', file: 'model.conf' });
    for (const word of ['globMatch', 'condition', '"functions"', 'docs/functions.md']) {
      expect(problems[0]!.hint).toContain(word);
    }
  });

  it('a space before the comma is warned of', async () => {
    const [problem, ...others] = await lintOf(filesOf('space-before-comma-denies-nobody'));
    expect(others).toEqual([]);
    expect(problem).toMatchObject({
      severity: 'warning',
      code: 'space_in_value',
      file: 'policy.csv',
      line: 2,
      column: 4,
    });
  });

  it('a role for the domain * is warned of, with what the manifest says instead', async () => {
    expect(besides(await lintOf(filesOf('star-domain-without-role-matching')))).toEqual([
      'warning policy.csv:3:17 wildcard_domain: in policy-set.yaml: roleMatching: { g: { domains: keyMatch } }',
    ]);
    const matching = { 'policy-set.yaml': 'roleMatching: { g: { domains: keyMatch } }\n' };
    expect(besides(await lintOf({ ...filesOf('star-domain-without-role-matching'), ...matching }))).toEqual([]);
  });

  it('words for operators are told with the operators', async () => {
    const [problem, ...others] = await lintOf(filesOf('words-for-operators'));
    expect(others).toEqual([]);
    expect(problem).toMatchObject({
      severity: 'error',
      code: 'matcher_syntax',
      message: '"and" is not an operator',
      line: 11,
      column: 20,
      hint: 'write && for and, == for =, ! for not',
    });
  });
});

describe('the place of a problem', () => {
  const conditional = model('r.sub == p.sub && eval(p.cond)', { p: 'sub, cond' });
  it.each([
    ['an unquoted condition', 'p, ann, r.sub.x = 1', '1:17'],
    ['a quoted one', 'p, ann, "r.sub.x = 1"', '1:18'],
    ['a quoted one with quotes', 'p, ann, "r.sub.x == ""a"" && r.sub.y = 1"', '1:38'],
    ['behind a tab', '\tp,\tann,\tr.sub.x = 1', '1:18'],
    ['behind a character of two code units', 'p, 😀, r.sub.x = 1', '1:16'],
    ['in a later line of a file with carriage returns', '# a\r\np, ann, true\r\np, ben, r.sub.x = 1\r\n', '3:17'],
  ])('%s', async (_what, rules, place) => {
    const problems = await lintOf({ 'model.conf': conditional, 'policy.csv': rules });
    expect(problems.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual([
      `${place} condition_syntax`,
    ]);
  });

  it('a value behind a character of two code units, in a file with carriage returns', async () => {
    const rules = 'p, ann, doc, read\r\np, 😀, doc , read\r\n';
    expect((await lintOf({ 'model.conf': model(acl), 'policy.csv': rules })).map(short)).toEqual([
      expect.stringContaining('warning policy.csv:2:8 space_in_value'),
    ]);
  });

  it('a matcher on continued lines, with tabs and carriage returns', async () => {
    const matcher = 'r.sub == p.sub && \\\r\n\tr.obj = p.obj';
    const problems = await lintOf({ 'model.conf': model(matcher), 'policy.csv': 'p, ann, doc, read\n' });
    expect(problems.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual(['9:8 matcher_syntax']);
  });
});

describe('one mistake is one problem', () => {
  const rbac = model('g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act', { g: 'g = _, _' });
  const rules = 'p, editor, doc, read\np, editor, doc, write\ng, ann, editor\ng, ben, editor\n';
  it.each<[what: string, files: Record<string, string>, problem: string]>([
    [
      'a section of a wrong name',
      { 'model.conf': rbac.replace('[policy_definition]', '[policy_defintion]') },
      'model.conf:3:1 unknown_section',
    ],
    [
      'a section in the plural',
      { 'model.conf': rbac.replace('[request_definition]', '[request_definitions]') },
      'model.conf:1:1 unknown_section',
    ],
    [
      'a role section of a wrong name',
      { 'model.conf': rbac.replace('[role_definition]', '[roles_definition]') },
      'model.conf:5:1 unknown_section',
    ],
    [
      'a matcher section of a wrong name',
      { 'model.conf': rbac.replace('[matchers]', '[matcher]') },
      'model.conf:9:1 unknown_section',
    ],
    [
      'a section that is missing',
      { 'model.conf': rbac.replace('[policy_definition]\np = sub, obj, act\n', '') },
      'model.conf:1:1 missing_section',
    ],
    [
      'a definition of a wrong key',
      { 'model.conf': rbac.replace('g = _, _', 'g1 = _, _') },
      'model.conf:6:1 unknown_definition',
    ],
    ['a broken quote', { 'policy.csv': 'p, "editor, doc, read\n' }, 'policy.csv:1:4 bad_quotes'],
    [
      'roles of two columns for a definition of three',
      { 'model.conf': rbac.replace('g = _, _', 'g = _, _, _').replace('g(r.sub, p.sub)', 'g(r.sub, p.sub, r.obj)') },
      'model.conf:6:5 wrong_field_count',
    ],
    [
      'roles of three columns for a definition of two',
      { 'policy.csv': rules.replaceAll(/^(g.*)$/gm, '$1, acme') },
      'model.conf:6:5 unread_fields',
    ],
    ['a type that no model defines', { 'policy.csv': rules.replaceAll(/^g/gm, 'g2') }, 'policy.csv:3:1 unknown_ptype'],
    [
      'a file that holds no rules',
      { 'keys.csv': 'MIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIB\n' },
      'keys.csv:1:1 unknown_ptype',
    ],
    [
      'a manifest that is no YAML',
      { 'policy-set.yaml': 'request: { sub: "a\nx: [1\ny: }' },
      'policy-set.yaml:3:5 yaml_syntax',
    ],
    [
      'entities that are no YAML',
      { 'entities.yaml': '- { type: user, id: "a\n- { type: user id: b }\n' },
      'entities.yaml:3:1 yaml_syntax',
    ],
  ])('%s', async (_what, files, problem) => {
    const problems = (await lintOf({ 'model.conf': rbac, 'policy.csv': rules, ...files })).filter(
      ({ code }) => code !== 'role_name_open',
    );
    expect(problems.map(({ file, line, column, code }) => `${file}:${line}:${column} ${code}`)).toEqual([problem]);
  });

  it('two rules of another number of fields are two, and so is one among rules that fit', async () => {
    const codes = async (text: string) =>
      (await lintOf({ 'model.conf': model(acl), 'policy.csv': text })).map(
        ({ file, line, code }) => `${file}:${line} ${code}`,
      );
    expect(await codes('p, ann, doc\np, ann, doc, read, x\n')).toEqual([
      'policy.csv:1 wrong_field_count',
      'policy.csv:2 wrong_field_count',
    ]);
    expect(await codes('p, ann, doc\np, ann, doc, read\n')).toEqual(['policy.csv:1 wrong_field_count']);
    expect(await codes('p, ann, doc\n')).toEqual(['policy.csv:1 wrong_field_count']);
  });

  it('a comment with a comma behind a rule is told as such', async () => {
    const problems = await lintOf({
      'model.conf': model(acl),
      'policy.csv': 'p, ann, doc, read # who, and why\np, ben, doc, read\n',
    });
    expect(problems.map(short)).toEqual([
      'error policy.csv:1:26 wrong_field_count: a comment is a line of its own, beginning with #',
    ]);
  });
});

describe('a matcher in the words of another language', () => {
  it.each([
    ['r.sub == p.sub or r.sub == "root"', '|| for or'],
    ['r.sub == p.sub AND r.obj == p.obj', '&& for AND'],
    ['not (r.sub == p.sub)', '! for not'],
    ['r.sub === p.sub', '== for ==='],
    ['r.sub !== p.sub', '!= for !=='],
    ['r.sub <> p.sub', '!= for <>'],
    ['r.sub = p.sub', '== for ='],
    ['r.sub is p.sub', '== for is'],
    ['r.sub.age => 18', '>= for =>'],
    ['r.sub.age =< 18', '<= for =<'],
    ['r.act not in ("read", "list")', '!(r.act in ("read", "list")) for not in'],
    ['r.sub == p.sub &&!(r.act == p.act)', 'a blank between && and !'],
    ['r.sub == p.sub and r.obj = p.obj or r.act === "x"', '&& for and, == for =, || for or, == for ==='],
  ])('%s', async (matcher, cure) => {
    const problems = (await lintOf({ 'model.conf': model(matcher), 'policy.csv': 'p, ann, doc, read\n' })).filter(
      ({ severity }) => severity === 'error',
    );
    expect(problems).toHaveLength(1);
    expect(problems[0]!.hint).toContain(cure);
    expect(`${problems[0]!.message} ${problems[0]!.hint}`).not.toMatch(/[rp]_\w|now/);
  });

  it.each([
    ['r.act in [read, list]', 'a text is written in quotes: "read"'],
    ['sub == p.sub', 'did you mean "r.sub" or "p.sub"?'],
    ['r.sub == p.sub && True', 'write true'],
    ['r.sub.owner == null', 'has(r.sub.department) says whether an attribute is there'],
    ['r.sub == p.sub && r.objj == p.obj', 'did you mean "r.obj"?'],
  ])('%s: %s', async (matcher, hint) => {
    const problems = await lintOf({ 'model.conf': model(matcher), 'policy.csv': 'p, ann, doc, read\n' });
    expect(problems.filter(({ code }) => code === 'unknown_column')[0]?.hint).toBe(hint);
  });

  it('quotes and signs of another alphabet are one problem', async () => {
    const problems = await lintOf({ 'model.conf': model('r.sub == “ann”'), 'policy.csv': 'p, ann, doc, read\n' });
    expect(besides(problems).filter((text) => text.startsWith('error'))).toEqual([
      'error model.conf:8:14 non_ascii_matcher: write " for “',
    ]);
  });
});

describe('a function that nobody knows', () => {
  it.each([
    ['matchKeyByPart(r.obj, p.obj)', 'keyMatch2'],
    ['hasPrefix(r.obj, p.obj)', 'startsWith'],
    ['strlen(r.obj)', 'size'],
    ['parseFloat(p.obj)', 'number'],
    ['is_therapist(r.sub, r.obj)', 'condition'],
    ['isOwner(r.sub, r.obj)', 'r.obj.owner == r.sub.id'],
    ['regexpMatches(r.obj, p.obj)', 'regexMatch'],
    ['inSubnet(r.sub, "10.0.0.0/8")', 'ipMatch'],
    ['keymatch2(r.obj, p.obj)', 'did you mean "keyMatch2"?'],
    ['g2(r.sub, p.sub)', 'add g2 = _, _ under [role_definition]'],
  ])('%s: %s', async (matcher, hint) => {
    const problems = (await lintOf({ 'model.conf': model(matcher), 'policy.csv': 'p, ann, doc, read\n' })).filter(
      ({ severity }) => severity === 'error',
    );
    expect(problems.map(({ code }) => code)).toEqual(['unknown_function']);
    expect(problems[0]!.hint).toContain(hint);
  });
});

describe('a value that is read otherwise than it looks', () => {
  const g = 'g = _, _';
  const rbac = 'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act';
  const rest = (pattern: string) => `r.sub == p.sub && ${pattern} && r.act == p.act`;
  it.each([
    ['a tab before the comma', acl, '', 'p, ann\t, doc, read', 'space_in_value', 4],
    ['a no-break space', acl, '', 'p, ann\u00a0, doc, read', 'space_in_value', 4],
    ['a space within quotes', acl, '', 'p, ann, " doc", read', 'space_in_value', 9],
    ['a space at the end of quotes', acl, '', 'p, ann, doc, "read "', 'space_in_value', 14],
    ['a space in a role', rbac, g, 'p, editor, doc, read\ng, ann, editor , x', 'space_in_value', 9],
    ['a * for an action', acl, '', 'p, ann, doc, *', 'wildcard_compared', 14],
    ['a path with a *', acl, '', 'p, ann, /docs/*, read', 'wildcard_compared', 9],
    ['a * for a role', rbac, g, 'g, ann, editor\np, *, doc, read', 'wildcard_compared', 4],
    ['a * for a member', rbac, g, 'p, editor, doc, read\ng, *, editor', 'wildcard_compared', 4],
    ['a comment behind a value', acl, '', 'p, ann, doc, read # why', 'comment_in_value', 14],
    ['a comment of slashes', acl, '', 'p, ann, doc, read // why', 'comment_in_value', 14],
    ['single quotes', acl, '', "p, 'ann', doc, read", 'quotes_in_value', 4],
    ['typographic quotes', acl, '', 'p, “ann”, doc, read', 'quotes_in_value', 4],
    ['a zero-width space', acl, '', 'p, a\u200bnn, doc, read', 'unseen_in_value', 4],
    ['a Cyrillic letter', acl, '', 'p, \u0430nn, doc, read', 'lookalike_in_value', 4],
    ['full-width letters', acl, '', 'p, ａnn, doc, read', 'lookalike_in_value', 4],
    [':id for keyMatch', rest('keyMatch(r.obj, p.obj)'), '', 'p, ann, /docs/:id, read', 'foreign_pattern', 9],
    ['{id} for keyMatch', rest('keyMatch(r.obj, p.obj)'), '', 'p, ann, /docs/{id}, read', 'foreign_pattern', 9],
    ['.* for keyMatch', rest('keyMatch(r.obj, p.obj)'), '', 'p, ann, /docs/.*, read', 'foreign_pattern', 9],
    ['text behind the * of keyMatch', rest('keyMatch(r.obj, p.obj)'), '', 'p, ann, /*/own, read', 'foreign_pattern', 9],
    ['{id} for keyMatch2', rest('keyMatch2(r.obj, p.obj)'), '', 'p, ann, /docs/{id}, read', 'foreign_pattern', 9],
    [':id for keyMatch3', rest('keyMatch3(r.obj, p.obj)'), '', 'p, ann, /docs/:id, read', 'foreign_pattern', 9],
    ['/* for regexMatch', rest('regexMatch(r.obj, p.obj)'), '', 'p, ann, /docs/*, read', 'foreign_pattern', 9],
    [':id for globMatch', rest('globMatch(r.obj, p.obj)'), '', 'p, ann, /docs/:id, read', 'foreign_pattern', 9],
  ])('%s', async (_what, matcher, roles, rules, code, column) => {
    const problems = await lintOf({ 'model.conf': model(matcher, { g: roles }), 'policy.csv': `${rules}\n` });
    const found = problems.filter((problem) => problem.code === code);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ severity: 'warning', file: 'policy.csv', line: rules.split('\n').length, column });
    expect(found[0]!.hint).toBeTruthy();
  });

  it.each([
    [
      'a * that the matcher asks for',
      'r.sub == p.sub && r.obj == p.obj && (p.act == "*" || r.act == p.act)',
      'p, ann, doc, *',
    ],
    ['a * that a function reads', rest('keyMatch(r.obj, p.obj)'), 'p, ann, *, read'],
    ['a * in a column that nothing reads', 'r.sub == p.sub && r.obj == p.obj', 'p, ann, doc, *'],
    ['a space in a column that nothing reads', 'r.sub == p.sub && r.obj == p.obj', 'p, ann, doc, " x"'],
    ['a hash within a value', acl, 'p, ann, doc#1, read'],
    ['words of any alphabet', acl, 'p, Zoë, отчёт, 読む'],
    ['an apostrophe', acl, "p, o'neil, doc, read"],
    ['a pattern of its own function', rest('keyMatch2(r.obj, p.obj)'), 'p, ann, /docs/:id/*, read'],
    [
      'a column that two functions read',
      rest('(keyMatch2(r.obj, p.obj) || keyMatch3(r.obj, p.obj))'),
      'p, ann, /d/{id}, read',
    ],
    ['a regular expression', rest('regexMatch(r.obj, p.obj)'), 'p, ann, ^/docs/[0-9]+/.*$, read'],
  ])('is not %s', async (_what, matcher, rules) => {
    const problems = await lintOf({ 'model.conf': model(matcher), 'policy.csv': `${rules}\n` });
    expect(problems.map(short)).toEqual([]);
  });

  it('is no role or domain that a function matches, or that the matcher names', async () => {
    const files = (matcher: string, manifest = '') => ({
      'model.conf': model(matcher, { g: 'g = _, _, _' }),
      'policy.csv': 'p, editor, doc, read\ng, /team/*, editor, *\n',
      'policy-set.yaml': manifest,
    });
    const codes = async (set: Record<string, string>) =>
      (await lintOf(set)).map(({ code }) => code).filter((code) => code.startsWith('wildcard'));
    const asked = 'g(r.sub, p.sub, r.obj) && r.obj == p.obj && r.act == p.act';
    expect(await codes(files(asked))).toEqual(['wildcard_compared', 'wildcard_domain']);
    expect(await codes(files(asked, 'roleMatching: { g: { names: keyMatch, domains: keyMatch } }\n'))).toEqual([]);
    expect(await codes(files('g(r.sub, p.sub, "*") && r.obj == p.obj && r.act == p.act'))).toEqual([
      'wildcard_compared',
    ]);
  });

  it('is silenced where it stands, and downgrades nothing', async () => {
    const rules = '# lint-ignore space_in_value: the old system has it so\np, ann , doc, read\n';
    expect(await lintOf({ 'model.conf': model(acl), 'policy.csv': rules })).toEqual([]);
  });
});

describe('has() of what may be null', () => {
  const condition = (text: string) => ({
    'model.conf': model('r.sub == p.sub && eval(p.cond)', { p: 'sub, cond' }),
    'policy.csv': `p, ann, "${text.replaceAll('"', '""')}"\n`,
  });
  const nullable = {
    'schema.yaml':
      'resource: { invoice: { properties: { frozen: { type: ["null", string] }, open: { type: boolean } } } }\n',
  };
  it.each([
    ['!has(r.obj.frozen)', nullable, ['has_null']],
    ['has(r.obj.frozen) && r.obj.frozen != r.sub', nullable, ['has_null']],
    ['has(r.obj.frozen) && r.obj.frozen == "by ann"', nullable, []],
    ['!(has(r.obj.frozen) && r.obj.frozen != ())', nullable, []],
    ['!has(r.obj.open)', nullable, []],
    ['!has(r.obj.frozen)', {}, []],
    [
      '!has(r.obj.frozen)',
      { 'entities.yaml': '- { type: invoice, id: "7", attributes: { frozen: null } }\n' },
      ['has_null'],
    ],
    [
      '!has(r.obj.a.b)',
      { 'entities.yaml': '- { type: invoice, id: "7", attributes: { a: { b: null } } }\n' },
      ['has_null'],
    ],
  ])('%s', async (text, files, codes) => {
    const problems = await lintOf({ ...condition(text), ...files });
    expect(problems.filter(({ code }) => code === 'has_null').map(({ code }) => code)).toEqual(codes);
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});
