/** The chart's values: their schema knows the service's variables, and docs/kubernetes.md names every value. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configVariables } from '../../../src/config/config.js';
import { chart, shownValues, valueFiles } from './chart.js';

const read = (file: string) => readFileSync(join(chart, file), 'utf8');
const defaults = parse(read('values.yaml'));
const schema = JSON.parse(read('values.schema.json'));

/** Variables that follow from other values. */
const ownVariables = [
  'VERDICT_PORT',
  'VERDICT_AUTH',
  'VERDICT_INSTANCE',
  'VERDICT_POLICY_SOURCE',
  'VERDICT_POLICY_DIR',
  'VERDICT_BUNDLE_KEYS',
  'VERDICT_SPOOL_DIR',
  'VERDICT_API_KEYS_FILE',
  'VERDICT_TLS',
  'VERDICT_TLS_CERT',
  'VERDICT_TLS_KEY',
  'VERDICT_TLS_CLIENT_CA',
];

describe('values.schema.json', () => {
  it('leaves out only variables that there are', () => {
    const known = new Set(configVariables.map(({ name }) => name));
    expect(ownVariables.filter((name) => !known.has(name))).toEqual([]);
  });

  /** `npm run docs` writes it anew. */
  it('knows the variables of the service: settings, and secrets', async () => {
    const settings = configVariables.filter(({ name, secret }) => !secret && !ownVariables.includes(name));
    const secretKey = { name: { type: 'string', minLength: 1 }, key: { type: 'string', minLength: 1 } };
    const source = { type: 'object', additionalProperties: false, required: ['name', 'key'], properties: secretKey };
    schema.properties.settings.properties = Object.fromEntries(
      settings.map(({ name, description }) => [name, { description, type: ['string', 'number'] }]),
    );
    schema.properties.secrets.properties = Object.fromEntries(
      configVariables
        .filter(({ secret }) => secret)
        .map(({ name, description }) => [name, { description, oneOf: [{ type: 'string', minLength: 1 }, source] }]),
    );
    await expect(`${JSON.stringify(schema, null, 2)}\n`).toMatchFileSnapshot(
      '../../../deploy/helm/verdict/values.schema.json',
    );
  });

  it('takes the defaults, and the value files that are tested', () => {
    const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
    expect(validate(defaults), JSON.stringify(validate.errors)).toBe(true);
    expect(valueFiles.length).toBeGreaterThanOrEqual(6);
    for (const file of valueFiles) {
      expect(validate(parse(read(`ci/${file}`))), `${file}: ${JSON.stringify(validate.errors)}`).toBe(true);
    }
  });

  it('knows each value of values.yaml and no other', () => {
    const namesIn = (of: { properties?: object }): string[] =>
      Object.entries(of.properties ?? {}).flatMap(([name, part]) => [
        name,
        ...(part.additionalProperties === false ? namesIn(part).map((inner) => `${name}.${inner}`) : []),
      ]);
    const given = (value: unknown): string[] =>
      typeof value !== 'object' || value === null || Array.isArray(value)
        ? []
        : Object.entries(value).flatMap(([name, inner]) => [name, ...given(inner).map((more) => `${name}.${more}`)]);
    const optional = /^(global|settings\..*|secrets\..*|resources\.claims)$/;
    const inSchema = namesIn(schema).filter((name) => !optional.test(name));
    const withoutOpen = given(defaults).filter((name) => !/^resources\.(requests|limits)\./.test(name));
    expect(inSchema.sort()).toEqual(withoutOpen.sort());
  });
});

it('docs/kubernetes.md shows values that the schema takes', () => {
  const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
  expect(shownValues()).toHaveLength(2);
  for (const values of shownValues()) expect(validate(values), JSON.stringify(validate.errors)).toBe(true);
});

it('the chart is of the version of the service', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  expect(parse(read('Chart.yaml'))).toMatchObject({ version, appVersion: version });
});

it('docs/kubernetes.md names every value at the top of values.yaml, and no other', () => {
  const page = readFileSync(new URL('../../../docs/kubernetes.md', import.meta.url), 'utf8');
  const table = page.split('\n## Values\n')[1]!.split('\n## ')[0]!;
  const named = [...table.matchAll(/^\| (.+?) \| /gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`([A-Za-z]+)[^`]*`/g)].map(([, name]) => name!),
  );
  expect([...new Set(named)].sort()).toEqual(Object.keys(defaults).sort());
});
