/** Request classes compiled: class-validator's metadata → JSON Schema → a function, 0.4 µs where the pipe takes 25. */

import { Ajv, type ErrorObject } from 'ajv';
import { targetConstructorToSchema } from 'class-validator-jsonschema';
import { maxTokenLength } from '../auth/token-verifier.js';
import { AttributeCount, type RequestLimits } from '../core/asked/attribute-count.js';
import { mostRevisions } from '../core/asked/question-fault.js';
import { durationPattern } from '../core/duration.js';
import { nameOfStep, pointerStep } from '../core/json-pointer.js';
import { mostTokens } from '../core/manifest/declared-tokens.js';
import { plainTextPattern } from '../core/names.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import { type FieldError, VerdictError } from '../errors.js';

export type JsonSchema = Record<string, unknown>;
type Shape = new () => object;

/** Most faults that are reported. A body can hold a hundred thousand. */
const maxReported = 20;

/**
 * The JSON Schema of each class by its name, and of every class that they refer to. Throws where two classes share a name.
 *
 * @param unknownFields `refuse` on our own routes, so that a slip of the pen is an error; AuthZEN has them ignored
 * @param refPrefix prefix of references. `#/components/schemas/` makes schemas for OpenAPI, with the items of a batch.
 *   The empty prefix makes schemas for validation, which validates each item by itself.
 */
export function jsonSchemas(
  shapes: readonly Shape[],
  limits: RequestLimits,
  { unknownFields, refPrefix }: { unknownFields: 'refuse' | 'ignore'; refPrefix: string },
): Record<string, JsonSchema> {
  const isDocument = refPrefix !== '';
  const close = (schema: JsonSchema) =>
    unknownFields === 'refuse' ? { additionalProperties: false, ...schema } : schema;
  const schemas: Record<string, JsonSchema> = {};
  const left = [...shapes];
  const ref = (shape: Shape) => {
    left.push(shape);
    return { $ref: refPrefix + shape.name };
  };
  /** The same class with every member optional, since the defaults may have it. */
  const partial = (shape: Shape) => {
    const { required: _, examples: __, ...schema } = schemaOf(shape);
    const name = `Partial${shape.name}`;
    schemas[name] = {
      ...schema,
      description: `A ${shape.name}: members that are missing are taken from the defaults.`,
    };
    return { $ref: refPrefix + name };
  };
  const schemaOf = (shape: Shape) => close(targetConstructorToSchema(shape, options) as JsonSchema);
  const revision = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const;
  const id = { type: 'string', maxLength: limits.idLength, pattern: plainTextPattern } as const;
  const options = {
    refPointerPrefix: refPrefix,
    additionalConverters: {
      isId: id,
      isIdOr: ({ constraints: [shape] }: Constrained<Shape>) => ({ anyOf: [id, ref(shape)] }),
      isRevisions: {
        anyOf: [revision, { type: 'object', additionalProperties: revision, maxProperties: mostRevisions }],
      },
      isTokens: {
        type: 'object',
        maxProperties: mostTokens,
        additionalProperties: { type: 'string', maxLength: maxTokenLength },
      },
      isAttributes: { type: 'object', attributeDepth: limits.attributeDepth },
      isBatch: ({ constraints: [item] }: Constrained<Shape>) => ({
        type: 'array',
        items: isDocument ? partial(item) : {},
        maxItems: limits.batchItems,
      }),
      isItems: ({ constraints: [items] }: Constrained<readonly Shape[]>) => ({
        type: 'array',
        items: isDocument ? { anyOf: items.map(ref) } : {},
        maxItems: limits.batchItems,
      }),
      isDefaultsOf: ({ constraints: [item] }: Constrained<Shape>) => (isDocument ? partial(item) : { type: 'object' }),
      isDefault: ({ constraints: [shape] }: Constrained<Shape>) => (isDocument ? ref(shape) : { type: 'object' }),
      isPart: ({ constraints: [part] }: Constrained<() => Shape | readonly Shape[]>) => {
        const refs = [part()].flat().map(ref);
        return refs.length === 1 ? refs[0] : { anyOf: refs };
      },
      nestedValidation: ({ target, propertyName }: { target: Shape; propertyName: string }) =>
        ref(Reflect.getMetadata('design:type', target.prototype, propertyName)),
      isRFC3339: { type: 'string', format: 'date-time' },
      // The class describes the member itself, beside the check.
      check: {},
    },
    // The package's types are OpenAPI 3.0's and know nothing of `attributeDepth`.
  } as unknown as Parameters<typeof targetConstructorToSchema>[1];
  const classes = new Map<string, Shape>();
  // Grows while it is gone through.
  for (const shape of left) {
    const known = classes.get(shape.name);
    if (known === shape) continue;
    if (known !== undefined) throw new Error(`two classes have the name ${shape.name}, by which others refer to them`);
    classes.set(shape.name, shape);
    schemas[shape.name] = schemaOf(shape);
  }
  return schemas;
}

/** The part of class-validator's metadata that a converter reads. */
interface Constrained<Constraint> {
  readonly constraints: readonly [Constraint];
}

/** Returns whether a value has a shape; if not, `errors` says why. */
export interface Validator {
  (value: unknown): boolean;
  errors?: ErrorObject[] | null;
}

/** Validates bodies against their classes. Nothing is coerced, removed or filled in. */
export class Validation {
  // A test holds the schemas against the schema of schemas: to compile that one would take a tenth of a second.
  private readonly ajv = new Ajv({
    allErrors: true,
    strict: true,
    strictTypes: false,
    meta: false,
    validateSchema: false,
    // Errors have the schema that was not met.
    verbose: true,
  });
  private readonly limits: RequestLimits;
  /** The count of the value that is being validated. */
  private count: AttributeCount;

  constructor(shapes: readonly Shape[], limits: RequestLimits, unknownFields: 'refuse' | 'ignore') {
    this.limits = limits;
    this.count = new AttributeCount(limits);
    this.ajv.addKeyword({
      keyword: 'attributeDepth',
      type: 'object',
      schemaType: 'number',
      validate: this.attributesKeyword(),
    });
    this.ajv.addFormat('date-time', (text) => parseRfc3339(text) !== undefined);
    const schemas = jsonSchemas(shapes, limits, { unknownFields, refPrefix: '' });
    for (const [name, schema] of Object.entries(schemas)) this.ajv.addSchema(schema, name);
  }

  of(shape: Shape): Validator {
    const compiled = this.ajv.getSchema(shape.name)!;
    const validator: Validator = (value) => {
      this.count = new AttributeCount(this.limits);
      // No schema here is asynchronous.
      const isValid = compiled(value) as boolean;
      validator.errors = compiled.errors ?? null;
      return isValid;
    };
    return validator;
  }

  /** Ajv takes a keyword's own errors from the function that found them. */
  private attributesKeyword() {
    const validate = Object.assign(
      (depth: number, value: unknown, _schema?: unknown, at?: { readonly instancePath: string }): boolean => {
        const fault = this.count.faultIn(value);
        if (fault === undefined) {
          validate.errors = [];
          return true;
        }
        const { pointer, detail: message } = fault;
        const instancePath = `${at?.instancePath ?? ''}${pointer}`;
        validate.errors = [{ keyword: 'attributeDepth', message, params: { depth }, instancePath }];
        return false;
      },
      { errors: [] as Partial<ErrorObject>[] },
    );
    return validate;
  }
}

/** The refusal of a value that did not pass, every fault by its JSON pointer, in class-validator's words. */
export function invalidRequest(errors: readonly ErrorObject[]): VerdictError {
  const found = errorsToReport(errors);
  const faults = found.slice(0, maxReported).map(fieldError);
  const more = found.length > maxReported ? ` The first ${maxReported} of ${found.length} faults are listed.` : '';
  return new VerdictError('invalid_request', `The request is not valid: ${faults[0]!.detail}.${more}`, {
    errors: faults,
  });
}

/**
 * A text or an object is `anyOf` in JSON Schema, and a value that is neither errs in both branches: of the branches
 * only the one that the value meant is kept.
 */
function errorsToReport(errors: readonly ErrorObject[]): ErrorObject[] {
  const choices = errors.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath);
  const isChoice = (error: ErrorObject) => choices.includes(error.instancePath);
  const specific = errors.filter(
    (error) => error.keyword !== 'anyOf' && !(error.keyword === 'type' && isChoice(error)),
  );
  const unexplained = errors.filter(
    (error) =>
      error.keyword === 'anyOf' && !specific.some(({ instancePath }) => isAtOrBelow(instancePath, error.instancePath)),
  );
  return [...unexplained, ...specific];
}

function isAtOrBelow(pointer: string, place: string): boolean {
  return pointer === place || pointer.startsWith(`${place}/`);
}

function fieldError({ keyword, instancePath, params, schema, message }: ErrorObject): FieldError {
  const name = instancePath === '' ? 'the body' : nameOfStep(instancePath.slice(instancePath.lastIndexOf('/') + 1));
  const at = (detail: string, pointer = instancePath) => ({ pointer, detail });
  switch (keyword) {
    case 'required':
      return at(`${params.missingProperty} is required`, below(instancePath, params.missingProperty));
    case 'additionalProperties':
      return at(
        `property ${params.additionalProperty} should not exist`,
        below(instancePath, params.additionalProperty),
      );
    case 'anyOf':
      return at(`${name} must be ${(schema as JsonSchema[]).map(({ type = 'object' }) => oneOf(type)).join(' or ')}`);
    case 'type':
      return at(`${name} must be ${oneOf(params.type)}`);
    case 'maxLength':
      return at(`${name} must be shorter than or equal to ${params.limit} characters`);
    case 'pattern':
      return at(
        params.pattern === durationPattern
          ? `${name} must be a duration such as 30s`
          : `${name} must not hold control characters`,
      );
    case 'maxItems':
      return at(`${name} must contain no more than ${params.limit} elements`);
    case 'enum':
      return at(`${name} must be one of the following values: ${params.allowedValues.join(', ')}`);
    case 'format':
      return at(`${name} must be a RFC 3339 time`);
    default:
      return at(`${name} ${message}`);
  }
}

/** `an integer` */
function oneOf(type: unknown): string {
  return `${/^[aeiou]/.test(String(type)) ? 'an' : 'a'} ${type}`;
}

function below(pointer: string, name: string): string {
  return `${pointer}/${pointerStep(name)}`;
}
