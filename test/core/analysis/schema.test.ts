import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError, type Problem } from '../../../src/engine.js';

const schema = `
subject:
  user:
    properties:
      department: { type: string }
      limits: { type: object, properties: { approval: { type: number } } }
      notes: { type: object }
  service: { properties: { owner: { type: string } } }
resource:
  invoice: { allOf: [{ $ref: '#/$defs/owned' }, { properties: { amount: { type: number } } }] }
environment:
  properties: { ip: { type: string } }
$defs:
  owned: { properties: { owner: { $ref: '#/$defs/person' } } }
  person: { properties: { name: { type: string }, boss: { $ref: '#/$defs/person' } } }
`;

function problemsOf(condition: string, manifest = 'description: d', schemaText = schema): readonly Problem[] {
  const model = `
[request_definition]
r = sub, obj, act, env
[policy_definition]
p = obj, act, condition
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && r.act == p.act && eval(p.condition)
`;
  const rules = `p, o, a, true\np, invoice, approve, ${condition}\n`;
  try {
    compilePolicySet({ model, rules, manifest, schema: schemaText, strict: true });
    return [];
  } catch (error) {
    return (error as PolicyError).problems;
  }
}

describe('an attribute that a condition reads', () => {
  it.each([
    'r.sub.department == 5',
    'r.sub.id == r.sub.type',
    'r.sub.owner == 5',
    'r.sub.attributes.department == 5',
    'r.sub.limits.approval > 5',
    'has(r.sub.notes.whatever.there.is)',
    'r.obj.owner.boss.boss.name == 5',
    'r.obj.amount < 5 && r.env.ip == 5',
    'r.act.anything == 5',
  ])('is fine where the schema knows it: %s', (condition) => {
    expect(problemsOf(condition)).toEqual([]);
  });

  it.each([
    ['r.sub.departement == 5', 'r.sub.departement is no attribute of any subject', 'did you mean "department"?', 22],
    [
      '1 == 1 && has(r.sub.limits.aproval)',
      'r.sub.limits.aproval is no attribute of any subject',
      'did you mean "approval"?',
      36,
    ],
    ['r.obj.owner.boss.nam == 5', 'r.obj.owner.boss.nam is no attribute of any resource', 'did you mean "name"?', 22],
    [
      'r.sub.department.floor == 1',
      'r.sub.department.floor is no attribute of any subject',
      'schema.yaml names none there',
      22,
    ],
    ['r.env.port == 1', 'r.env.port is no attribute of the request', 'schema.yaml knows ip', 22],
  ])('stops the load where it does not: %s', (condition, message, hint, column) => {
    expect(problemsOf(condition)).toMatchObject([
      { severity: 'error', code: 'unknown_attribute', file: 'policy.csv', line: 2, column, message, hint },
    ]);
  });

  it('is checked in bindings, too', () => {
    expect(problemsOf('true', 'request: { sub: "${subject.name}:${subject.id}" }')).toMatchObject([
      { code: 'unknown_attribute', file: 'policy-set.yaml', message: 'subject.name is no attribute of any subject' },
    ]);
  });

  it('may be a warning in a set that says so', () => {
    const downgraded = problemsOf('r.env.port == 1', 'lint: { unknown_attribute: warn }');
    expect(downgraded).toEqual([]);
  });

  it('may have any name where a schema allows further ones', () => {
    const open = 'environment: { properties: {}, additionalProperties: true, patternProperties: { ^x-: false } }';
    expect(problemsOf('r.env.port == 1', '{}', open)).toEqual([]);
    expect(
      problemsOf('r.env.port.number == 1', '{}', 'environment: { additionalProperties: { type: string } }'),
    ).toMatchObject([{ code: 'unknown_attribute' }]);
  });
});

describe('a schema', () => {
  it.each([
    ['an unknown part', 'subjects: {}', 'unknown_key', 'did you mean "subject"?'],
    ['an unknown keyword', 'subject: { user: { propertys: {} } }', 'unknown_key', 'did you mean "properties"?'],
    [
      'attributes without "properties"',
      'subject: { user: { department: { type: string } } }',
      'unknown_key',
      'attributes are named under "properties"',
    ],
    ['a list for a schema', 'subject: { user: [] }', 'wrong_type', undefined],
  ])('is refused for %s', (_that, text, code, hint) => {
    expect(problemsOf('true', '{}', text)).toMatchObject([{ code, file: 'schema.yaml', ...(hint && { hint }) }]);
  });

  it('that composes itself ends', () => {
    const endless =
      '$defs: { a: { allOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }] } }\nenvironment: { $ref: "#/$defs/a" }';
    expect(problemsOf('r.env.port == 1', '{}', endless)).toMatchObject([{ code: 'unknown_attribute' }]);
  });

  it('is a part of the version', () => {
    const set = {
      model:
        '[request_definition]\nr = sub\n[policy_definition]\np = sub\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub\n',
      rules: 'p, a',
    };
    expect(compilePolicySet({ ...set, schema }).version).not.toBe(compilePolicySet(set).version);
  });
});
