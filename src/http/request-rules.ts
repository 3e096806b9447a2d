/** The rules that requests share, as class-validator decorators; json-schema.ts turns the same rules into JSON Schema. */

import { isObject, Matches, ValidateBy, ValidateIf, validateSync } from 'class-validator';
import { maxTokenLength } from '../auth/token-verifier.js';
import { AttributeCount, defaultRequestLimits } from '../core/asked/attribute-count.js';
import { areRevisions, faultInId, isRevision } from '../core/asked/question-fault.js';
import { durationPattern } from '../core/duration.js';
import { mostTokens } from '../core/manifest/declared-tokens.js';
import { faultInName } from '../core/names.js';

/** May be missing. Unlike `IsOptional` this does not let null pass, which a reader could take for a value. */
export function Optional(): PropertyDecorator {
  return ValidateIf((_object, value) => value !== undefined);
}

/**
 * A text or a list that passes.
 *
 * @param otherwise the end of a sentence that begins with the member's name
 */
export function Meets(passes: (value: never) => boolean, otherwise: string): PropertyDecorator {
  return ValidateBy({
    name: 'check',
    validator: {
      validate: (value) => (typeof value === 'string' || Array.isArray(value)) && passes(value as never),
      defaultMessage: () => `$property ${otherwise}`,
    },
  });
}

/** Whether a value is a text without control characters. */
export function isPlain(value: unknown): boolean {
  return typeof value === 'string' && faultInName(value) === undefined;
}

/** A text that names something, without control characters. The empty text is a name like any other. */
export function IsId(): PropertyDecorator {
  return ValidateBy({
    name: 'isId',
    validator: {
      validate: isId,
      defaultMessage: () =>
        `$property must be a string of at most ${defaultRequestLimits.idLength} characters, none a control character`,
    },
  });
}

/** A JSON object of any content within `RequestLimits`, whose numbers can be written again without loss. */
export function IsAttributes(): PropertyDecorator {
  return ValidateBy({
    name: 'isAttributes',
    validator: {
      validate: (value) => new AttributeCount(defaultRequestLimits).faultIn(value) === undefined,
      defaultMessage: (args) => `$property ${new AttributeCount(defaultRequestLimits).faultIn(args?.value)?.detail}`,
    },
  });
}

/** Signed tokens by the names that a policy set gives them. */
export function IsTokens(): PropertyDecorator {
  const fits = (token: unknown): boolean => typeof token === 'string' && token.length <= maxTokenLength;
  return ValidateBy({
    name: 'isTokens',
    validator: {
      validate: (value) =>
        isObject(value) && Object.keys(value).length <= mostTokens && Object.values(value).every(fits),
      defaultMessage: () =>
        `$property must be an object of at most ${mostTokens} strings of at most ${maxTokenLength} characters`,
    },
  });
}

/** A revision, or an object of revisions by policy set. */
export function IsRevisions(): PropertyDecorator {
  return ValidateBy({
    name: 'isRevisions',
    validator: {
      validate: (value) => isRevision(value) || areRevisions(value),
      defaultMessage: () => '$property must be an integer or an object',
    },
  });
}

/** A duration with its unit: `30s`. */
export function IsDuration(): PropertyDecorator {
  return Matches(new RegExp(durationPattern), { message: '$property must be a duration such as 30s' });
}

/** Either an id, which is short for an object with that id alone, or the object. */
export function IsIdOr(shape: new () => object): PropertyDecorator {
  return ValidateBy({
    name: 'isIdOr',
    constraints: [shape],
    validator: {
      validate: (value) =>
        isId(value) ||
        (isObject(value) &&
          !Array.isArray(value) &&
          validateSync(Object.assign(new shape(), value), { whitelist: true, forbidNonWhitelisted: true }).length ===
            0),
      defaultMessage: () => '$property must be a string or an object',
    },
  });
}

/**
 * A list as long as a batch may be, of anything: its items are validated one by one, so that one bad item is only that.
 * `item` is what each is with the defaults added; the OpenAPI document says so.
 */
export function IsBatch(item: new () => object): PropertyDecorator {
  return ValidateBy({
    name: 'isBatch',
    constraints: [item],
    validator: {
      validate: (value) => Array.isArray(value) && value.length <= defaultRequestLimits.batchItems,
      defaultMessage: () => `$property must be an array of at most ${defaultRequestLimits.batchItems} elements`,
    },
  });
}

/** A list as long as a batch may be, each item of one of these classes: they are validated one by one. */
export function IsItems(...items: readonly (new () => object)[]): PropertyDecorator {
  return ValidateBy({
    name: 'isItems',
    constraints: [items],
    validator: {
      validate: (value) => Array.isArray(value) && value.length <= defaultRequestLimits.batchItems,
      defaultMessage: () => `$property must be an array of at most ${defaultRequestLimits.batchItems} elements`,
    },
  });
}

/**
 * Defaults of a batch: members of `item` that the items take if they lack them. Any object passes; a bad member is a
 * problem of the items that take it.
 */
export function IsDefaultsOf(item: new () => object): PropertyDecorator {
  return isAnyObject('isDefaultsOf', item);
}

/** One default that is a member of the batch itself, as in AuthZEN; `shape` is its class. */
export function IsDefault(shape: new () => object): PropertyDecorator {
  return isAnyObject('isDefault', shape);
}

function isAnyObject(name: string, meant: new () => object): PropertyDecorator {
  return ValidateBy({
    name,
    constraints: [meant],
    validator: {
      validate: (value) => isObject(value) && !Array.isArray(value),
      defaultMessage: () => '$property must be an object',
    },
  });
}

function isId(value: unknown): boolean {
  return faultInId(value) === undefined;
}
