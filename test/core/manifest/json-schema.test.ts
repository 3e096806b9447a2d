/** JSON Schemas of authors: checked as Ajv checks them, refused where they are wrong, and never costly. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SchemaCompiler } from '../../../src/core/manifest/json-schema.js';
import type { Json, JsonObject } from '../../../src/core/request.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../../../src/engine.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub
`;

function problemsOf(options: Partial<CompileOptions>): string[] {
  try {
    const set = compilePolicySet({ model, rules: 'p, x, x, read', strict: true, ...options });
    return set.problems.map(({ line, column, code }) => `${line}:${column} ${code}`);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    for (const { message } of error.problems) expect(message.length).toBeLessThan(300);
    return error.problems.map(({ line, column, code }) => `${line}:${column} ${code}`);
  }
}

const name = fc.constantFrom('a', 'b', 'ab', 'constructor');
const count = fc.integer({ min: 0, max: 3 });
const number = fc.constantFrom(-1, 0, 0.5, 1, 2, 3);
const value = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, false, 'a', 'ab', 'ba', '', '💡', '10.0.0.1', '2026-01-01'),
    number,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ) as fc.Arbitrary<Json>,
})).value;

const schema = fc.letrec<{ schema: Json }>((tie) => {
  const below = tie('schema');
  const list = fc.array(below, { minLength: 1, maxLength: 2 });
  const keyword = fc.oneof(
    fc.record({ type: fc.constantFrom('null', 'boolean', 'object', 'array', 'number', 'string', 'integer') }),
    fc.record({ type: fc.constant(['string', 'null']) }),
    fc.record({
      enum: fc.uniqueArray(value, { minLength: 1, maxLength: 3, selector: (item) => JSON.stringify(item) }),
    }),
    fc.record({ const: value }),
    fc.record({ minimum: number, exclusiveMaximum: number }),
    fc.record({ maximum: number, exclusiveMinimum: number }),
    fc.record({ multipleOf: fc.constantFrom(0.5, 2) }),
    fc.record({ minLength: count, maxLength: count }),
    fc.record({ pattern: fc.constantFrom('^a', 'b$', 'a|0') }),
    fc.record({ format: fc.constantFrom('ipv4', 'date') }),
    fc.record({ minItems: count, maxItems: count }),
    fc.record({ uniqueItems: fc.boolean() }),
    fc.record({ items: below }),
    fc.record({ prefixItems: list, items: below }),
    fc.record({ contains: below }),
    fc.record({ minProperties: count, maxProperties: count }),
    fc.record({ required: fc.uniqueArray(name, { maxLength: 2 }) }),
    fc.record({ dependentRequired: fc.constant({ a: ['b'] }) }),
    fc.record({ propertyNames: below }),
    fc.record({
      properties: fc.dictionary(name, below, { maxKeys: 2, noNullPrototype: true }),
      additionalProperties: below,
    }),
    fc.record({
      patternProperties: fc.dictionary(fc.constantFrom('^a', 'b'), below, { maxKeys: 2, noNullPrototype: true }),
    }),
    fc.record({ allOf: list }),
    fc.record({ anyOf: list }),
    fc.record({ oneOf: list }),
    fc.record({ not: below }),
    // biome-ignore lint/suspicious/noThenProperty: JSON Schema's word
    fc.record({ if: below, then: below, else: below }),
    fc.constant({ $ref: '#/$defs/tree' }),
  );
  const several = fc.array(keyword, { maxLength: 3 }).map((parts) => Object.assign({}, ...parts));
  return { schema: fc.oneof({ depthSize: 'small' }, fc.boolean(), several) as fc.Arbitrary<Json> };
}).schema;

/** A recursive schema: a text, a list of itself, or a mapping of names to itself. */
const definitions = {
  tree: {
    anyOf: [
      { type: 'string' },
      { type: 'array', items: { $ref: '#/$defs/tree' } },
      { type: 'object', additionalProperties: { $ref: '#/$defs/tree' } },
    ],
  },
} as unknown as JsonObject;

it('a value fits a schema when Ajv says so', () => {
  const formats = { ipv4: /^\d+(\.\d+){3}$/, date: /^\d{4}-\d\d-\d\d$/ };
  fc.assert(
    fc.property(schema, fc.array(value, { minLength: 3, maxLength: 8 }), (tried, values) => {
      const ajv = new Ajv2020({ strict: false, ownProperties: true, logger: false, validateSchema: false, formats });
      const whole = typeof tried === 'boolean' ? tried : { ...(tried as JsonObject), $defs: definitions };
      const validate = ajv.compile(whole);
      const check = new SchemaCompiler(definitions).compile(tried);
      for (const each of values) {
        expect({ each, fits: check(each) === undefined }).toEqual({ each, fits: validate(each) });
      }
    }),
    { numRuns: 300, seed: 20261128 },
  );
});

describe('the first fault has its place, and no value', () => {
  const cases: [JsonObject, Json, string, string][] = [
    [{ type: ['integer', 'null'] }, 'x', '', 'must be integer or null'],
    [{ properties: { a: { items: { maximum: 3 } } } }, { a: [1, 4] }, 'a/1', 'must be at most 3'],
    [{ required: ['b'] }, {}, 'b', 'is required'],
    [{ additionalProperties: false }, { c: 1 }, 'c', 'is not in the schema'],
    [{ properties: { a: false } } as unknown as JsonObject, { a: 1 }, 'a', 'may not be there'],
    [{ properties: { a: { enum: ['secret'] } } }, { a: 'word' }, 'a', 'must be one of the values of the schema'],
    [{ anyOf: [{ required: ['a'] }, { required: ['b'] }] }, {}, '', 'fits none of the forms that the schema has'],
    // biome-ignore lint/suspicious/noThenProperty: JSON Schema's word
    [{ if: { required: ['a'] }, then: { required: ['b'] } }, { a: 1 }, 'b', 'is required'],
    [{ properties: { a: { pattern: '^b' } } }, { a: 'c' }, 'a', 'must match the pattern of the schema'],
  ];
  it.each(cases)('%j of %j', (tried, given, path, message) => {
    expect(new SchemaCompiler({}).compile(tried)(given)).toEqual({ path: path === '' ? [] : path.split('/'), message });
  });
});

describe('a schema that is wrong stops the load, at the place of the slip', () => {
  it.each([
    ['type: texts', 'texts', 'wrong_value'],
    ['type: [string, texts]', '[string', 'wrong_value'],
    ['minimum: "3"', '"3"', 'wrong_value'],
    ['maxLength: -1', '-1', 'wrong_value'],
    ['maxLength: 1.5', '1.5', 'wrong_value'],
    ['multipleOf: 0', '0', 'wrong_value'],
    ['enum: []', '[]', 'wrong_value'],
    ['anyOf: []', '[]', 'wrong_value'],
    ['required: name', 'name', 'wrong_value'],
    ['dependentRequired: { a: b }', '{ a', 'wrong_value'],
    ['uniqueItems: yes', 'yes', 'wrong_value'],
    ['format: credit-card', 'credit', 'wrong_value'],
    ['pattern: "(?=x)"', '"(', 'bad_pattern'],
    ['pattern: "(a{1000}){1000}"', '"(', 'bad_pattern'],
    ['patternProperties: { "(?<=a)b": {} }', '{}', 'bad_pattern'],
    ['$ref: "#/$defs/nowhere"', '"#', 'wrong_value'],
    ['$ref: "https://example.org/schema"', '"h', 'wrong_value'],
    ['$ref: "#/subject/user"', '"#', 'wrong_value'],
    ['$ref: "#"', '"#', 'wrong_value'],
    ['properties: { a: { type: text } }', 'text', 'wrong_value'],
    ['items: { allOf: [{ format: none }] }', 'none', 'wrong_value'],
  ])('%s', (text, wrong, code) => {
    const line = `  user: { ${text} }`;
    expect(problemsOf({ schema: `subject:\n${line}\n` })).toEqual([`2:${line.indexOf(wrong, 10) + 1} ${code}`]);
  });

  it.each([
    ['itself', 'a: { $ref: "#/$defs/a" }'],
    ['itself in a choice', 'a: { anyOf: [{ type: string }, { $ref: "#/$defs/a" }] }'],
    ['itself over another', 'a: { not: { $ref: "#/$defs/b" } }, b: { if: { $ref: "#/$defs/a" } }'],
  ])('a definition that leads to %s', (_what, text) => {
    expect(new Set(problemsOf({ schema: `$defs: { ${text} }` }).map((problem) => problem.split(' ')[1]))).toEqual(
      new Set(['wrong_value']),
    );
  });

  it('but not a definition that leads to itself one level down, nor a set that 0.1 loaded', () => {
    const tree = '$defs: { tree: { properties: { below: { $ref: "#/$defs/tree" } } } }';
    expect(problemsOf({ schema: tree })).toEqual([]);
    expect(problemsOf({ semantics: 1, schema: 'subject: { user: { type: texts, pattern: "(?=x)" } }' })).toEqual([]);
  });
});

describe('stored values that the schema does not allow stop the load', () => {
  const schema = `
subject:
  user: { required: [name], properties: { name: { type: string }, level: { maximum: 3 } } }
resource:
  doc: { $ref: "#/$defs/owned" }
  user: { properties: { name: {}, level: { type: integer } } }
$defs:
  owned: { allOf: [{ properties: { owner: { type: string }, tags: { items: { type: string } } } }] }
`;
  const problems = (entities: string, more = {}) => problemsOf({ schema, entities, ...more });

  it('each at its place', () => {
    const entities = `
- { type: doc, id: a, attributes: { owner: 7, tags: [a, b] } }
- { type: doc, id: b, attributes: { owner: ana, tags: [a, 7] } }
- { type: doc, id: c, attributes: { owner: [], tags: {} } }
- { type: note, id: d, attributes: { owner: 7 } }
`;
    expect(problems(entities)).toEqual(['2:37 schema_violation', '3:59 schema_violation', '4:37 schema_violation']);
  });

  it('where a type is one of subjects and of resources, if it fits neither', () => {
    expect(problems('- { type: user, id: a, attributes: { level: 4 } }')).toEqual([]);
    expect(problems('- { type: user, id: a, attributes: { level: 4.5 } }')).toEqual(['1:38 schema_violation']);
  });

  it('but not what a request may still bring', () => {
    expect(problems('- { type: user, id: a, attributes: { level: 1 } }')).toEqual([]);
  });

  it('once, where the schema does not name the attribute, and as a warning where the manifest says so', () => {
    const closed = 'resource: { doc: { additionalProperties: false, properties: { a: { type: string } } } }';
    const entities = '- { type: doc, id: a, attributes: { b: 1 } }';
    expect(problemsOf({ schema: closed, entities })).toEqual(['1:37 unknown_attribute']);
    expect(
      problems('- { type: doc, id: a, attributes: { owner: 7 } }', {
        manifest: { lint: { schema_violation: 'warn' } },
      }),
    ).toEqual(['1:37 schema_violation']);
  });

  it('not in a set that is read as 0.1 read it', () => {
    expect(problems('- { type: doc, id: a, attributes: { owner: 7 } }', { semantics: 1 })).toEqual([]);
  });
});

describe('P10: neither a schema nor a value makes a check costly', () => {
  const check = (tried: Json, defined: JsonObject, given: Json) => new SchemaCompiler(defined).compile(tried)(given);
  const referring = (times: number, name: string) => Array.from({ length: times }, () => ({ $ref: `#/$defs/${name}` }));

  it('definitions that name each other twice end when the steps do', () => {
    const defined: JsonObject = { d0: { type: 'string' } };
    for (let at = 1; at <= 60; at++) defined[`d${at}`] = { allOf: referring(2, `d${at - 1}`) };
    expect(check({ $ref: '#/$defs/d60' }, defined, 'a')).toBe('step_budget_exceeded');
    expect(check({ not: { $ref: '#/$defs/d60' } }, defined, 'a')).toBe('step_budget_exceeded');
    expect(check({ $ref: '#/$defs/d10' }, defined, 'a')).toBeUndefined();
  });

  it('a definition that looks at each member twice ends, too', () => {
    const defined = { t: { additionalProperties: { anyOf: [{ not: { $ref: '#/$defs/t' } }, { $ref: '#/$defs/t' }] } } };
    let deep: Json = 1;
    for (let level = 0; level < 60; level++) deep = { a: deep };
    expect(check({ $ref: '#/$defs/t' }, defined as unknown as JsonObject, deep)).toBe('step_budget_exceeded');
  });

  it('values as deep as one likes exhaust no stack', () => {
    let deep: Json = 1;
    for (let level = 0; level < 100_000; level++) deep = [deep];
    expect(check({ $ref: '#/$defs/tree' }, definitions, deep)).toBe('step_budget_exceeded');
  });

  it('long lists of things that must differ, large values, long texts for a pattern', () => {
    const items = Array.from({ length: 300_000 }, (_, at) => ({ at }));
    expect(check({ uniqueItems: true }, {}, items)).toBe('step_budget_exceeded');
    expect(check({ uniqueItems: true }, {}, items.slice(0, 50_000))).toBeUndefined();
    expect(check({ items: { type: 'object' } }, {}, items)).toBe('step_budget_exceeded');
    expect(check({ const: 1 }, {}, items)).toBe('step_budget_exceeded');
    expect(check({ pattern: '(a|aa)+$' }, {}, `${'a'.repeat(300_000)}b`)).toBe('step_budget_exceeded');
  });

  it('a schema of 5,000 attributes loads, and checks a request that has one', () => {
    const properties = Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`a${at}`, { type: 'string' }]));
    const set = compilePolicySet({ model, rules: 'p, x, x, read', schema: { resource: { doc: { properties } } } });
    const ask = (attributes: JsonObject) =>
      set.decide({ subject: 'x', action: 'read', resource: { type: 'doc', id: 'd', attributes } }, { now: 0 });
    expect(ask({ a4999: 'x' }).decision).toBe('allow');
    expect(ask({ a4999: 1 }).reason.code).toBe('schema_violation');
  });

  it('a request that takes too many steps to check is denied', () => {
    const set = compilePolicySet({
      model,
      rules: 'p, x, x, read',
      schema: 'environment: { properties: { l: { uniqueItems: true } } }',
    });
    const attributes = { l: Array.from({ length: 300_000 }, (_, at) => at) };
    expect(set.decide({ subject: 'x', action: 'read', resource: 'd', attributes }, { now: 0 })).toMatchObject({
      decision: 'deny',
      errors: [{ code: 'step_budget_exceeded' }],
    });
  });
});

it('a message and a pointer do not repeat long names that come with a request', () => {
  const schema = 'environment: { additionalProperties: false }';
  const set = compilePolicySet({ model, rules: 'p, x, x, read', schema });
  const attributes = { ['n'.repeat(10_000)]: 1 };
  const [error] = set.decide({ subject: 'x', action: 'read', resource: 'd', attributes }, { now: 0 }).errors;
  expect(error!.message).toBe(`the request's attribute "${'n'.repeat(40)}…" is not in the schema`);
  expect(error!.pointer).toBe('/attributes');
});
