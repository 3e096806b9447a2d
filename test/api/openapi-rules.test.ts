/** What generators rely on, over the whole document (docs/clients.md). */

import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressList, addressPattern } from '../../src/config/address-list.js';
import { parseRfc3339 } from '../../src/core/rfc3339.js';
import { type Service, startService } from '../http/service.js';

interface SchemaAt {
  readonly at: string;
  // biome-ignore lint/suspicious/noExplicitAny: a schema of any form
  readonly schema: any;
}

let service: Service;
// biome-ignore lint/suspicious/noExplicitAny: a document of many forms
let document: any;
let schemas: readonly SchemaAt[];

beforeAll(async () => {
  service = await startService();
  document = (await service.get('/docs-json')).body;
  schemas = [...schemasIn(document, '')];
});
afterAll(() => service.stop());

/** Every schema of the document, with the schemas within it; what an example holds is not one. */
function* schemasIn(part: unknown, at: string): Iterable<SchemaAt> {
  if (typeof part !== 'object' || part === null) return;
  for (const [name, value] of Object.entries(part)) {
    if (name === 'examples' || name === 'example') continue;
    const place = `${at}/${name}`;
    if (at === '/components/schemas' || name === 'schema') yield* schemaAndParts(value, place);
    else yield* schemasIn(value, place);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a schema of any form
function* schemaAndParts(schema: any, at: string): Iterable<SchemaAt> {
  yield { at, schema };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield* schemaAndParts(property, `${at}/properties/${name}`);
  }
  if (schema.items !== undefined) yield* schemaAndParts(schema.items, `${at}/items`);
  if (typeof schema.additionalProperties === 'object') {
    yield* schemaAndParts(schema.additionalProperties, `${at}/additionalProperties`);
  }
  for (const choice of ['anyOf', 'oneOf', 'allOf']) {
    for (const [i, each] of (schema[choice] ?? []).entries()) yield* schemaAndParts(each, `${at}/${choice}/${i}`);
  }
}

const operations = () =>
  Object.entries<Record<string, { operationId: string; responses: Record<string, { content?: object }> }>>(
    document.paths,
  ).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );

const placesOf = (isWrong: (schema: SchemaAt['schema']) => boolean) =>
  schemas.filter(({ schema }) => isWrong(schema)).map(({ at }) => at);

describe('the OpenAPI document, for generators', () => {
  it('is read whole by these rules', () => {
    expect(schemas.length).toBeGreaterThan(400);
    expect(operations().length).toBeGreaterThan(40);
  });

  it('has schemas that are JSON Schema 2020-12', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (const [name, schema] of Object.entries<object>(document.components.schemas)) {
      expect(ajv.validateSchema(schema), name).toBe(true);
    }
  });

  it('gives every operation a name of its own, a verb and a noun', () => {
    const ids = operations().map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const verbs = [
      ...['check', 'compare', 'count', 'create', 'decide', 'end', 'evaluate', 'export', 'list', 'read', 'reload'],
      ...['replay', 'revoke', 'rollBack', 'rotate', 'search', 'show', 'start'],
    ];
    const plain = new RegExp(`^(decide|(${verbs.join('|')})([A-Z][a-z]+)+)$`);
    expect(ids.filter((id) => !plain.test(id))).toEqual([]);
    expect(ids).toEqual(expect.arrayContaining(['decide', 'decideBatch', 'searchDecisions', 'exportDecisions']));
  });

  it('says of every object whether it is closed or open', () => {
    expect(
      placesOf(({ type, additionalProperties }) => type === 'object' && additionalProperties === undefined),
    ).toEqual([]);
    // An object by another name.
    expect(placesOf(({ type, properties }) => properties !== undefined && type !== 'object')).toEqual([]);
  });

  it('closes the requests that refuse unknown members, and the answers; AuthZEN ignores such members', async () => {
    const { schemas: named } = document.components;
    const open = Object.keys(named).filter((name) => named[name].additionalProperties === true);
    expect(open).toEqual([
      'EvaluationRequest',
      'PartialEvaluationRequest',
      'EvaluationsRequest',
      'SubjectSearchRequest',
      'ResourceSearchRequest',
      'ActionSearchRequest',
      'AuthzenEntity',
      'AuthzenAction',
      'EvaluationsOptions',
      'SearchedEntity',
      'PageRequest',
    ]);
    const question = { subject: 'ann', action: 'read', resource: 'doc' };
    expect((await service.post('/v1/decide', { ...question, other: 1 })).status).toBe(400);
    const entity = { type: 'user', id: 'ann', other: 1 };
    const evaluation = { subject: entity, action: { name: 'read', other: 1 }, resource: entity, other: 1 };
    expect((await service.post('/access/v1/evaluation', evaluation)).status).toBe(200);
  });

  it('types what lists hold', () => {
    const untyped = placesOf(({ type, items }) => type === 'array' && (items === undefined || isEmpty(items)));
    // Obligations and advice are what a policy gives: any JSON.
    expect(untyped.filter((at) => !/\/(obligations|advice)$/.test(at))).toEqual([]);
  });

  it('types the requests of a batch, whose members may come from the defaults', () => {
    const { DecideBatchRequest, PartialDecideRequest, DecideRequest, EvaluationsRequest } = document.components.schemas;
    const { required, examples, description, ...members } = DecideRequest;
    expect(DecideBatchRequest.properties.requests.items).toEqual({ $ref: '#/components/schemas/PartialDecideRequest' });
    expect(DecideBatchRequest.properties.defaults.$ref).toBe('#/components/schemas/PartialDecideRequest');
    expect(PartialDecideRequest).toMatchObject(members);
    expect(PartialDecideRequest.required).toBeUndefined();
    expect(EvaluationsRequest.properties.evaluations.items.$ref).toBe('#/components/schemas/PartialEvaluationRequest');
  });

  it('has no constant, least of all a boolean one', () => {
    expect(placesOf((schema) => 'const' in schema)).toEqual([]);
    expect(placesOf(({ type, enum: values }) => type === 'boolean' && values !== undefined)).toEqual([]);
  });

  it('has no word that OpenAPI 3.1 does not know', () => {
    const known = [
      ...['$ref', 'additionalProperties', 'anyOf', 'description', 'enum', 'examples', 'format', 'items', 'maximum'],
      ...['maxItems', 'maxLength', 'minimum', 'minItems', 'minLength', 'pattern', 'properties', 'required', 'type'],
      'uniqueItems',
    ];
    expect(
      new Set(schemas.flatMap(({ schema }) => Object.keys(schema)).filter((word) => !known.includes(word))),
    ).toEqual(new Set());
  });

  it('has every answer typed, and every refusal as a problem', () => {
    for (const { operationId, responses } of operations()) {
      expect(responses, operationId).toHaveProperty('default');
      for (const [status, { content = {} }] of Object.entries(responses)) {
        const types = Object.keys(content);
        const at = `${operationId} ${status}`;
        if (status === '204' || /^checkForwardedRequest.* 200$/.test(at)) expect(types, at).toEqual([]);
        else if (status.startsWith('2') || /^check(Health|Readiness) 503$/.test(at))
          expect(types.length, at).toBeGreaterThan(0);
        else expect(types, at).toEqual(['application/problem+json']);
      }
    }
  });
});

function isEmpty(schema: object): boolean {
  return Object.keys(schema).every((word) => word === 'description');
}

describe('the formats and patterns of the OpenAPI document', () => {
  it('are those that are enforced, and no others', () => {
    const formats = new Set(schemas.flatMap(({ schema: { format } }) => (format === undefined ? [] : [format])));
    expect([...formats].sort()).toEqual(['date', 'date-time']);
    // A pattern of the document is one that JavaScript and Python read alike.
    for (const { at, schema } of schemas) {
      if (schema.pattern !== undefined) expect(() => new RegExp(schema.pattern, 'u'), at).not.toThrow();
    }
  });

  it.each<[string, string, readonly string[], readonly string[]]>([
    [
      'CreateApiKeyRequest/properties/name',
      '/v1/api-keys name',
      ['a', 'shop-1', '!~', 'x'.repeat(128)],
      ['', 'a b', 'a:b', 'é', 'x'.repeat(129), '\u007f'],
    ],
    [
      'CreateApiKeyRequest/properties/scopes/items',
      '/v1/api-keys scopes',
      ['decide', 'decisions:read', 'decide:invoices', 'decisions:read:a:b', 'decide:a b'],
      ['', 'decid', 'decide:', 'all', 'Decide', 'decide:a\u0001', 'decide:\u009f'],
    ],
    [
      'CreateApiKeyRequest/properties/addresses/items',
      '/v1/api-keys addresses',
      [
        '10.0.0.7',
        '10.0.0.0/8',
        '0.0.0.0/0',
        '2001:db8::/32',
        '::1',
        '::/128',
        '::ffff:10.0.0.1',
        '255.255.255.255/32',
      ],
      [
        '',
        '10.0.0',
        '10.0.0.256',
        '10.0.0.0/33',
        '10.0.0.0/8/8',
        '::1/129',
        '01.2.3.4',
        'localhost',
        '10.0.0.0/',
        'fe80::1%eth0',
      ],
    ],
    [
      'CreateApiKeyRequest/properties/sets/items',
      '/v1/api-keys sets',
      ['', 'a b', 'é'],
      ['a\u0001', '\u0000', '\u009f'],
    ],
    ['CreateApiKeyRequest/properties/owner', '/v1/api-keys owner', ['', 'x'.repeat(256)], ['a\n', 'x'.repeat(257)]],
    [
      'RollbackRequest/properties/version',
      '/v1/policy-sets/default/rollback version',
      [`sha256:${'0'.repeat(64)}`],
      ['', 'sha256:', `sha256:${'0'.repeat(63)}`, `sha256:${'A'.repeat(64)}`, `sha1:${'0'.repeat(64)}`],
    ],
    [
      'EntityBody/properties/id',
      '/v1/decide subject',
      ['', 'ann', 'é', 'x'.repeat(1024)],
      ['a\u0000', '\u009f', 'x'.repeat(1025)],
    ],
  ])('%s takes what the service takes', async (place, asked, good, bad) => {
    const [path, member] = asked.split(' ') as [string, string];
    const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true, date: true } });
    ajv.addSchema(document, 'document');
    const validate = ajv.compile({ $ref: `document#/components/schemas/${place}` });
    for (const [i, value] of [...good, ...bad].entries()) {
      const isGood = i < good.length;
      expect(validate(value), JSON.stringify(value)).toBe(isGood);
      const { status, body } = await service.post(path, bodyWith(path, member, value, i));
      const faults = status === 400 ? body.errors.map(({ pointer }: { pointer: string }) => pointer) : [];
      expect(faults, JSON.stringify(value)).toEqual(isGood ? [] : [expect.stringMatching(new RegExp(`^/${member}`))]);
    }
  });

  it('hold for every member of every query string', async () => {
    const { version } = (await service.get('/v1/policy-sets/default')).body;
    let tried = 0;
    for (const [path, { get }] of Object.entries<{ get?: { parameters?: QueryParameter[] } }>(document.paths)) {
      const parameters = (get?.parameters ?? []).filter((parameter) => parameter.in === 'query');
      const needed = Object.fromEntries(
        parameters.filter(({ required }) => required).map(({ name }) => [name, version]),
      );
      for (const { name, schema } of parameters) {
        for (const value of outside(schema)) {
          const query = new URLSearchParams({ ...needed, [name]: value });
          const { status, body } = await service.get(`${path.replace('{set}', 'default')}?${query}`);
          expect(status, `${path} ${name}=${value}: ${JSON.stringify(body)}`).toBe(400);
          tried++;
        }
      }
    }
    expect(tried).toBeGreaterThan(60);
  });

  it('the pattern of addresses takes what the service takes, however they are spelled', () => {
    const pattern = new RegExp(addressPattern, 'u');
    const isTaken = (text: string) => {
      try {
        addressList([text]);
        return true;
      } catch {
        return false;
      }
    };
    const bits = fc.oneof(
      fc.constant(''),
      fc.nat(140).map((length) => `/${length}`),
      fc.constant('/008'),
    );
    const broken = fc.stringMatching(/^[0-9a-f:.]{0,24}$/);
    const texts = fc
      .tuple(fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6(), broken), bits)
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(texts, (text) => pattern.test(text) === isTaken(text)),
      { numRuns: 5_000 },
    );
  });

  it.each([
    ['2026-03-01T09:00:00Z', true],
    ['2026-03-01t09:00:00.5z', true],
    ['2026-03-01T09:00:00+01:00', true],
    ['2026-03-01', false],
    ['2026-02-30T09:00:00Z', false],
    ['2026-03-01T09:00:00', false],
    ['2026-03-01T25:00:00Z', false],
  ])('date-time is RFC 3339: %s', async (text, isTime) => {
    expect(parseRfc3339(text) !== undefined).toBe(isTime);
    const { status } = await service.post('/v1/api-keys', bodyWith('/v1/api-keys', 'expires', text, Number(isTime)));
    expect(status).toBe(isTime ? 201 : 400);
  });
});

interface QueryParameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: {
    readonly maxLength?: number;
    readonly pattern?: string;
    readonly minimum?: number;
    readonly maximum?: number;
    readonly enum?: readonly string[];
    readonly items?: QueryParameter['schema'];
    readonly anyOf?: readonly object[];
    readonly $ref?: string;
  };
}

/** Values just beyond what a schema takes. */
function outside({
  maxLength,
  pattern,
  minimum,
  maximum,
  enum: values,
  items,
  anyOf,
  $ref,
}: QueryParameter['schema']): string[] {
  return [
    ...(maxLength === undefined ? [] : ['1'.repeat(maxLength + 1)]),
    ...(pattern === undefined ? [] : ['a\u0001', 'sha256:']),
    ...(minimum === undefined ? [] : [String(minimum - 1)]),
    ...(maximum === undefined ? [] : [String(maximum + 1), '1.5']),
    ...(values === undefined && items?.enum === undefined && anyOf === undefined && $ref === undefined
      ? []
      : ['nothing-of-these']),
  ];
}

let made = 0;

/** A body that is good but for the member. */
function bodyWith(path: string, member: string, value: string, index: number): object {
  switch (path) {
    case '/v1/decide':
      return { subject: 'ann', action: 'read', resource: 'doc', policySet: 'default', [member]: value };
    case '/v1/api-keys': {
      const isList = ['scopes', 'addresses', 'sets'].includes(member);
      return { name: `key-${index}-${made++}`, scopes: ['decide'], [member]: isList ? [value] : value };
    }
    default:
      return { [member]: value };
  }
}
