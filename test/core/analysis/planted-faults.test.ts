/** One faulty set for every code that can stop a load, or is found when a set loads: lint finds each, at its place. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lintFolder } from '../../../src/cli/commands/lint-command.js';
import { textProblem } from '../../../src/policy-store/text-problem.js';

const base = {
  'model.conf': `[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, cond

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act && eval(p.cond)
`,
  'rules.csv': 'p, nurse, chart, read, true\ng, user:ann, nurse\n',
  'policy-set.yaml': 'request: { sub: "${subject.type}:${subject.id}" }\n',
};

type File = keyof typeof base | 'entities.yaml' | 'schema.yaml' | 'tests/a.yaml';
interface Fault {
  readonly code: string;
  readonly file: File;
  readonly line: number;
  /** What stands in the file instead of what, or the whole file. */
  readonly change: readonly [before: string | RegExp, after: string] | string | Uint8Array;
  /** Further files that the fault needs. */
  readonly beside?: Partial<Record<File, string>>;
}

const inModel = (code: string, line: number, before: string | RegExp, after: string, beside = {}): Fault => ({
  code,
  file: 'model.conf',
  line,
  change: [before, after],
  beside,
});
const inRules = (code: string, line: number, more: string, beside = {}): Fault => ({
  code,
  file: 'rules.csv',
  line,
  change: [/$/, more],
  beside,
});
const inManifest = (code: string, text: string, line = 1): Fault => ({
  code,
  file: 'policy-set.yaml',
  line,
  change: text,
});
const inFile = (code: string, file: File, text: string, line = 1, beside = {}): Fault => ({
  code,
  file,
  line,
  change: text,
  beside,
});

/** A model like the base in which one line of a section is another. */
const model = (before: string | RegExp, after: string): string => base['model.conf'].replace(before, after);
const cond = (text: string) => `p, nurse, chart, write, ${text}\n`;
const open = '{ type: user, id: ann }';

const faults: readonly Fault[] = [
  inModel('missing_section', 1, /\[matchers\][\s\S]*/, ''),
  inModel('empty_section', 7, 'g = _, _\n', '', { 'rules.csv': 'p, user:ann, chart, read, true\n' }),
  inModel('unknown_section', 1, /^/, '[matcher]\nm = true\n\n'),
  inModel('broken_section_header', 13, '[matchers]', '[matchers'),
  inModel('ambiguous_binding', 2, 'r = sub, obj, act', 'r = sub, obj, res, act'),
  inModel('missing_equals', 8, 'g = _, _', 'g _, _'),
  inModel('definition_outside_section', 1, /^/, 'r = a\n'),
  inModel('unknown_definition', 15, /$/, 'm1 = true\n'),
  inModel('duplicate_definition', 3, 'r = sub, obj, act\n', 'r = sub, obj, act\nr = sub, act, obj\n'),
  inModel('empty_definition', 8, 'g = _, _', 'g ='),
  inModel('definition_after_gap', 15, /$/, 'm3 = true\n'),
  inModel('duplicate_token', 2, 'sub, obj, act', 'sub, obj, obj'),
  inModel('empty_token', 2, 'sub, obj, act', 'sub, , act'),
  inModel('role_arity', 14, 'g(r.sub, p.sub)', 'g(r.sub, p.sub, r.obj)'),
  inModel('unsupported_effect', 11, '(p.eft == allow)', '(p.eft==allow)'),
  inModel(
    'missing_definition',
    5,
    /\[role_definition\]\ng = _, _\n\n([\s\S]*)some\(where \(p\.eft == allow\)\)([\s\S]*)g\(r\.sub, p\.sub\)/,
    '$1subjectPriority(p.eft) || deny$2r.sub == p.sub',
    { 'rules.csv': 'p, user:ann, chart, read, true\n' },
  ),
  inModel('constraint_syntax', 17, /$/, '\n[constraint_definition]\nc = nothing\n'),
  inModel(
    'constraint_without_roles',
    14,
    /\[role_definition\]\ng = _, _\n\n([\s\S]*)g\(r\.sub, p\.sub\)([\s\S]*)/,
    '$1r.sub == p.sub$2\n[constraint_definition]\nc = sod("a", "b")\n',
    { 'rules.csv': 'p, user:ann, chart, read, true\n' },
  ),
  inModel('constraint_violation', 17, /$/, '\n[constraint_definition]\nc = sod("nurse", "auditor")\n', {
    'rules.csv': `${base['rules.csv']}g, user:ann, auditor\n`,
  }),
  inModel('comment_in_text', 14, 'eval(p.cond)', 'r.act != "a#b"'),
  inModel('line_too_long', 8, 'g = _, _', `g = _, _ # ${'x'.repeat(5_000)}`),
  inModel('binary_content', 8, 'g = _, _', 'g = _, _ # \uFFFD'),
  inModel('byte_order_mark', 1, /^/, '\uFEFF'),

  inRules('unknown_ptype', 3, 'q, a, b\n'),
  inRules('wrong_field_count', 3, 'p, a, b\n'),
  inRules('unread_fields', 3, 'g, user:ben, nurse, here\n'),
  inRules('bad_quotes', 3, 'p, "a, b\n'),
  {
    ...inRules('unknown_effect', 3, 'p, nurse, chart, write, true, Deny\n'),
    beside: { 'model.conf': model('act, cond', 'act, cond, eft') },
    change: 'p, nurse, chart, read, true, allow\ng, user:ann, nurse\np, nurse, chart, write, true, Deny\n',
  },
  {
    ...inRules('wrong_priority', 1, ''),
    beside: {
      'model.conf': model('p = sub', 'p = priority, sub').replace(/e = .*/, 'e = priority(p.eft) || deny'),
    },
    change: 'p, high, nurse, chart, read, true\ng, user:ann, nurse\n',
  },
  inRules('role_cycle', 3, 'g, nurse, staff\ng, staff, nurse\n'),
  inRules('duplicate_rule', 3, 'g, user:ann, nurse\n'),
  inRules('ambiguous_duplicate', 4, 'p, x, "a,b", c, true\np, x, a, "b,c", true\n'),
  {
    ...inRules('not_json', 1, ''),
    beside: { 'model.conf': model('act, cond', 'act, cond, reason') },
    change: 'p, nurse, chart, read, true, "{ why"\ng, user:ann, nurse\n',
  },
  inModel('empty_policy', 14, /$/, '', { 'rules.csv': '' }),

  inModel('matcher_syntax', 14, 'eval(p.cond)', 'eval(p.cond) &&'),
  inModel('number_as_condition', 14, /m = .*/, 'm = 1'),
  inRules('condition_syntax', 3, cond('r.sub.x = 1')),
  inRules('unknown_function', 3, cond('nothing(r.sub.x)')),
  inRules('unknown_column', 3, cond('r.subject == p.sub')),
  inRules('unknown_attribute', 3, cond('r.sub.ag > 5'), {
    'schema.yaml': 'subject: { user: { properties: { age: {} } } }\n',
  }),
  inRules('member_of_text', 3, cond('p.sub.age > 5')),
  inRules('wrong_operand', 3, cond("r.sub.age > '5' && p.act > 5")),
  inRules('never_true', 3, cond('p.act == 5')),
  inRules('not_a_condition', 3, cond("'yes'")),
  inRules('wrong_argument_count', 3, cond('"has(r.sub.a, r.sub.b)"')),
  inRules('bad_argument', 3, cond("weekday('Mars/Base') == 1")),
  inRules('bad_pattern', 3, cond('"regexMatch(r.sub.name, \'(\')"')),
  inModel('eval_of_request', 14, 'eval(p.cond)', 'eval(r.sub.cond)'),
  inModel('non_ascii_matcher', 14, 'eval(p.cond)', 'r.act != "é"'),

  inManifest('bad_definition', 'request: { sub: "${subject.type}:${subject.id}" }\ndefine: { in: 1 }\n', 2),
  inManifest('definition_syntax', 'request: { sub: "${subject.type}:${subject.id}" }\ndefine: { a: "1 <" }\n', 2),
  inManifest('yaml_syntax', 'request: {', 1),
  inManifest('yaml_alias', 'description: &a b'),
  inManifest('yaml_tag', 'description: !!binary aGk='),
  inFile('unsafe_number', 'entities.yaml', '- { type: a, id: b, attributes: { n: 9007199254740993 } }'),
  inFile('control_character', 'entities.yaml', '- { type: a, id: "b\\t" }'),
  inManifest('unknown_key', 'requests: {}'),
  inManifest('wrong_type', 'description: [a]'),
  inManifest('wrong_value', 'clock: sundial'),
  inFile('missing_value', 'entities.yaml', '- { type: user }'),
  inManifest('bad_binding', 'request: { sub: somebody }'),
  inManifest('ambiguous_template', 'request: { sub: "${subject.type}${subject.id}" }'),
  inManifest('unknown_token', 'request: { subj: subject.id }'),
  inManifest('undeclared_token', 'request: { sub: token.user.sub }'),
  inManifest(
    'undeclared_claim',
    'tokens: { user: { audience: a, claims: [id] } }\nrequest: { sub: token.user.sub }',
    2,
  ),
  inManifest('tokens_not_local', 'tokens: { user: { audience: a } }\nlocal: allowed', 2),
  inModel('unnamed_binding', 2, /sub, obj, act([\s\S]*)r\.obj == p\.obj/, 'sub, obj, act, floor$1r.floor == p.obj'),
  inManifest('bad_pointer', 'decisionLog: { mask: [ssn] }'),
  inManifest('bad_path', 'gateway: { routes: [{ path: orders }] }'),
  inManifest('bad_template', 'gateway: { routes: [{ path: /orders, resource: { type: a, id: "${nothing}" } }] }'),
  inFile('duplicate_entity', 'entities.yaml', `- ${open}\n- ${open}\n`, 2),
  inFile('data_owned_type', 'entities.yaml', '- { type: dog, id: rex }\n', 1, {
    'policy-set.yaml': 'data: { entities: [dog] }\n',
  }),
  inFile('ambiguous_entity', 'tests/a.yaml', 'tests: [{ name: a, allow: { ann: { chart: read } } }]', 1, {
    'entities.yaml': '- { type: user, id: ann }\n- { type: dog, id: ann }\n',
  }),
  inFile('unknown_name', 'tests/a.yaml', 'tests: [{ name: a, allow: { zoe: { chart: read } } }]'),
  inFile(
    'too_many_tests',
    'tests/a.yaml',
    `subjects: [${names('s')}]\nresources: [${names('r')}]\ntests: [{ name: a, subjects: [${names('s')}], resources: [${names('r')}], actions: [${names('a', 20)}], allow: {} }]`,
    3,
  ),
  inFile(
    'failing_test',
    'tests/a.yaml',
    `tests: [{ name: a, subject: ${open}, action: read, resource: { id: chart }, expect: deny }]`,
  ),
  inFile('not_live_data', 'tests/a.yaml', 'data: live\ntests: []'),
  inFile('unsupported_live_data', 'policy-set.yaml', 'data: { roles: [g] }', 1, {
    'model.conf': base['model.conf'].replace(/e = .*/, 'e = subjectPriority(p.eft) || deny'),
  }),
  inFile('omitted_but_read', 'policy-set.yaml', 'local: { omit: [user.ward] }\nrequest: { sub: subject.ward }', 2),
  inFile('unsupported_by_stock_casbin', 'policy-set.yaml', 'engine: casbin', 1, {
    'rules.csv': 'p, nurse, chart, read, "hasRole(r.sub.roles, p.sub)"\ng, ann, nurse\n',
  }),
  { code: 'binary_file', file: 'rules.csv', line: 1, change: Uint8Array.of(0, 1, 2) },
  { code: 'utf16_text', file: 'rules.csv', line: 1, change: Buffer.from('\uFEFFp, a\n', 'utf16le') },
  { code: 'not_utf8', file: 'rules.csv', line: 1, change: Uint8Array.of(0x70, 0x2c, 0xff, 0x41) },
];

function names(prefix: string, count = 80): string {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`).join(', ');
}

/** Reads files as from a folder: a file that is not text is reported and left out. */
function lintSet(files: Readonly<Record<string, string | Uint8Array>>) {
  const read = Object.entries(files).map(([path, content]) => ({ path, bytes: Buffer.from(content as string) }));
  const problems = read.flatMap(({ path, bytes }) => textProblem(path, bytes) ?? []);
  return lintFolder({ name: 'set', path: 'set', files: read, problems });
}

function faultySet({ file, change, beside = {} }: Fault): Readonly<Record<string, string | Uint8Array>> {
  const files: Record<string, string | Uint8Array> = { ...base, ...beside };
  const before = files[file];
  if (!Array.isArray(change)) return { ...files, [file]: change as string | Uint8Array };
  return { ...files, [file]: (before as string).replace(change[0] as string, change[1] as string) };
}

describe('a planted fault', () => {
  it('is not in the set that they are planted in', async () => {
    expect(await lintSet(base)).toEqual([]);
  });

  it.each(faults)('$code', async (fault) => {
    const found = await lintSet(faultySet(fault));
    expect(found.map(({ code, file, line }) => `${code} ${file}:${line}`)).toContain(
      `${fault.code} ${fault.file}:${fault.line}`,
    );
    for (const { line, column } of found) expect(Math.min(line, column)).toBeGreaterThan(0);
  });

  it('is there for every code of docs/problems.md that is found in files', () => {
    const page = readFileSync(new URL('../../../docs/problems.md', import.meta.url), 'utf8');
    const between = (from: string, to: string) => page.slice(page.indexOf(from), page.indexOf(to));
    const rows = between('### model.conf', '### Warnings of the linter')
      .match(/^\| `.*?` \|/gm)!
      // Takes twenty seconds of evaluations; test/policy-store/policy-tests-gate.test.ts has it with a lower bound.
      .filter((row) => !row.includes('tests_too_costly'));
    const texts = ['binary_file', 'utf16_text', 'not_utf8'];
    const codes = [...rows.flatMap((row) => row.match(/\w+/g)!), ...texts];
    expect(faults.map(({ code }) => code).sort()).toEqual(codes.sort());
  });
});
