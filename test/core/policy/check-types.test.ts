import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError, type PolicyProblem } from '../../../src/engine.js';

const schema = `
subject:
  user:
    properties:
      age: { type: integer }
      region: { type: string }
      groups: { type: array, items: { type: string } }
      active: { type: boolean }
      level: { type: [string, number] }
      manager: { type: [string, 'null'] }
  robot:
    properties: { region: { type: string }, serial: { enum: [1, 2] } }
resource:
  doc:
    properties:
      size: { type: number }
      owner: { type: object, properties: { id: { type: string } } }
      state: { const: open }
      tag: { anyOf: [{ type: string }, { type: number }] }
      anything: {}
environment:
  properties: { ip: { type: string }, hour: { type: number } }
`;

const model = (matcher: string): string => `[request_definition]
r = sub, obj, act, env, hour
[policy_definition]
p = sub, act, limit, condition
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;

interface Loaded {
  readonly manifest?: string;
  readonly schema?: string;
}

/** For each problem of a set with this condition in a rule: its code, and the condition from its place on. */
function problemsOf(condition: string, { manifest = 'description: d', schema: text = schema }: Loaded = {}): string[] {
  const rules = `p, ann, read, 5, true\np, ann, write, 5, "${condition}"\n`;
  const before = 'p, ann, write, 5, "'.length + 1;
  const found = problems(() =>
    compilePolicySet({
      model: model('r.sub == p.sub && r.act == p.act && eval(p.condition)'),
      rules,
      manifest,
      schema: text,
      strict: true,
    }),
  );
  return found.map(({ code, line, column }) => `${code} ${line === 2 ? condition.slice(column - before) : line}`);
}

function problems(load: () => unknown): readonly PolicyProblem[] {
  try {
    load();
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.filter(({ severity }) => severity === 'error');
  }
}

describe('types that schema, columns and literals prove', () => {
  // The mark is where the problem is.
  it.each([
    ["r.sub.age ▸> '10'", 'wrong_operand'],
    ['r.sub.region ▸== 5', 'never_true'],
    ["r.sub.groups ▸== 'staff'", 'never_true'],
    ['1 < r.sub.age ▸< 5', 'wrong_operand'],
    ["'x' in ▸'Europe'", 'wrong_operand'],
    ['r.sub.region ▸in (1, 2)', 'never_true'],
    ['r.sub.region in ▸r.obj.owner', 'wrong_operand'],
    ['▸p.sub.age == 1', 'member_of_text'],
    ["▸'yes'", 'not_a_condition'],
    ['r.sub.age ▸+ 1', 'not_a_condition'],
    ['▸r.sub.groups', 'not_a_condition'],
    ['r.sub.active && ▸r.sub.age', 'not_a_condition'],
    ['!(▸r.sub.region)', 'not_a_condition'],
    ['p.limit ▸== 5', 'never_true'],
    ['r.obj.size ▸<= p.limit', 'wrong_operand'],
    ['r.obj.size - ▸p.limit > 1', 'wrong_operand'],
    ['-▸p.limit > 1', 'wrong_operand'],
    ['r.sub.groups ▸+ 1 == 2', 'wrong_operand'],
    ["▸r.sub.age =~ '4'", 'wrong_operand'],
    ["startsWith(▸r.obj.size, '4')", 'wrong_operand'],
    ['subset(▸r.sub.region, r.sub.groups)', 'wrong_operand'],
    ["any(▸r.sub.region, it == 'x')", 'wrong_operand'],
    ["any(r.sub.groups, ▸'x')", 'not_a_condition'],
    ["▸count(r.sub.groups, it == 'x')", 'not_a_condition'],
    ['r.obj.owner ▸== r.sub.region', 'never_true'],
    ['r.obj.state ▸== 1', 'never_true'],
    ["r.sub.serial ▸== '1'", 'never_true'],
    ['r.env.ip ▸> 5', 'wrong_operand'],
    ["r.env.hour ▸== '5'", 'never_true'],
    ["r.hour ▸== '5'", 'never_true'],
    ['▸r.sub.id.x == 1', 'unknown_attribute'],
    ["(r.sub.active ? 5 : 6) ▸== 'x'", 'never_true'],
    ['r.sub.region ▸== ()', 'never_true'],
  ])('%s: %s', (marked, code) => {
    const condition = marked.replace('▸', '');
    expect(problemsOf(condition)).toEqual([`${code} ${condition.slice(marked.indexOf('▸'))}`]);
  });

  it.each([
    "r.sub.level == 5 && r.sub.level == '5'",
    "r.sub.manager == () || r.sub.manager == 'x'",
    'r.sub.age > number(p.limit) && text(r.sub.age) != p.limit',
    "r.obj.tag == 5 || r.obj.tag == '5'",
    "r.obj.anything == 5 || r.obj.anything == '5' || r.obj.anything.more in r.obj.anything.list",
    "r.sub == 'ann' && r.sub.id == r.sub && r.act.name == p.act",
    'r.sub > 5',
    'has(r.sub.age) && (r.sub.age ?? 5) >= 5',
    "'x' + r.sub.age == 'x5'",
    "any(r.sub.groups, it == 'x') && count(r.sub.groups, it != 'x') > 1",
    'r.sub.region in (r.sub.groups, 5)',
    'now() > timestamp(r.env.ip)',
    "now() > '2026-01-01'",
    'r.sub.active',
    "r.sub.region != () && r.sub.region == 'x'",
    'r.sub.region != 5',
  ])('%s may be right', (condition) => {
    expect(problemsOf(condition)).toEqual([]);
  });

  it('are looked at in the matcher, too, whose result may be a number', () => {
    const load = (matcher: string) =>
      problems(() =>
        compilePolicySet({
          model: model(matcher),
          rules: 'p, ann, read, 5, true',
          strict: true,
          schema: 'subject: {}',
        }),
      ).map(({ column, code }) => `${column} ${code}`);
    expect(load('r.sub == p.sub && p.limit > 5')).toEqual(['31 wrong_operand']);
    expect(load("r.sub == p.sub && r.act == 'read' && p.limit")).toEqual(['42 not_a_condition']);
  });

  it('want true or false of a condition only where the matcher does', () => {
    const load = (matcher: string, condition: string) =>
      problems(() =>
        compilePolicySet({ model: model(matcher), rules: `p, ann, read, 5, ${condition}`, strict: true }),
      ).map(({ code }) => code);
    expect(load('r.sub == p.sub && r.obj.size <= eval(p.condition)', '1000')).toEqual([]);
    expect(load('r.sub == p.sub && r.obj.owner == eval(p.condition)', 'r.sub.id')).toEqual([]);
    expect(load('r.sub == p.sub && !eval(p.condition)', '1000')).toEqual(['not_a_condition']);
  });

  it('say nothing of a member that one type of entity leaves open', () => {
    const open =
      'resource: { invoice: { properties: { meta: { type: object } } }, doc: { properties: { meta: { properties: { level: { type: string } } } } } }';
    expect(problemsOf('r.obj.meta.level > 5', { schema: open })).toEqual([]);
  });

  it('say nothing where requests are not held against the schema, or where it says nothing', () => {
    for (const requests of ['warn', 'ignore']) {
      expect(problemsOf("r.sub.age > '10'", { manifest: `schema: { requests: ${requests} }` })).toEqual([]);
    }
    expect(problemsOf("r.sub.age > '10'", { schema: 'subject: { user: { properties: { age: {} } } }' })).toEqual([]);
  });

  it('are told of a definition once, where it is defined, however often it is used', () => {
    const manifest = `define:
  limit: 10000
  big: "limit > '10'"
  mine: "!big && r.sub.id == r.obj.owner.id"
  unused: "1 == 'a'"
`;
    const found = problems(() =>
      compilePolicySet({
        model: model("r.sub == p.sub && big && mine && (limit > '10' || eval(p.condition))"),
        rules: 'p, ann, read, 5, mine\np, ann, write, 5, big && !limit\n',
        manifest,
        schema,
        strict: true,
      }),
    );
    expect(found.map(({ file, line, column, message }) => `${file}:${line}:${column} ${message}`)).toEqual([
      'model.conf:8:45 > wants two numbers or two texts: 10000 is a number, "10" a text',
      'policy-set.yaml:3:3 define.big: > wants two numbers or two texts: 10000 is a number, "10" a text (character 7)',
      'policy-set.yaml:5:3 define.unused: == is always false: 1 is a number, "a" a text (character 3)',
      'policy.csv:2:27 ! wants true or false, and 10000 is a number',
    ]);
  });

  it('are warnings where the manifest says so', () => {
    expect(problemsOf("r.sub.age > '10'", { manifest: 'lint: { wrong_operand: warn }' })).toEqual([]);
  });

  it('say what is wrong and how to mend it', () => {
    try {
      compilePolicySet({
        model: model('r.sub == p.sub && r.obj.size <= p.limit'),
        rules: 'p, ann, read, 5, true',
        schema,
        strict: true,
      });
      expect.unreachable();
    } catch (error) {
      expect((error as PolicyError).problems).toMatchObject([
        {
          message: '<= wants two numbers or two texts: r.obj.size is a number, p.limit a text',
          hint: 'nothing is converted: number(p.limit) is the number in a text, text(r.obj.level) the text of a number',
        },
      ]);
    }
  });
});
