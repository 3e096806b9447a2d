/** What generators rely on, over the whole document (docs/clients.md). */

import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from '../http/service.js';
import { type SchemaAt, schemasIn } from './openapi-schemas.js';

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
      ...[
        'change',
        'check',
        'compare',
        'count',
        'create',
        'decide',
        'delete',
        'drop',
        'end',
        'evaluate',
        'export',
        'follow',
        'list',
        'promote',
        'read',
        'reload',
      ],
      ...['release', 'replay', 'retire', 'revoke', 'rollBack', 'rotate', 'search', 'set', 'show', 'start', 'write'],
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
      ...[
        '$ref',
        'additionalProperties',
        'anyOf',
        'oneOf',
        'description',
        'enum',
        'examples',
        'format',
        'items',
        'maximum',
      ],
      ...[
        'maxItems',
        'maxLength',
        'maxProperties',
        'minimum',
        'minItems',
        'minLength',
        'pattern',
        'properties',
        'required',
        'type',
      ],
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
        if (['204', '304'].includes(status) || /^check(Forwarded|Envoy)Request.* 200$/.test(at))
          expect(types, at).toEqual([]);
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
