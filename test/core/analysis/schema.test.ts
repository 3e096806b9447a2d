import { describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet, PolicyError, type PolicyProblem } from '../../../src/engine.js';

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

function problemsOf(condition: string, manifest = 'description: d', schemaText = schema): readonly PolicyProblem[] {
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
    "r.sub.department == 'x'",
    'r.sub.id == r.sub.type',
    "r.sub.owner == 'x'",
    "r.sub.attributes.department == 'x'",
    'r.sub.limits.approval > 5',
    'has(r.sub.notes.whatever.there.is)',
    'r.obj.owner.boss.boss.name == 5',
    "r.obj.amount < 5 && r.env.ip == '5'",
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
    expect(problemsOf('r.env.port == 1', '{}', endless)).toMatchObject([
      { code: 'unknown_attribute' },
      { code: 'wrong_value', file: 'schema.yaml' },
    ]);
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

describe('an attribute of a stored entity', () => {
  const model = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;

  function compiled(entities: string, options: Partial<CompileOptions> = {}): readonly PolicyProblem[] {
    try {
      return compilePolicySet({ model, rules: 'p, a, b, c\n', schema, strict: true, entities, ...options }).problems;
    } catch (error) {
      return (error as PolicyError).problems;
    }
  }

  it.each([
    '- { type: user, id: ann, attributes: { department: sales, limits: { approval: 5 }, notes: { any: { thing: 1 } } } }',
    '- { type: invoice, id: "1", attributes: { amount: 5, owner: { name: ann, boss: { boss: { name: zoe } } } } }',
    // Of a type that the schema does not name, it says nothing.
    '- { type: room, id: "1", attributes: { floor: 3 } }',
    '- { type: user, id: ann }',
  ])('is fine where the schema knows it: %s', (entities) => {
    expect(compiled(entities)).toEqual([]);
  });

  it.each([
    ['{ departement: sales }', 'departement', 'did you mean "department"?', 40],
    ['{ limits: { aproval: 5 } }', 'limits.aproval', 'did you mean "approval"?', 50],
    ['{ limits: { approval: { euro: 5 } } }', 'limits.approval.euro', 'schema.yaml names none there', 62],
    ['{ __proto__: 5 }', '__proto__', 'schema.yaml knows department, limits, notes', 40],
  ])('stops the load where it does not: %s', (attributes, name, hint, column) => {
    const entities = `- { type: room, id: ann }\n- { type: user, id: ann, attributes: ${attributes} }\n`;
    expect(compiled(entities)).toEqual([
      {
        severity: 'error',
        code: 'unknown_attribute',
        message: `user "ann" has an attribute "${name}" that the schema does not know`,
        hint,
        file: 'entities.yaml',
        line: 2,
        column,
      },
    ]);
  });

  it('is told of each by each, and a warning where the manifest says so', () => {
    const entities =
      '- { type: user, id: a, attributes: { x: 1, y: 2 } }\n- { type: invoice, id: b, attributes: { z: 3 } }';
    const found = compiled(entities, { manifest: 'lint: { unknown_attribute: warn }' });
    expect(found.map(({ severity, line, column }) => [severity, line, column])).toEqual([
      ['warning', 1, 38],
      ['warning', 1, 44],
      ['warning', 2, 41],
    ]);
  });

  it('is found in a value, too, that a program gives', () => {
    const entities = [{ type: 'service', id: 's', attributes: { ownr: 'ann' } }];
    expect(() => compilePolicySet({ model, rules: 'p, a, b, c', schema, strict: true, entities })).toThrow(
      'entities.json:1:43: error unknown_attribute',
    );
  });
});
