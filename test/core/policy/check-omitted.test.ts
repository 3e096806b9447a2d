/** `local: { omit: […] }`: what clients do not get must be nothing that an answer could depend on. */
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/core/problem.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../../../src/engine.js';

const model = (matcher: string, request = 'sub, obj, act') => `[request_definition]
r = ${request}
[policy_definition]
p = sub, act, cond, more
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
const plain = 'r.sub == p.sub && r.act == p.act';
const rules = 'p, ana, read, r.sub.level > 2, r.obj.open\n';
const entities =
  '- { type: user, id: ana, attributes: { level: 3, salary: 9, tenant: acme } }\n- { type: page, id: a, attributes: { open: true } }\n';
const omit = 'local: { omit: [user.salary, page.notes] }\n';
const readsSalary = 'could read user.salary, which local.omit leaves out';

function problemsOf(options: Partial<CompileOptions>): string[] {
  try {
    const all = { model: model(plain), rules, entities, manifest: omit, strict: true, ...options };
    return compilePolicySet(all).problems.map(formatProblem);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(formatProblem);
  }
}

describe('attributes that clients do not get', () => {
  it.each([
    ['nothing reads', {}],
    ['other attributes are read of', { model: model(`${plain} && r.sub.level > 2 && eval(p.cond)`) }],
    [
      'the request has itself',
      {
        model: model(`${plain} && r.salary > 2`, 'sub, obj, act, salary'),
        manifest: `${omit}request: { salary: attributes.salary }`,
      },
    ],
    ['a member of another attribute is called as', { model: model(`${plain} && r.sub.pay.salary > 2`) }],
    ['the action has', { model: model(`${plain} && r.act.salary > 2`) }],
    [
      'a schema lets an entity have without a word',
      {
        schema:
          'subject: { user: { type: object, properties: { level: { type: number } }, required: [level], additionalProperties: true } }',
      },
    ],
    [
      'the schema of another type names',
      { schema: 'resource: { report: { properties: { salary: { type: number } } } }' },
    ],
    ['a domain is not', { model: model(`${plain} && r.dom == "acme"`, 'sub, obj, act, dom') }],
  ])('load where they are what %s', (_what, options) => {
    expect(problemsOf(options)).toEqual([]);
  });

  it.each([
    [
      'the matcher',
      { model: model(`${plain} && r.sub.salary > 2`) },
      [`model.conf:8:41: error omitted_but_read: r.sub.salary ${readsSalary}`],
    ],
    [
      'a longer name',
      { model: model(`${plain} && r.sub.properties.salary > 2`) },
      [`model.conf:8:41: error omitted_but_read: r.sub.properties.salary ${readsSalary}`],
    ],
    [
      'the question whether it is there',
      { model: model(`${plain} && has(r.obj.salary)`) },
      [`model.conf:8:45: error omitted_but_read: r.obj.salary ${readsSalary}`],
    ],
    [
      'all attributes as a value',
      { model: model(`${plain} && r.sub.attributes == r.obj.properties`) },
      [
        `model.conf:8:41: error omitted_but_read: r.sub.attributes ${readsSalary}`,
        `model.conf:8:61: error omitted_but_read: r.obj.properties ${readsSalary}`,
      ],
    ],
    [
      'the condition of a rule',
      {
        model: model(`${plain} && eval(p.cond)`),
        rules: 'p, ana, read, "r.sub.level > 2 && r.sub.salary > 1", true\n',
      },
      [`policy.csv:1:35: error omitted_but_read: r.sub.salary ${readsSalary}`],
    ],
    [
      'a condition that a condition evaluates',
      { model: model(`${plain} && eval(p.cond)`), rules: 'p, ana, read, eval(p.more), r.obj.notes == 1\n' },
      ['policy.csv:1:29: error omitted_but_read: r.obj.notes could read page.notes, which local.omit leaves out'],
    ],
    [
      'a condition that is put together',
      { model: model(`${plain} && eval(p.cond + p.more)`) },
      [
        'model.conf:8:41: error omitted_but_read: a condition that is no column of a rule could read user.salary, which is left out',
      ],
    ],
    [
      'a definition that is used',
      { model: model(`${plain} && isRich`), manifest: `${omit}define: { isRich: "r.sub.salary > 2" }` },
      [`policy-set.yaml:2:11: error omitted_but_read: define.isRich: r.sub.salary ${readsSalary}`],
    ],
    [
      'a definition that is not used',
      { manifest: `${omit}define: { isRich: "r.sub.salary > 2" }` },
      [`policy-set.yaml:2:11: error omitted_but_read: define.isRich: r.sub.salary ${readsSalary}`],
    ],
    [
      'a line of request',
      { manifest: `${omit}request: { sub: subject.salary }` },
      [`policy-set.yaml:2:12: error omitted_but_read: subject.salary ${readsSalary}`],
    ],
    [
      'a template',
      { manifest: `${omit}request: { obj: "\${resource.type}:\${resource.attributes.notes}" }` },
      [
        'policy-set.yaml:2:12: error omitted_but_read: resource.attributes.notes could read page.notes, which local.omit leaves out',
      ],
    ],
    [
      'a domain without a line',
      { model: model(`${plain} && r.dom == "acme"`, 'sub, obj, act, dom'), manifest: 'local: { omit: [page.tenant] }' },
      ['model.conf:8:41: error omitted_but_read: r.dom could read page.tenant, which local.omit leaves out'],
    ],
    [
      'a schema that names it',
      { schema: 'subject:\n  user:\n    properties: { salary: { type: number }, level: {}, tenant: {} }\n' },
      [
        'schema.yaml:3:19: error omitted_but_read: the schema of the subject "user" could read user.salary, which local.omit leaves out',
      ],
    ],
    [
      'a schema that demands it',
      { schema: 'subject: { user: { required: [salary], additionalProperties: true } }' },
      [
        'schema.yaml:1:18: error omitted_but_read: the schema of the subject "user" could read user.salary, which local.omit leaves out',
      ],
    ],
    [
      'a schema that counts members',
      { schema: 'subject: { user: { maxProperties: 5, additionalProperties: true } }' },
      [
        'schema.yaml:1:18: error omitted_but_read: the schema of the subject "user" could read user.salary, which local.omit leaves out',
      ],
    ],
  ])('stop the load where %s could read them', (_what, options, wanted) => {
    expect(problemsOf(options)).toEqual(wanted);
  });

  it('stop the load whatever the manifest makes a warning, and where the library is not strict', () => {
    const manifest = `${omit}lint: { omitted_but_read: warn }`;
    const matcher = model(`${plain} && r.sub.salary > 2`);
    expect(() => compilePolicySet({ model: matcher, rules, manifest })).toThrow('omitted_but_read');
  });
});
