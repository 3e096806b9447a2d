/** The rules that requests share, as class-validator decorators; json-schema.ts turns the same rules into JSON Schema. */

import { isObject, Matches, ValidateBy, ValidateIf, validateSync } from 'class-validator';
import { durationPattern } from '../core/duration.js';
import { pointerStep } from '../core/json-pointer.js';
import { faultInName } from '../core/names.js';
import type { Json } from '../core/request.js';

export interface RequestLimits {
  /** Longest id, type or name, in code points (as JSON Schema counts). */
  readonly idLength: number;
  /** Deepest nesting of attributes; the attributes object itself is level 1. */
  readonly attributeDepth: number;
  /** Most members of objects in all attributes of one request, nested ones included. */
  readonly attributeMembers: number;
  /** Most elements of lists in all attributes of one request. */
  readonly attributeElements: number;
  readonly batchItems: number;
}

/** Defaults of the configuration, and the limits that class-validator alone checks. */
export const defaultRequestLimits: RequestLimits = Object.freeze({
  idLength: 1024,
  attributeDepth: 16,
  attributeMembers: 1_000,
  attributeElements: 10_000,
  batchItems: 10_000,
});

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

/** Most policy sets that a demand names the revisions of. */
export const mostRevisions = 100;

/** A number that a source can have given to a policy set. */
export function isRevision(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** A revision, or an object of revisions by policy set. */
export function IsRevisions(): PropertyDecorator {
  return ValidateBy({
    name: 'isRevisions',
    validator: {
      validate: (value) =>
        isRevision(value) ||
        (isObject(value) &&
          !Array.isArray(value) &&
          Object.keys(value).length <= mostRevisions &&
          Object.values(value).every(isRevision)),
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

export interface AttributeFault {
  /** A JSON pointer below the attributes. */
  readonly pointer: string;
  /** The end of a sentence that begins with the place. */
  readonly detail: string;
}

/** Checks the attributes of one request and counts their members and elements. */
export class AttributeCount {
  private members = 0;
  private elements = 0;

  constructor(private readonly limits: RequestLimits) {}

  /** What is wrong with attributes; undefined if nothing is. */
  faultIn(value: unknown): AttributeFault | undefined {
    if (!isObject(value) || Array.isArray(value)) return { pointer: '', detail: 'must be an object' };
    return this.faultAt(value as Json, 1);
  }

  /** Recursion stops one level below the allowed depth. */
  private faultAt(value: Json, depth: number): AttributeFault | undefined {
    if (typeof value === 'number') return Number.isFinite(value) ? undefined : inexactNumber;
    if (typeof value !== 'object' || value === null) return undefined;
    const { attributeDepth, attributeMembers, attributeElements } = this.limits;
    if (depth > attributeDepth) return whole(`is nested deeper than ${attributeDepth} levels`);
    if (Array.isArray(value)) {
      this.elements += value.length;
      if (this.elements > attributeElements) return whole(`holds more than ${attributeElements} elements of lists`);
      for (let index = 0; index < value.length; index++) {
        const fault = this.faultAt(value[index]!, depth + 1);
        if (fault !== undefined) return below(String(index), fault);
      }
      return undefined;
    }
    for (const name in value) {
      if (++this.members > attributeMembers) return whole(`holds more than ${attributeMembers} members`);
      const fault = this.faultAt(value[name]!, depth + 1);
      if (fault !== undefined) return below(name, fault);
    }
    return undefined;
  }
}

/** Infinity: beyond all numbers, or an integer that is not exact (`core/exact-json.ts`). */
const inexactNumber: AttributeFault = { pointer: '', detail: 'is a number that is too large to be exact' };

/** A fault of all attributes together, without a place of its own. */
function whole(detail: string): AttributeFault {
  return { pointer: '', detail };
}

/** Adds a step to the place of a fault; only faults of numbers have a place. */
function below(name: string, fault: AttributeFault): AttributeFault {
  if (fault.detail !== inexactNumber.detail) return fault;
  return { ...fault, pointer: `/${pointerStep(name)}${fault.pointer}` };
}

function isId(value: unknown): boolean {
  return (
    typeof value === 'string' && [...value].length <= defaultRequestLimits.idLength && faultInName(value) === undefined
  );
}
