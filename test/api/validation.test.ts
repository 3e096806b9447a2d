import { Ajv } from 'ajv';
import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecideRequest } from '../../src/api/decide-request.js';
import { decideShapes } from '../../src/api/decide-routes.js';
import { evaluationShapes } from '../../src/authzen/authzen-request.js';
import { searchShapes } from '../../src/authzen/search-request.js';
import { defaultRequestLimits } from '../../src/core/asked/attribute-count.js';
import { jsonSchemas, Validation } from '../../src/http/json-schema.js';

const validate = new Validation(decideShapes, defaultRequestLimits, 'refuse').of(DecideRequest);

/** Members that are mostly right, so that many requests are valid and the others are nearly so. */
const junk = fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.constant([]), fc.constant('x'.repeat(1025)));
const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 20, arbitrary: good }, { weight: 1, arbitrary: bad });
const attributes = mostly(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }), junk);
const id = mostly(fc.string(), junk);
const noise = mostly(fc.constant({}), fc.constant({ unknown: true })) as fc.Arbitrary<object>;
const entity = fc
  .tuple(noise, fc.record({ id, type: id, attributes }, { requiredKeys: ['id'] }))
  .map(([unknown, known]) => ({ ...known, ...unknown }));
const action = fc.record({ name: id, attributes }, { requiredKeys: ['name'] });
const request = fc
  .tuple(
    noise,
    fc.record(
      {
        subject: fc.oneof(id, entity),
        action: fc.oneof(id, action),
        resource: fc.oneof(id, entity),
        attributes,
        policySet: id,
        explain: mostly(fc.constantFrom('none', 'brief', 'full'), fc.constantFrom('all', 1)),
        at: mostly(fc.constantFrom('2026-03-01T08:00:00Z', '2026-03-01T08:00:00.5+01:00'), fc.constantFrom('noon', 5)),
      },
      { requiredKeys: ['subject', 'action', 'resource'] },
    ),
  )
  .map(([unknown, known]) => ({ ...known, ...unknown }));

describe('the compiled schema', () => {
  it('accepts and refuses what class-validator does with the same class', () => {
    const seen = { accepted: 0, refused: 0 };
    fc.assert(
      fc.property(request, (body) => {
        const instance = Object.assign(new DecideRequest(), body);
        const faults = validateSync(instance, {
          whitelist: true,
          forbidNonWhitelisted: true,
          forbidUnknownValues: true,
        });
        expect(validate(body)).toBe(faults.length === 0);
        seen[faults.length === 0 ? 'accepted' : 'refused']++;
      }),
      { numRuns: 2_000 },
    );
    expect(Math.min(seen.accepted, seen.refused)).toBeGreaterThan(50);
  });

  it('changes nothing in what it validates', () => {
    fc.assert(
      fc.property(request, (body) => {
        const before = structuredClone(body);
        validate(body);
        expect(body).toEqual(before);
      }),
      { numRuns: 500 },
    );
  });

  it('ignores unknown members where it is told to', () => {
    const lenient = new Validation(decideShapes, defaultRequestLimits, 'ignore').of(DecideRequest);
    const body = { subject: { id: 'a', x: 1 }, action: 'read', resource: 'doc', y: 2 };
    expect(lenient(body)).toBe(true);
    expect(validate(body)).toBe(false);
  });

  it.each([
    ['decide', decideShapes],
    ['evaluation', evaluationShapes],
    ['search', searchShapes],
  ])('compiles what is a JSON Schema: %s', (_route, shapes) => {
    const schemas = jsonSchemas(shapes, defaultRequestLimits, { unknownFields: 'refuse', refPrefix: '#/definitions/' });
    for (const schema of Object.values(schemas)) expect(new Ajv().validateSchema(schema)).toBe(true);
  });
});
