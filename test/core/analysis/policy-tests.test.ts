import { describe, expect, it } from 'vitest';
import { failureProblem, judge, readPolicyTests } from '../../../src/core/analysis/policy-tests.js';
import { LiveData } from '../../../src/core/data/live-data.js';
import { addDataInSteps, changeDataInSteps } from '../../../src/core/policy/change-data.js';
import { compileInSteps } from '../../../src/core/policy/compile.js';
import { PolicySet } from '../../../src/core/policy-set.js';
import { type PolicyProblem, presentProblems } from '../../../src/core/problem.js';
import { finish } from '../../../src/core/steps.js';
import { sha256 } from '../../../src/digest/sha-256.js';

const model = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, reason, obligations
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act && (r.act != 'sign' || betweenHours('UTC', '08:00', '18:00'))
`;
const rules = `
p, nurse, chart, read, "They care", "[{""log"": ""chart""}]"
p, physician, letter, sign,,
g, physician, nurse
g, user:dana, nurse
g, user:imran, physician
`;
const manifest = 'request: { sub: "${subject.type}:${subject.id}", obj: resource.type }';
const entities = `
- { type: user, id: dana }
- { type: user, id: imran }
- { type: chart, id: C-1 }
- { type: letter, id: L-1 }
- { type: user, id: twin }
- { type: chart, id: twin }
`;
const inside = finish(compileInSteps({ model, rules, manifest, entities, strict: true }, () => ''));
const set = new PolicySet(inside);

function problemsOf(text: string) {
  const files = [{ file: 'tests/roles.yaml', text }];
  const { tests, problems } = readPolicyTests(files, inside.entities);
  const failing = tests.map((test) => failureProblem(judge(test, set.decide(test.request, { now: test.now }))));
  return presentProblems([...problems, ...failing.filter((problem) => problem !== undefined)]);
}

function at({ line, column, message }: PolicyProblem): string {
  return `${line}:${column} ${message}`;
}

describe('a matrix', () => {
  const matrix = `
tests:
  - name: charts
    actions: [write]
    allow:
      dana: { C-1: read }
      imran: { C-1: [read], L-1: sign }
    at: 2026-11-18T10:00:00Z
`;

  it('asks every subject for every action on every resource', () => {
    const { tests, problems } = readPolicyTests([{ file: 't.yaml', text: matrix }], inside.entities);
    expect(problems).toEqual([]);
    expect(tests.map(({ cell, expected }) => `${cell} ${expected.decision}`)).toEqual([
      'dana, write, C-1 deny',
      'dana, read, C-1 allow',
      'dana, sign, C-1 deny',
      'dana, write, L-1 deny',
      'dana, read, L-1 deny',
      'dana, sign, L-1 deny',
      'imran, write, C-1 deny',
      'imran, read, C-1 allow',
      'imran, sign, C-1 deny',
      'imran, write, L-1 deny',
      'imran, read, L-1 deny',
      'imran, sign, L-1 allow',
    ]);
  });

  it('passes where the set answers so', () => {
    expect(problemsOf(matrix)).toEqual([]);
  });

  it('fails at the action that should be allowed and is not', () => {
    const [problem, ...rest] = problemsOf(matrix.replace('C-1: [read]', 'C-1: [read, write]'));
    expect(rest).toEqual([]);
    expect(problem).toMatchObject({
      severity: 'error',
      code: 'failing_test',
      file: 'tests/roles.yaml',
      line: 7,
      column: 28,
      message: '"charts: imran, write, C-1": expected allow, got deny (no_matching_rule)',
    });
  });

  it('fails at the cell that leaves out what is allowed', () => {
    expect(problemsOf(matrix.replace('dana: { C-1: read }', 'dana: { C-1: write }')).map(at)).toEqual([
      '6:20 "charts: dana, write, C-1": expected allow, got deny (no_matching_rule)',
      '6:20 "charts: dana, read, C-1": expected deny, got allow (rule_allowed by policy.csv:2)',
    ]);
  });

  it('denies a whole row and a whole column that nothing is listed for', () => {
    expect(
      problemsOf('tests: [{ name: n, subjects: [dana], resources: [L-1], actions: [sign], allow: { imran: {} } }]'),
    ).toEqual([]);
    expect(
      problemsOf(
        'tests: [{ name: n, subjects: [dana], resources: [C-1], actions: [read], allow: { imran: { C-1: read } } }]',
      ),
    ).toMatchObject([{ code: 'failing_test', column: 31 }]);
  });
});

describe('a case', () => {
  it('may want a reason, a message, obligations and errors', () => {
    const text = `
tests:
  - name: nurses read charts
    subject: dana
    action: read
    resource: C-1
    expect: { decision: allow, reason: rule_allowed, message: They care, obligations: [{ log: chart }], errors: [] }
`;
    expect(problemsOf(text)).toEqual([]);
    expect(problemsOf(text.replace('They care', 'They must'))[0]?.message).toBe(
      '"nurses read charts": expected message They must, got They care',
    );
    expect(problemsOf(text.replace('{ log: chart }', '{ log: all }'))[0]?.message).toContain('expected obligations');
    expect(problemsOf(text.replace('rule_allowed', 'rule_denied'))[0]?.message).toContain(
      'expected reason rule_denied',
    );
    expect(problemsOf(text.replace('errors: []', 'errors: [type_mismatch]'))[0]?.message).toContain('expected errors');
  });

  it('runs at its own time, else at that of the file, else always at the same', () => {
    const ask = (at: string) =>
      problemsOf(`
tests:
  - { name: n, subject: imran, action: sign, resource: L-1, ${at} expect: allow }
`);
    expect(ask('at: 2026-11-18T10:00:00Z,')).toEqual([]);
    expect(ask('at: 2026-11-18T19:00:00Z,')).toMatchObject([{ code: 'failing_test' }]);
    expect(ask('at: 2026-11-18T19:00:00+09:00,')).toEqual([]);
    expect(ask('')).toMatchObject([{ code: 'failing_test' }]);
  });

  it('may declare subjects and resources, or say them in place', () => {
    const text = `
subjects: { doctor: { type: user, id: imran } }
resources: [other]
tests:
  - { name: a, subject: doctor, action: read, resource: { type: chart, id: new }, expect: allow }
  - { name: b, subject: { type: user, id: dana }, action: { name: read }, resource: C-1, expect: allow }
  - { name: c, subject: doctor, action: read, resource: other, expect: { decision: deny, reason: evaluation_error } }
`;
    expect(problemsOf(text)).toEqual([]);
  });
});

describe('a test file that is wrong', () => {
  const wrong: [that: string, text: string, code: string, line: number, column: number][] = [
    ['an unknown key', 'test: []', 'unknown_key', 1, 7],
    [
      'a subject that nobody is',
      'tests: [{ name: n, subject: dona, action: a, resource: C-1, expect: deny }]',
      'unknown_name',
      1,
      29,
    ],
    [
      'an id of several entities',
      'tests: [{ name: n, subject: twin, action: a, resource: C-1, expect: deny }]',
      'ambiguous_entity',
      1,
      29,
    ],
    ['no expectation', 'tests: [{ name: n, subject: dana, action: a, resource: C-1 }]', 'missing_value', 1, 9],
    [
      'another word than allow and deny',
      'tests: [{ name: n, subject: dana, action: a, resource: C-1, expect: yes }]',
      'wrong_value',
      1,
      69,
    ],
    ['a time without an offset', 'at: 2026-11-18T10:00:00', 'wrong_value', 1, 5],
    ['a matrix with an expectation', 'tests: [{ name: n, allow: {}, expect: deny }]', 'unknown_key', 1, 39],
    ['a test without a name', 'tests: [{ allow: {} }]', 'missing_value', 1, 9],
    ['what is no YAML', 'tests: [', 'yaml_syntax', 1, 9],
  ];

  it.each(wrong)('is refused for %s, at its place', (_that, text, code, line, column) => {
    expect(problemsOf(text)).toMatchObject([{ severity: 'error', code, file: 'tests/roles.yaml', line, column }]);
  });

  it('is refused when a matrix asks more than a load can take', () => {
    const names = Array.from({ length: 400 }, (_, index) => `n${index}`).join(', ');
    const text = `{ subjects: [${names}], resources: [${names}], tests: [{ name: n, actions: [a], subjects: [${names}], resources: [${names}], allow: {} }] }`;
    expect(readPolicyTests([{ file: 't.yaml', text }], inside.entities).problems).toMatchObject([
      { code: 'too_many_tests' },
    ]);
  });
});

it('a passing result has no failures', () => {
  const { tests } = readPolicyTests(
    [{ file: 't.yaml', text: 'tests: [{ name: n, subject: dana, action: read, resource: C-1, expect: allow }]' }],
    inside.entities,
  );
  const [test] = tests;
  expect(judge(test!, set.decide(test!.request, { now: test!.now })).failures).toEqual([]);
});

describe('a file with `data: live`', () => {
  const live = `data: live
tests:
  - { name: whoever has the role reads, subject: nia, action: read, resource: C-1, expect: allow }
`;
  const plain = 'tests:\n  - { name: dana reads, subject: dana, action: read, resource: C-1, expect: allow }\n';
  const files = [
    { file: 'tests/live.yaml', text: live },
    { file: 'tests/plain.yaml', text: plain },
  ];
  const bound = 'request: { sub: "${subject.type}:${subject.id}", obj: resource.type }';
  const sources = {
    model,
    rules,
    entities: '- { type: staff, id: dana }\n- { type: chart, id: C-1 }',
    manifest: `${bound}\ndata: { roles: [g], entities: [user] }`,
  };
  const ofFiles = finish(compileInSteps(sources, () => `sha256:${'0'.repeat(64)}`, LiveData.empty(sha256)));
  const data = { roles: [['g', 'user:nia', 'nurse']], entities: [{ type: 'user', id: 'nia' }] };
  const withData = finish(addDataInSteps(ofFiles, data));

  it('is about the set with its live data, every other about its files alone', () => {
    const ofData = readPolicyTests(files, withData.entities, 'live');
    expect(ofData).toMatchObject({ problems: [], others: ['tests/plain.yaml'] });
    expect(ofData.tests.map(({ request }) => request.subject)).toEqual([{ type: 'user', id: 'nia' }]);
    const asked = new PolicySet(withData);
    const [judged] = ofData.tests.map((test) => judge(test, asked.decide(test.request, { now: test.now })));
    expect(judged?.failures).toEqual([]);
    const others = readPolicyTests(files, ofFiles.entities);
    expect(others).toMatchObject({ problems: [], others: ['tests/live.yaml'] });
    expect(others.tests.map(({ request }) => request.subject)).toEqual([{ type: 'staff', id: 'dana' }]);
  });

  it('names nobody who is live data no more', () => {
    const change = { remove: { entities: [{ type: 'user', id: 'nia' }] } };
    const { compiled: gone } = finish(changeDataInSteps(withData, change));
    expect(readPolicyTests(files, gone.entities, 'live').problems).toMatchObject([
      { code: 'unknown_name', file: 'tests/live.yaml', line: 3 },
    ]);
  });

  it('says `live` or nothing', () => {
    const text = live.replace('live', 'dead');
    expect(readPolicyTests([{ file: 't.yaml', text }], withData.entities, 'live').problems).toMatchObject([
      { code: 'wrong_value', line: 1, column: 7 },
    ]);
  });
});
