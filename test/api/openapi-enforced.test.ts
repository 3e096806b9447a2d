/** Formats, patterns and limits of the OpenAPI document are those that the service enforces. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressList, addressPattern } from '../../src/config/address-list.js';
import { parseRfc3339 } from '../../src/core/rfc3339.js';
import { type Service, startService } from '../http/service.js';
import { type SchemaAt, schemasIn } from './openapi-schemas.js';

let service: Service;
// biome-ignore lint/suspicious/noExplicitAny: a document of many forms
let document: any;
let schemas: readonly SchemaAt[];

beforeAll(async () => {
  service = await startService(undefined, { trustedProxies: '127.0.0.1' });
  document = (await service.get('/docs-json')).body;
  schemas = [...schemasIn(document, '')];
});
afterAll(() => service.stop());

describe('the formats and patterns of the OpenAPI document', () => {
  it('are those that are enforced, and no others', () => {
    const formats = new Set(schemas.flatMap(({ schema: { format } }) => (format === undefined ? [] : [format])));
    // `binary` is the word of generators for bytes.
    expect([...formats].sort()).toEqual(['binary', 'date', 'date-time']);
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
          const { status, body } = await service.get(`${path.replace('{set}', 'default')}?${query}`, {
            // Exports are limited for each address.
            'x-forwarded-for': `10.0.0.${tried}`,
          });
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
    ...(pattern === undefined ? [] : ['a\u0001', 'sha256:'].filter((text) => !new RegExp(pattern, 'u').test(text))),
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
