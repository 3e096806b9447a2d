/** The JSON Schemas that editors use say what the loader says. */
import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readApiKeyFile } from '../../../src/auth/api-key-file.js';
import { readTests } from '../../../src/core/analysis/test-document.js';
import { noEntities, readEntities } from '../../../src/core/manifest/entities.js';
import { readManifest } from '../../../src/core/manifest/manifest.js';
import { readSchema } from '../../../src/core/manifest/schema.js';
import type { PolicyProblem } from '../../../src/core/problem.js';
import type { Json } from '../../../src/core/request.js';
import { parseRfc3339 } from '../../../src/core/rfc3339.js';
import { currentSemantics } from '../../../src/core/semantics.js';
import { finish } from '../../../src/core/steps.js';
import { compilePolicySet, PolicyError } from '../../../src/engine.js';
import { fileRole } from '../../../src/policy-store/policy-set-files.js';

const root = new URL('../../../', import.meta.url);
const ajv = new Ajv2020({
  strict: true,
  strictRequired: false,
  allowUnionTypes: true,
  formats: { 'date-time': (text: string) => parseRfc3339(text) !== undefined },
});
const schemaOf = {
  manifest: 'policy-set',
  entities: 'entities',
  schema: 'attribute-schema',
  test: 'policy-tests',
  keys: 'api-keys',
} as const;
const validators = Object.fromEntries(
  Object.entries(schemaOf).map(([role, name]) => {
    const schema = JSON.parse(readFileSync(new URL(`schemas/${name}.schema.json`, root), 'utf8'));
    return [role, ajv.compile(schema)];
  }),
);

function yamlFiles(folder: string): string[] {
  return readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}${path}`)
    .filter((path) => path.endsWith('.yaml'));
}

describe('a file of a bundled set or a template', () => {
  it.each([...yamlFiles('policies/'), ...yamlFiles('templates/')])('%s is valid', (path) => {
    const role = fileRole(path.split('/').slice(2).join('/')) as keyof typeof schemaOf;
    const validate = validators[role]!;
    validate(parse(readFileSync(new URL(path, root), 'utf8')));
    expect(validate.errors ?? []).toEqual([]);
  });
});

it('a manifest may have the keys that the loader knows', () => {
  const schema = JSON.parse(readFileSync(new URL('schemas/policy-set.schema.json', root), 'utf8'));
  try {
    compilePolicySet({ model: '', rules: '', manifest: { anotherKey: '' } });
  } catch (error) {
    const hint = (error as PolicyError).problems.find(({ code }) => code === 'unknown_key')?.hint;
    const keys = hint!.replace('it may have ', '').split(', ');
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(keys));
  }
});

describe('what the loader refuses, the schema refuses', () => {
  it.each([
    ['manifest', 'engines: verdict'],
    ['manifest', 'clock: mine'],
    ['manifest', 'decisionLog: { mask: [/subject/id] }'],
    ['entities', '- { type: user, id: 7 }'],
    ['entities', '- { id: ann }'],
    ['schema', 'subjects: {}'],
    ['test', 'tests: [{ name: n, subject: a, action: b, resource: c }]'],
    ['test', 'tests: [{ name: n, allow: {}, expect: deny }]'],
    ['test', 'tests: [{ name: n, subject: a, action: b, resource: c, expect: maybe }]'],
  ])('%s: %s', (role, text) => {
    expect(validators[role]!(parse(text))).toBe(false);
  });
});

/** The codes of all that the loader has against a file. */
const loaders: Readonly<Record<keyof typeof schemaOf, (text: string) => readonly string[]>> = {
  manifest: (text) => codesOf((report) => readManifest({ file: 'policy-set.yaml', text }, report)),
  entities: (text) =>
    codesOf((report) => finish(readEntities({ file: 'entities.yaml', text }, report, currentSemantics, undefined))),
  schema: (text) => codesOf((report) => finish(readSchema({ file: 'schema.yaml', text }, report, currentSemantics))),
  test: (text) => codesOf((report) => readTests({ file: 'tests/a.yaml', text }, noEntities, report)),
  keys: (text) => {
    try {
      readApiKeyFile('keys.yaml', text);
      return [];
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      return error.problems.map(({ code }) => code);
    }
  },
};

function codesOf(read: (report: (problem: PolicyProblem) => void) => unknown): readonly string[] {
  const codes: string[] = [];
  // Whether a definition is there that another part of the file names is beyond a schema.
  read(({ code, message }) => codes.push(message.startsWith('"$ref" must be') ? 'unknown_definition' : code));
  return codes;
}

/** What is wrong with a file by its shape alone. Others need the rest of the set, or say what a text means. */
const codesOfShape = new Set([
  'wrong_type',
  'unknown_key',
  'missing_value',
  'wrong_value',
  'unknown_scope',
  'bad_pointer',
]);

const digest = 'a'.repeat(64);
const samples: readonly (readonly [keyof typeof schemaOf, Json])[] = [
  [
    'manifest',
    {
      description: 'All that a manifest may say.',
      engine: 'verdict',
      request: { sub: 'subject.id' },
      definitions: { r: 'r2', p: 'p2', e: 'e2', m: 'm2' },
      define: { limit: 10, isOwner: 'r.sub.id == r.obj.owner', list: ['a', 1, true], on: true },
      roleMatching: { g: 'keyMatch', g2: { names: 'keyMatch', domains: 'keyMatch' } },
      entities: { precedence: 'stored', unknown: { deny: ['user'] } },
      schema: { requests: 'deny' },
      data: { roles: ['g'], entities: ['team'] },
      emptyPolicy: 'allowed',
      clock: 'request',
      stepBudget: 1000,
      lint: { unknown_effect: 'warn' },
      search: { actions: ['read'] },
      limits: { salary: ['admin'] },
      decisionLog: { mask: ['/subject/attributes/a'], hash: ['/attributes/b'], drop: ['/resource/attributes/c'] },
    },
  ],
  ['manifest', { definitions: '2', entities: { unknown: 'deny' } }],
  [
    'manifest',
    {
      gateway: {
        subject: { type: 'client', id: '${identity}', attributes: { realm: '${token.realm}' } },
        identity: { header: 'x-user', proxies: ['nginx'] },
        anonymous: 'anonymous',
        actions: { GET: 'read' },
        routes: [
          {
            path: '/orders/{id}',
            methods: ['GET'],
            action: 'read',
            resource: { type: 'order', id: '${path.id}', attributes: { tab: '${query.tab}' } },
          },
        ],
        attributes: { ip: '${client.address}' },
        paths: { case: 'ignore', slash: 'ignore', parameters: 'keep' },
        maxStaleness: '30s',
      },
    },
  ],
  [
    'entities',
    [
      { type: 'user', id: 'ann', attributes: { a: [1, null, { b: true }] } },
      { type: 'user', id: 'bob' },
    ],
  ],
  [
    'schema',
    {
      subject: {
        user: { properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0 } }, required: ['name'] },
      },
      resource: {
        doc: { additionalProperties: false, properties: { tags: { type: 'array', items: { enum: ['a'] } } } },
      },
      action: { properties: { fast: { type: 'boolean' } } },
      environment: { properties: { ip: { type: 'string' } } },
    },
  ],
  [
    'schema',
    {
      $defs: {
        part: {
          type: ['string', 'null'],
          $comment: 1,
          title: 't',
          description: 'd',
          default: 1,
          examples: [1],
          deprecated: true,
        },
      },
      subject: {
        any: true,
        all: {
          properties: {
            a: { $ref: '#/$defs/part' },
            b: { format: 'uuid', minLength: 1, maxLength: 2, pattern: '^a$' },
          },
          patternProperties: { '^x': false },
          propertyNames: { minLength: 1 },
          minProperties: 1,
          maxProperties: 2,
          dependentRequired: { a: ['b'] },
          allOf: [{ const: 1 }],
          anyOf: [true],
          oneOf: [{}],
          not: { enum: [1] },
          if: {},
          // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
          then: {},
          else: {},
        },
        list: {
          properties: {
            list: { prefixItems: [{}], contains: {}, minItems: 1, maxItems: 2, uniqueItems: true },
            number: { maximum: 1, exclusiveMinimum: 0, exclusiveMaximum: 2, multipleOf: 0.5 },
          },
        },
      },
    },
  ],
  [
    'test',
    {
      description: 'd',
      subjects: { ann: 'ann', bob: { type: 'user', id: 'bob', attributes: { a: 1 } } },
      resources: ['doc'],
      attributes: { ip: '10.0.0.1' },
      at: '2026-01-01T00:00:00Z',
      tests: [
        {
          name: 'a case',
          subject: 'ann',
          action: { name: 'read', attributes: { a: 1 } },
          resource: { type: 'doc', id: 'doc', attributes: {} },
          attributes: {},
          at: '2026-01-01T00:00:00Z',
          expect: {
            decision: 'deny',
            reason: 'rule_denied',
            message: 'm',
            obligations: [1],
            advice: [2],
            errors: ['x'],
          },
        },
        { name: 'another', subject: 'ann', action: 'read', resource: 'doc', expect: 'allow' },
        {
          name: 'a matrix',
          subjects: ['bob'],
          resources: ['doc'],
          actions: ['read'],
          allow: { ann: { doc: 'read' }, bob: { doc: ['read', 'write'] } },
          attributes: {},
          at: '2026-01-01T00:00:00Z',
        },
      ],
    },
  ],
  [
    'keys',
    {
      keys: [
        {
          name: 'shop',
          owner: 'o',
          sha256: digest,
          scopes: ['decide', 'decide:invoices'],
          sets: ['a'],
          expires: '2027-06-30',
          addresses: ['10.0.0.0/8'],
          dailyQuota: 5,
        },
        { name: 'other', certificate: ['CN=shop'], scopes: [] },
      ],
    },
  ],
  [
    'keys',
    [
      {
        name: 'shop',
        sha256: ['b'.repeat(64), digest],
        certificate: 'CN=a',
        scopes: ['explain'],
        expires: '2027-06-30T12:00:00Z',
      },
    ],
  ],
];

/** Each value in the place of each other one; each member left out, and one that nobody knows. */
function* variantsOf(value: Json): Generator<Json> {
  for (const other of [null, true, 7, 'text', [], {}]) yield other;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      for (const variant of variantsOf(item)) yield value.with(index, variant);
    for (const other of [null, true, 7, 'text', [], {}]) yield [...value, other];
  } else if (value !== null && typeof value === 'object') {
    yield { ...value, 'a key that nobody knows': 'text' };
    for (const [name, member] of Object.entries(value)) {
      const { [name]: _, ...others } = value;
      yield others;
      for (const variant of variantsOf(member)) yield { ...value, [name]: variant };
    }
  }
}

describe('a schema and the loader', () => {
  it.each(samples.map(([role, sample], number) => ({ role, sample, number })))(
    'agree on sample $number, $role',
    ({ role, sample }) => {
      const [load, validate] = [loaders[role], validators[role]!];
      expect(load(JSON.stringify(sample))).toEqual([]);
      validate(sample);
      expect(validate.errors ?? []).toEqual([]);
      const apart: string[] = [];
      let variants = 0;
      for (const variant of variantsOf(sample)) {
        variants++;
        const text = JSON.stringify(variant);
        const codes = load(text);
        const isValid = validate(variant);
        if (codes.length === 0 && !isValid) apart.push(`the loader takes, the schema refuses ${text}`);
        const byShape = codes.filter((code) => codesOfShape.has(code));
        if (byShape.length > 0 && isValid) apart.push(`the loader refuses (${byShape}), the schema takes ${text}`);
      }
      expect(apart).toEqual([]);
      expect(variants).toBeGreaterThan(20);
    },
  );
});
