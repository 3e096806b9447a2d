/** The JSON Schemas that editors use say what the loader says. */
import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { compilePolicySet, PolicyError } from '../../../src/engine.js';
import { fileRole } from '../../../src/policy-store/policy-set-files.js';

const root = new URL('../../../', import.meta.url);
const ajv = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true, formats: { 'date-time': true } });
const schemaOf = {
  manifest: 'policy-set',
  entities: 'entities',
  schema: 'attribute-schema',
  test: 'policy-tests',
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
